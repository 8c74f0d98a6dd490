from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from cnnkit.formats import read_boxes
from tests.formats.drawn_boxes import draw_boxes


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    draw_boxes(tmp_path, count=3)
    return tmp_path


def boxes_of(source: str, images: Path) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    found = read_boxes(source, str(images))
    return {
        one.file: [(b.label, tuple(round(s, 4) for s in b.box)) for b in one.boxes]
        for one in found.images
    }


def test_a_round_through_all_three_gives_the_same_boxes(run_cnnkit, shapes: Path) -> None:
    steps = ("voc:annotations", "coco:a.json", "yolo:l/labels", "voc:again")
    for source, target in itertools.pairwise(steps):
        (shapes / "l").mkdir(exist_ok=True)
        done = run_cnnkit("convert-boxes", source, target, "--pictures", "images")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "3 images, 6 boxes, classes: 2" in done.stderr
    first = boxes_of(f"voc:{shapes}/annotations", shapes / "images")
    assert boxes_of(f"voc:{shapes}/again", shapes / "images") == first
    for source in shapes.glob("annotations/*.xml"):
        assert (shapes / "again" / source.name).read_bytes() == source.read_bytes()


def test_what_is_lost_or_wrong_is_said_and_exits_with_1(run_cnnkit, shapes: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "000.png", "width": 96, "height": 96}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [90, 1, 10, 10], "iscrowd": 1},
            {"image_id": 1, "category_id": 1, "bbox": [9, 9, 0, 10]},
            {"image_id": 1, "category_id": 5, "bbox": [9, 9, 2, 2]},
        ],
    }
    (shapes / "a.json").write_text(json.dumps(content))
    done = run_cnnkit("convert-boxes", "a.json", "yolo:labels")
    assert done.returncode == 1
    assert "1 boxes of other classes are left out." in done.stderr
    assert "1 marks of crowds dropped: not representable in YOLO." in done.stderr
    mended = run_cnnkit("convert-boxes", "a.json", "coco:b.json", "--mend")
    assert mended.returncode == 1
    for code in ("outside, 1", "empty, 1", "unknown-class, 1"):
        assert code in mended.stderr
    [one] = json.loads((shapes / "b.json").read_text())["annotations"]
    assert one["bbox"] == [90, 1, 6, 10]


def test_nothing_is_overwritten_unasked(run_cnnkit, shapes: Path) -> None:
    (shapes / "a.json").write_text("mine")
    done = run_cnnkit("convert-boxes", "annotations", "coco:a.json")
    assert done.returncode == 2
    assert "a.json exists already. Use --overwrite" in done.stderr
    assert (shapes / "a.json").read_text() == "mine"
    assert run_cnnkit("convert-boxes", "annotations", "coco:a.json", "--overwrite").returncode == 0


def test_labels_choose_and_order_the_classes(run_cnnkit, shapes: Path) -> None:
    (shapes / "names.txt").write_text("square\ndisc\n")
    done = run_cnnkit("convert-boxes", "annotations", "coco:a.json", "--labels", "names.txt")
    assert done.returncode == 0, done.stderr
    categories = json.loads((shapes / "a.json").read_text())["categories"]
    assert categories == [{"id": 1, "name": "square"}, {"id": 2, "name": "disc"}]
