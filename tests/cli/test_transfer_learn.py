"""``cnnkit transfer-learn`` as a user runs it, and what its bundle is good for afterwards."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cnnkit.bundles import open_model
from tests.classification.training.drawings import CLASSES, draw
from tests.forked import run_forked

COMMAND = [sys.executable, "-m", "cnnkit", "transfer-learn"]
# The command without its measurement in 8-bit integers, most of the time of a small training.
NO_INT8 = """
from cnnkit.bundles import writing
from cnnkit.cli import main
writing.int8_sections = lambda *_: {}
main()
"""


@pytest.fixture(scope="module")
def learn(tmp_path_factory, cache_folder):
    """Return a function that runs the command in a folder of the module's own."""
    folder = tmp_path_factory.mktemp("learn")
    draw(folder / "photos")

    def run(*arguments, int8=True):
        program = ["-m", "cnnkit"] if int8 else ["-c", NO_INT8]
        command = [*program, "transfer-learn", *map(str, arguments)]
        return run_forked(command, cwd=folder, env=os.environ)

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def made(learn):
    """The bundle of a plain run, and the finished process."""
    done = learn("photos", "-o", "shapes", "--backbone", "squeezenet-1.1", "--test", "0.2")
    assert done.returncode == 0, done.stderr
    return learn.folder / "shapes", done


def test_it_says_what_it_does_and_what_it_came_to(made):
    done = made[1]
    said = done.stderr.splitlines()
    assert said[0] == "cnnkit: photos: 42 images in 3 classes, 14 to 14 each"
    assert any(line.startswith("cnnkit: features: 42 images in ") for line in said)
    shown = done.stdout.splitlines()
    assert shown[0] == "test, 9 images:"
    assert shown[1].startswith("  accuracy ")
    assert "calibration error on validation" in shown[2]
    assert "no threshold for 'unknown'" in shown[3]  # too few images to show a precision
    assert shown[-1] == "  cnnkit classify --model shapes IMAGES"


def test_the_bundle_is_whole(made):
    bundle, _ = made
    assert sorted(path.name for path in bundle.iterdir()) == [
        "LICENSE.backbone",
        "card.json",
        "graphs.zip",
        "history.csv",
        "int8.safetensors",
        "labels.txt",
        "model.keras",
        "report.html",
        "split.csv",
        "weights.safetensors",
    ]
    assert (bundle / "labels.txt").read_text().split() == list(CLASSES)
    assert os.listdir(bundle.parent) == [n for n in os.listdir(bundle.parent) if n[0] != "."]
    card = json.loads((bundle / "card.json").read_text())
    assert card["architecture"] == {"builder": "squeezenet-1.1", "arguments": {"classes": 3}}
    assert card["calibration"]["temperature"] > 0
    record = card["training"]
    assert record["data"]["pictures"] == {"train": 24, "val": 9, "test": 9}
    assert record["metrics"]["test"]["top_1"] >= 0.8
    assert set(record["versions"]) >= {"cnnkit", "keras", "numpy"}


def test_the_split_and_the_history_are_tables(made):
    bundle, _ = made
    split = list(csv.DictReader((bundle / "split.csv").open()))
    assert len(split) == 42
    assert {row["file"].split("/")[0] == row["label"] for row in split} == {True}
    history = list(csv.DictReader((bundle / "history.csv").open()))
    assert [row["best"] for row in history].count("yes") == 1
    best = min(history, key=lambda row: float(row["validation_loss"]))
    assert best["best"] == "yes"


def test_classify_and_evaluate_use_it_with_no_other_flag(made, run_cnnkit, tmp_path):
    bundle, _ = made
    draw(tmp_path / "new", count=4, first=100)
    done = run_cnnkit("classify", "--model", bundle, "new")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    right = [row["path"].split("/")[1] == row["label"] for row in rows]
    assert len(rows) == 12 and np.mean(right) >= 0.75, done.stderr
    assert sum(guess["score"] for guess in rows[0]["predictions"]) == pytest.approx(1, abs=1e-4)
    done = run_cnnkit("evaluate", "--model", bundle, "new", "--json")
    assert json.loads(done.stdout)["metrics"]["top_1"] == pytest.approx(np.mean(right))


def test_the_keras_file_opens_without_cnnkit_and_gives_the_same(made, tmp_path):
    bundle, _ = made
    image = np.random.default_rng(0).integers(0, 256, (2, 227, 227, 3)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    program = (
        "import sys, numpy as np\n"
        "class Refuse:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] == 'cnnkit': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "for name in list(sys.modules):  # the process is forked from one that has loaded cnnkit\n"
        "    if name.split('.')[0] == 'cnnkit': del sys.modules[name]\n"
        "import keras\n"
        "keras.saving.get_custom_objects().clear()\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert not any(hasattr(layer, 'layers') for layer in model.layers), 'not flat'\n"
        "np.save(sys.argv[3], model(np.load(sys.argv[2])))\n"
    )
    arguments = [bundle / "model.keras", tmp_path / "image.npy", tmp_path / "logits.npy"]
    command = ["-c", program, *map(str, arguments)]
    done = run_forked(command, cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    ours = open_model(str(bundle)).build()(image)["scores"]
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), ours, atol=1e-4)


@pytest.mark.slow
def test_the_same_seed_and_split_give_the_same_model(made, learn):
    bundle, _ = made
    split = bundle / "split.csv"
    done = learn("photos", "-o", "again", "--backbone", "squeezenet-1.1", "--split-file", split)
    assert done.returncode == 0, done.stderr
    again = learn.folder / "again"
    assert (again / "split.csv").read_bytes() == split.read_bytes()
    assert (again / "history.csv").read_bytes() == (bundle / "history.csv").read_bytes()
    cards = [json.loads((b / "card.json").read_text()) for b in (bundle, again)]
    assert cards[0]["weights"] == cards[1]["weights"]
    assert cards[0]["training"]["metrics"] == cards[1]["training"]["metrics"]
    assert cards[0]["training"]["data"] == cards[1]["training"]["data"]
    assert "features: 42 of them known from an earlier run" in done.stderr


def test_a_missed_figure_is_status_1_and_the_bundle_stays(learn):
    photos = draw(learn.folder / "puzzling", count=6)
    for number in range(6):  # two classes of the same kind of image: nobody can tell them
        os.replace(photos / "discs" / f"{number:03d}.png", photos / "stripes" / f"x{number}.png")
        shutil.copy(photos / "grids" / f"{number:03d}.png", photos / "discs" / f"{number}.png")
    arguments = ("puzzling", "-o", "puzzled", "--backbone", "squeezenet-1.1")
    done = learn(*arguments, "--assert-accuracy", "1", "--assert-macro-f1", "0", int8=False)
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("cnnkit: --assert-accuracy 1 failed: 0.")
    assert "--assert-macro-f1" not in last
    assert "[conflict]" in done.stderr
    assert (learn.folder / "puzzled" / "card.json").is_file()


def test_bad_images_are_left_out_by_name_up_to_a_limit(learn):
    photos = draw(learn.folder / "torn", count=8)
    (photos / "discs" / "torn.png").write_bytes((photos / "discs" / "000.png").read_bytes()[:300])
    refused = learn("torn", "-o", "untorn", "--backbone", "squeezenet-1.1", "--max-bad", "0")
    assert refused.returncode == 2
    assert "unreadable images must be at most --max-bad 0. Received: 1 of 25" in refused.stderr
    assert not (learn.folder / "untorn").exists()
    done = learn(
        "torn", "-o", "untorn", "--backbone", "squeezenet-1.1", "--max-bad", "1", int8=False
    )
    assert done.returncode == 0, done.stderr
    assert "left out: torn/discs/torn.png" in done.stderr
    split = (learn.folder / "untorn" / "split.csv").read_text()
    assert "torn.png" not in split


MISTAKES = {
    "an existing target": (("photos", "-o", "taken"), "taken exists already. Use --overwrite"),
    "no bundle to replace": (
        ("photos", "-o", "taken", "--overwrite"),
        "taken must be a bundle to replace",
    ),
    "a target in the data": (("photos", "-o", "photos/model"), "-o must lie outside DATA"),
    "no such data": (("none", "-o", "b"), "DATA must be a folder or a CSV"),
    "too few images": (("few", "-o", "b"), "the class 'lonely' must have at least 2 images"),
    "one class": (("one", "-o", "b"), "DATA must have at least 2 classes"),
    "no such backbone": (("photos", "-o", "b", "--backbone", "resnet"), "Received: 'resnet'"),
    "a share": (("photos", "-o", "b", "--validation", "1"), "the validation share must be over 0"),
    "a precision": (
        ("photos", "-o", "b", "--unknown-precision", "95"),
        "--unknown-precision must be over 0 and under 1, or none. Received: 95",
    ),
    "an assertion": (("photos", "-o", "b", "--assert-accuracy", "90"), "lie between 0 and 1"),
    "training without it": (("photos", "-o", "b", "--train-bn"), "--train-bn requires --fine-tune"),
    "no such architecture": (
        ("photos", "-o", "b", "--from-scratch", "lenet-99"),
        "architecture must be a known name",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_status_2_one_clear_line_and_nothing_left(
    run_cnnkit_here, learn, arguments, message
):
    if not (learn.folder / "taken").exists():
        (learn.folder / "taken").mkdir()
        draw(learn.folder / "few", count=2)
        (learn.folder / "few" / "lonely").mkdir()
        shutil.copy(learn.folder / "photos" / "discs" / "000.png", learn.folder / "few" / "lonely")
        shutil.copytree(learn.folder / "photos" / "discs", learn.folder / "one" / "discs")
    done = run_cnnkit_here("transfer-learn", *arguments, cwd=learn.folder)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (learn.folder / "b").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_run_leaves_nothing_at_the_target(made, learn):
    arguments = ["photos", "-o", "killed", "--backbone", "squeezenet-1.1", "--test", "0.2"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=learn.folder, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if "head: " in line:  # the bundle is being written from here on
            time.sleep(0.5)
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    assert not (learn.folder / "killed").exists()
    for left in Path(learn.folder).glob(".cnnkit-unfinished-*"):
        shutil.rmtree(left)
