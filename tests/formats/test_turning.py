"""Boxes of stored images in the image as shown: compared with where the pixels themselves go."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.formats import AnnotatedImage, BoxAnnotation, read_boxes
from cnnkit.formats.turning import as_shown, one_as_shown
from cnnkit.images import decode

STORED = (80, 48)
BOX = (8, 4, 20, 12)
OUTLINE = [8, 4, 28, 4, 28, 16, 8, 16]


def image(path: Path, orientation: int, stored: tuple[int, int] = STORED) -> Path:
    """Write a PNG, red inside the box, that EXIF turns."""
    pixels = np.zeros((stored[1], stored[0], 3), np.uint8)
    pixels[BOX[1] : BOX[1] + BOX[3], BOX[0] : BOX[0] + BOX[2]] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def red_box(path: Path) -> tuple[int, int, int, int]:
    """Where the red is in the image as a viewer shows it."""
    rows, columns = np.nonzero(decode(path.read_bytes())[..., 0] > 128)
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top


def note(path: Path, size: tuple[int, int] = STORED, **extra) -> AnnotatedImage:
    box = BoxAnnotation("dog", BOX, extra=extra)
    return AnnotatedImage(path.name, *size, (box,), str(path))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_sideways_image_noted_as_stored_takes_its_boxes_along(tmp_path, orientation) -> None:
    path = image(tmp_path / "a.png", orientation)
    keypoints = [8, 4, 2, 0, 0, 0]
    [turned], [problem] = as_shown([note(path, segmentation=[OUTLINE], keypoints=keypoints)])
    assert (turned.width, turned.height) == (48, 80)
    expected = red_box(path)
    assert turned.boxes[0].box == expected
    [outline] = turned.boxes[0].extra["segmentation"]
    assert (min(outline[::2]), min(outline[1::2])) == expected[:2]
    assert (max(outline[::2]), max(outline[1::2])) == (
        expected[0] + expected[2],
        expected[1] + expected[3],
    )
    x, y, *rest = turned.boxes[0].extra["keypoints"]  # the box's first pixel, and one unseen
    assert x in (expected[0], expected[0] + expected[2] - 1)
    assert y in (expected[1], expected[1] + expected[3] - 1)
    assert rest == [2, 0, 0, 0]
    assert problem.code == "size-differs"
    assert "80 x 48 noted, 48 x 80 shown: its boxes were turned along" in problem.detail
    assert as_shown([turned]) == ([turned], [])  # once is enough


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_the_sideways_images_of_a_set_decide_for_those_whose_size_cannot_tell(
    tmp_path, orientation
) -> None:
    sideways = image(tmp_path / "sideways.png", 6)
    path = image(tmp_path / "a.png", orientation)
    assert one_as_shown(note(path)) == note(path)
    (found, _), problems = as_shown([note(path), note(sideways)])
    assert found.boxes[0].box == red_box(path)
    assert len(problems) == 2
    upright = note(image(tmp_path / "other.png", 6), (48, 80))  # a set that is not of one mind
    assert as_shown([note(path), note(sideways), upright])[0][0] == note(path)


def test_a_note_of_the_shown_image_stays_whatever_exif_says(tmp_path) -> None:
    path = image(tmp_path / "a.png", 6)
    assert as_shown([note(path, (48, 80))]) == ([note(path, (48, 80))], [])
    assert as_shown([note(path, (480, 800))]) == ([note(path, (480, 800))], [])  # another size


def test_boxes_for_a_smaller_copy_of_the_stored_image_are_turned_too(tmp_path) -> None:
    turned = one_as_shown(note(image(tmp_path / "a.png", 6), (40, 24)))
    assert (turned.width, turned.height) == (24, 40)
    assert turned.boxes[0].box == (24 - 4 - 12, 8, 12, 20)


@pytest.mark.parametrize(("orientation", "size"), [(1, (48, 80)), (6, (80, 80)), (3, (48, 80))])
def test_other_proportions_are_refused_by_name(tmp_path, orientation, size) -> None:
    [found], [problem] = as_shown([note(image(tmp_path / "a.png", orientation), size)])
    assert "is ambiguous" in found.refused
    assert (problem.path, problem.code) == (str(tmp_path / "a.png"), "size-differs")


def test_masks_of_run_lengths_are_left_out_and_that_is_said(tmp_path) -> None:
    path = image(tmp_path / "a.png", 6)
    mask = {"size": [48, 80], "counts": [3840]}
    [found], [problem] = as_shown([note(path, segmentation=mask)])
    assert "segmentation" not in found.boxes[0].extra
    assert problem.detail.endswith("masks of run lengths are left out")


def test_coco_and_voc_give_the_boxes_of_the_shown_image(tmp_path) -> None:
    path = image(tmp_path / "images" / "a.jpg.png", 6)
    entry = {"id": 1, "file_name": path.name, "width": 80, "height": 48}
    content = {
        "images": [entry],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": BOX, "area": 200}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    left, top, width, height = BOX
    corners = zip(
        ("xmin", "ymin", "xmax", "ymax"),
        (left + 1, top + 1, left + width, top + height),
        strict=True,
    )
    bounds = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_text(
        f"<annotation><filename>{path.name}</filename><size><width>80</width><height>48</height>"
        f"</size><object><name>dog</name><bndbox>{bounds}</bndbox></object></annotation>"
    )
    for source in ("a.json", "xml"):
        [found] = read_boxes(str(tmp_path / source)).images
        assert found.boxes[0].box == red_box(path)
        assert (found.width, found.height) == (48, 80)
