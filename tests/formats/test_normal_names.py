"""Class names of boxes have one Unicode form, whatever file they come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from cnnkit.formats import read_boxes

DECOMPOSED, COMPOSED = "cafe\u0301", "caf\u00e9"


def coco(folder: Path) -> str:
    names = (DECOMPOSED, COMPOSED, "tea ")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
        "categories": [
            {"id": 7 + n, "name": name, "supercategory": "x"} for n, name in enumerate(names)
        ],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 7 + n, "bbox": [n, 1, 5, 5]} for n in range(3)
        ],
    }
    (folder / "set.json").write_text(json.dumps(content))
    return f"coco:{folder / 'set.json'}"


def voc(folder: Path) -> str:
    box = "<bndbox><xmin>{0}</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    objects = "".join(
        f"<object><name>{name}</name>{box.format(n + 1)}</object>"
        for n, name in enumerate((DECOMPOSED, COMPOSED, "tea"))
    )
    size = "<size><width>40</width><height>30</height><depth>3</depth></size>"
    text = f"<annotation><filename>a.jpg</filename>{size}{objects}</annotation>"
    (folder / "a.xml").write_text(text, encoding="utf-8")
    return f"voc:{folder}"


def yolo(folder: Path) -> str:
    (folder / "labels").mkdir()
    (folder / "images").mkdir()
    Image.new("RGB", (40, 30)).save(folder / "images" / "a.jpg")
    lines = [f"{n} 0.{n + 3} 0.5 0.1 0.1" for n in range(3)]
    (folder / "labels" / "a.txt").write_text("\n".join(lines))
    (folder / "classes.txt").write_text(f"{DECOMPOSED}\nx\ntea\n", encoding="utf-8")
    return f"yolo:{folder}"


@pytest.mark.parametrize("write", [coco, voc, yolo])
def test_names_come_in_one_form(tmp_path: Path, write) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    found = read_boxes(write(tmp_path))
    labels = [one.label for image in found.images for one in image.boxes]
    assert len(labels) == 3 and labels[0] == COMPOSED and labels[2] == "tea"
    assert DECOMPOSED not in (*labels, *found.classes) and set(labels) <= set(found.classes)
    assert len(set(found.classes)) == len(found.classes)
    if found.category_ids is not None:
        assert set(found.extra["categories"]) == {COMPOSED, "tea"}
        assert dict(zip(found.classes, found.category_ids, strict=True)) == {COMPOSED: 7, "tea": 9}
