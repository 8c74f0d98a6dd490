from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.images import save, scene


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return save(tmp_path / "a.jpg", scene(1, 150, 200))


def test_a_sheet_is_written_and_the_seed_decides_it(run_cnnkit, image, tmp_path: Path) -> None:
    sheets = {}
    for name, options in {
        "one.png": ["--seed", "3"],
        "two.png": ["--seed", "3"],
        "three.png": ["--seed", "4"],
        "four.png": ["--seed", "3", "--recipe", "strong"],
    }.items():
        done = run_cnnkit("augment", "a.jpg", "-o", name, "--count", "3", *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        sheets[name] = np.asarray(Image.open(tmp_path / name))
    assert sheets["one.png"].shape[1] > 4 * 240
    assert (sheets["one.png"] == sheets["two.png"]).all()
    assert (sheets["one.png"] != sheets["three.png"]).any()
    assert (sheets["one.png"] != sheets["four.png"]).any()
    assert list((tmp_path / "home").iterdir()) == []


def test_boxes_go_along(run_cnnkit, image: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file,label,x1,y1,x2,y2\na.jpg,dog,20,30,120,130\n")
    run_cnnkit("augment", "a.jpg", "-o", "plain.png", "--count", "2")
    done = run_cnnkit("augment", "a.jpg", "-o", "boxes.png", "--count", "2", "--boxes", "boxes.csv")
    assert done.returncode == 0, done.stderr
    plain, boxed = (np.asarray(Image.open(tmp_path / n)) for n in ("plain.png", "boxes.png"))
    assert (plain != boxed).any()


def test_an_image_that_cannot_be_read_is_named_and_exits_with_1(run_cnnkit, image, tmp_path):
    (tmp_path / "bad.jpg").write_text("text")
    done = run_cnnkit("augment", "a.jpg", "bad.jpg", "-o", "sheet.jpg")
    assert done.returncode == 1
    assert done.stderr.startswith("cnnkit: bad.jpg: not-an-image: ")
    assert Image.open(tmp_path / "sheet.jpg").format == "JPEG"


def test_a_hostile_recipe_exits_with_2_and_one_line(run_cnnkit, image, tmp_path: Path) -> None:
    hostile = {"transform": {"__class_fullname__": "os.system", "command": "touch done"}}
    (tmp_path / "mine.json").write_text(json.dumps(hostile))
    done = run_cnnkit("augment", "a.jpg", "-o", "sheet.png", "--recipe", "mine.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "done").exists()
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jpg"], "Missing option '-o'"),
        (["-o", "s.png"], "IMAGE is required"),
        (["a.jpg", "-o", "s.gif"], "-o must end in one of .png"),
        (["a.jpg", "-o", "a.jpg"], "exists already. Use --overwrite"),
        (["a.jpg", "-o", "s.png", "--recipe", "lihgt"], "Did you mean 'light'?"),
        (["a.jpg", "-o", "s.png", "--count", "0"], "--count"),
        (["a.jpg", "-o", "none/s.png"], "-o must be a file in an existing folder"),
        (["none.jpg", "-o", "s.png"], "None of the images could be read"),
    ],
)
def test_what_cannot_run_exits_with_2(run_cnnkit_here, image, arguments, message) -> None:
    done = run_cnnkit_here("augment", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
