"""Class folders stay so whatever lies about; sets of boxes are known by their content."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from cnnkit.cli.doctor import command
from cnnkit.data import read_dataset
from cnnkit.errors import UsageError
from cnnkit.formats.guessing import guessed_form
from tests.formats.drawn_boxes import draw_boxes


def classes(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names or ("cat", "dog")):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), (number, 9, 9)).save(folder / name / "1.png")
    return folder


STRAYS = {
    "classes.txt": "cat\ndog\n",
    "data.yaml": "names: [cat, dog]\n",
    "data.yml": "names: [cat, dog]\ntrain: ../train\nval: ../val\n",
    "labels/labels.txt": "cat\ndog\n",
    "labels/cat.txt": "",
    "obj.names": "cat\n",
    "annotations/notes.xml": "<html/>",
}


@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("split", [False, True])
def test_what_lies_about_makes_no_set_of_boxes(tmp_path: Path, stray: str, split: bool) -> None:
    for place in (tmp_path / "train", tmp_path / "val") if split else (tmp_path,):
        classes(place)
    (tmp_path / stray).parent.mkdir(exist_ok=True)
    (tmp_path / stray).write_text(STRAYS[stray])
    assert guessed_form(tmp_path) is None


def test_a_class_may_be_called_labels(tmp_path: Path) -> None:
    assert guessed_form(classes(tmp_path, "boxes", "labels")) is None
    assert read_dataset(str(tmp_path)).classes == ("boxes", "labels")


@pytest.mark.parametrize("form", ["voc", "coco", "yolo"])
def test_sets_of_boxes_are_known(tmp_path: Path, form: str) -> None:
    source = draw_boxes(tmp_path, count=2, form=form)
    assert guessed_form(tmp_path) == form
    assert guessed_form(source) == form
    with pytest.raises(UsageError, match="images with boxes"):
        read_dataset(str(tmp_path))


def test_texts_beside_images_and_roboflow_s_folders_are_known(tmp_path: Path) -> None:
    for name in ("side", "roboflow/train/images"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / name / "1.png")
    (tmp_path / "side" / "1.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "side" / "classes.txt").write_text("cat\n")
    assert guessed_form(tmp_path / "side") == "yolo"
    (tmp_path / "roboflow" / "data.yaml").write_text("names: [a]\ntrain: ../train/images\n")
    assert guessed_form(tmp_path / "roboflow") == "yolo"  # without a single label yet


def test_the_doctor_takes_what_lies_about_as_such_and_an_option_says(tmp_path: Path) -> None:
    classes(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    done = CliRunner().invoke(command, [str(tmp_path), "-q"])
    assert "2 images, 2 classes (cat 1, dog 1)" in done.output
    done = CliRunner().invoke(command, [str(tmp_path), "-q", "--task", "detect"])
    assert "0 boxes" in done.output or isinstance(done.exception, UsageError)
    boxes = draw_boxes(tmp_path / "boxes", count=2)
    done = CliRunner().invoke(command, [str(boxes), "-q", "--task", "classify"])
    assert isinstance(done.exception, UsageError)
