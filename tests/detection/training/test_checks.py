"""What is refused before any epoch: class names that no bundle can keep, nothing to measure by."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cnnkit.bundles.card import check_labels
from cnnkit.detection.training import learning
from cnnkit.detection.training.learning import learn_boxes
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.errors import UsageError
from cnnkit.formats import read_boxes
from tests.formats.drawn_boxes import draw_boxes


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check comes after the network is made."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was made")

    monkeypatch.setattr(learning, "make_network", refuse)


def renamed(folder: Path, name: str) -> str:
    """A COCO set whose first class has another name."""
    path = draw_boxes(folder, count=14, form="coco")
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = name
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "a\u2028b", "\u202egod", "x" * 501])
def test_a_class_name_that_no_bundle_can_keep_is_refused_first(tmp_path: Path, name: str) -> None:
    data = renamed(tmp_path, name)
    for resume in (False, True):
        with pytest.raises(UsageError, match="`data` must have classes with names of 1 to 500"):
            learn_boxes(DetectorSettings(data, tmp_path / "model", resume=resume))


def test_names_with_joiners_are_kept_and_names_of_one_look_are_one(tmp_path: Path) -> None:
    joined = "می\u200cخواهم"
    boxes = read_boxes(renamed(tmp_path, joined))
    assert boxes.classes[0] == joined
    check_labels(boxes.classes, "DATA")
    assert read_boxes(renamed(tmp_path / "b", "cafe\u0301")).classes[0] == "caf\u00e9"


@pytest.mark.parametrize(("split", "what"), [("val", "validate"), ("train", "train")])
def test_a_split_without_a_box_that_counts_is_refused_first(
    tmp_path: Path, split: str, what: str
) -> None:
    path = draw_boxes(tmp_path, count=6, form="coco")
    content = json.loads(path.read_text())
    for number, image in enumerate(content["images"]):
        image["split"] = "val" if number < 3 else "train"
    without = {image["id"] for image in content["images"] if image["split"] == split}
    for one in content["annotations"]:
        one["iscrowd"] = int(one["image_id"] in without)
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=f"have a box to {what} by.*none in 3 images"):
        learn_boxes(DetectorSettings(str(path), tmp_path / "model"))


def test_other_images_to_validate_on_must_have_boxes_of_the_classes(tmp_path: Path) -> None:
    path = draw_boxes(tmp_path, count=4)
    other = draw_boxes(tmp_path / "other", count=4, form="coco")
    content = json.loads(other.read_text())
    for category in content["categories"]:
        category["name"] += "s"
    other.write_text(json.dumps(content))
    settings = DetectorSettings(str(path), tmp_path / "model", validation_data=str(other))
    with pytest.raises(UsageError, match="have a box to validate by"):
        learn_boxes(settings)


def test_a_missing_validation_is_not_replaced_by_a_drawn_one(tmp_path: Path) -> None:
    draw_boxes(tmp_path, count=4, form="yolo")
    text = "names: [disc, square]\ntrain: images\nval: gone\ntest: gone too\n"
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"lead to its images\. Received: val: gone"):
        learn_boxes(DetectorSettings(str(tmp_path), tmp_path / "model"))


@pytest.mark.parametrize("seed", range(8))
def test_a_drawn_validation_has_boxes_where_two_images_have_any(tmp_path: Path, seed: int) -> None:
    images = read_boxes(str(draw_boxes(tmp_path, count=10))).images
    few = [dataclasses.replace(p, boxes=()) if n > 1 else p for n, p in enumerate(images)]
    for part in learning._drawn_split(few, 0.2, seed):
        assert any(one.boxes for one in part)


def two_sets(folder: Path) -> tuple[str, str]:
    """Training and validation images numbered alike, in a folder each, without annotations."""
    sets = []
    for name, first in (("train", 0), ("val", 6)):
        path = draw_boxes(folder / name, count=6, form="coco", first=first)
        for number, image in enumerate(sorted((folder / name / "images").iterdir())):
            image.rename(image.with_name(f"new{number}.png"))
        content = json.loads(path.read_text())
        for number, image in enumerate(content["images"]):
            image["file_name"] = f"new{number}.png"
        path.write_text(json.dumps(content))
        sets.append(str(path))
    return sets[0], sets[1]


def test_validation_data_has_its_images_near_it_or_in_the_folder(tmp_path: Path) -> None:
    """`images` was the only place that they were looked for in."""
    training, validation = two_sets(tmp_path)
    (tmp_path / "images").mkdir()
    found = learning._held_out(validation, str(tmp_path / "images")).images
    assert all(image.path for image in found)
    (tmp_path / "val" / "images").rename(tmp_path / "gone")
    with pytest.raises(UsageError, match="`validation_data` must have at least 2 images to valid"):
        learn_boxes(DetectorSettings(training, tmp_path / "model", validation_data=validation))
    found = learning._held_out(validation, str(tmp_path / "gone")).images
    assert all(str(image.path).startswith(str(tmp_path / "gone")) for image in found)


def test_images_that_are_trained_and_validated_on_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training, validation = two_sets(tmp_path)
    settings = DetectorSettings(training, tmp_path / "model", validation_data=validation)
    learning._split(read_boxes(training), learning._held_out(validation, None), settings)
    assert "trained on as well" not in caplog.text
    images = str(tmp_path / "train" / "images")
    learning._split(read_boxes(training), learning._held_out(validation, images), settings)
    assert "6 of the 6 images to validate on are trained on as well, such as" in caplog.text
