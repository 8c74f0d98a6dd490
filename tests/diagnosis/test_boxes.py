from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from cnnkit.diagnosis.boxes import examine_boxes
from cnnkit.formats import BoxAnnotation, BoxSet, read_boxes
from tests.formats.drawn_boxes import draw_boxes


def codes(found: BoxSet) -> dict[str, str]:
    return {finding.code: finding.severity for finding in examine_boxes(found).findings}


def test_a_sound_set_has_nothing_that_hurts(tmp_path: Path) -> None:
    found = read_boxes(str(draw_boxes(tmp_path, count=24)))
    examined = examine_boxes(found)
    assert not examined.hurts
    content = examined.to_dict()
    assert content["data"]["pictures"] == 24
    assert content["data"]["boxes"] == 48
    assert sum(one["boxes"] for one in content["classes"]) == 48


def test_every_wrong_box_is_named_and_no_image_dropped(tmp_path: Path) -> None:
    draw_boxes(tmp_path, count=22)
    (tmp_path / "images" / "003.png").unlink()
    (tmp_path / "images" / "004.png").write_bytes(b"no image")
    shutil.copy(tmp_path / "images" / "005.png", tmp_path / "images" / "006.png")
    found = read_boxes(str(tmp_path))
    wrong = (
        (90.0, 0.0, 20.0, 9.0),
        (9.0, 9.0, 0.0, 4.0),
        (9.0, 9.0, -4.0, 4.0),
        (float("nan"), 0.0, 1.0, 1.0),
    )
    images = list(found.images)
    boxes = tuple(BoxAnnotation("disc", box) for box in wrong)
    boxes += (BoxAnnotation("circle", (1.0, 1.0, 9.0, 9.0)), images[0].boxes[0])
    images[0] = dataclasses.replace(images[0], boxes=images[0].boxes + boxes)
    images[1] = dataclasses.replace(images[1], width=48, height=96)
    images[2] = dataclasses.replace(images[2], boxes=())
    changed = dataclasses.replace(found, images=tuple(images))
    assert codes(changed) == {
        "missing-picture": "error",
        "unknown-class": "error",
        "not-finite": "error",
        "unreadable": "error",
        "swapped-corners": "warning",
        "outside": "warning",
        "empty": "warning",
        "duplicate": "warning",
        "size-differs": "warning",
        "exact-duplicates": "warning",
        "few-boxes": "note",
        "background": "note",
        "small-boxes": "note",
    }
    assert len(changed.images) == 22


def test_an_image_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    for split in ("train", "val"):
        draw_boxes(tmp_path / split, count=15)
    images = [
        dataclasses.replace(one, split=split)
        for split in ("train", "val")
        for one in read_boxes(str(tmp_path / split)).images
    ]
    found = BoxSet("both", "voc", ("disc", "square"), tuple(images))
    assert codes(found)["leak"] == "error"


def test_a_split_without_a_box_that_counts_is_an_error(tmp_path: Path) -> None:
    found = read_boxes(str(draw_boxes(tmp_path, count=24)))
    crowds = (BoxAnnotation("disc", (1.0, 1.0, 9.0, 9.0), crowd=True),)
    images = [
        dataclasses.replace(p, split="val", boxes=crowds)
        if n < 2
        else dataclasses.replace(p, split="train")
        for n, p in enumerate(found.images)
    ]
    changed = dataclasses.replace(found, images=tuple(images))
    assert codes(changed)["split-without-boxes"] == "error"
