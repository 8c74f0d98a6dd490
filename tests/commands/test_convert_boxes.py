from __future__ import annotations

import json
from pathlib import Path

from cnnkit import convert_boxes
from cnnkit.formats import read_boxes
from tests.data.images import save, scene


def coco(tmp_path: Path, box: list[float]) -> str:
    save(tmp_path / "images" / "a.png", scene(1, 40, 50))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 50, "height": 40}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": box, "iscrowd": 1}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    return f"coco:{tmp_path / 'boxes.json'}"


def test_a_box_goes_along_and_what_has_no_place_is_said(tmp_path: Path) -> None:
    source = coco(tmp_path, [10, 5, 20, 30])
    target = f"voc:{tmp_path / 'annotations'}"
    done = convert_boxes(source, target, images=tmp_path / "images")
    assert (done.source_form, done.target_form, done.images, done.boxes) == ("coco", "voc", 1, 1)
    assert done.classes == ("cat", "dog")
    assert done.complete
    assert ["crowds" in sentence for sentence in done.lost] == [True]
    found = read_boxes(target, str(tmp_path / "images"))
    assert [(one.label, one.box) for one in found.images[0].boxes] == [("dog", (10, 5, 20, 30))]


def test_a_conversion_is_incomplete_where_a_class_or_a_box_is_left_out(tmp_path: Path) -> None:
    source = coco(tmp_path, [10, 5, 0, 30])
    images = tmp_path / "images"
    done = convert_boxes(source, f"voc:{tmp_path / 'mended'}", images=images, mend=True)
    assert [problem.code for problem in done.problems] == ["empty"]
    assert (done.boxes, done.complete) == (0, False)
    source = coco(tmp_path, [10, 5, 20, 30])
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\n")
    done = convert_boxes(source, f"voc:{tmp_path / 'cats'}", images=images, labels=labels)
    assert not done.complete
    assert done.lost[0] == "1 boxes of other classes are left out."
