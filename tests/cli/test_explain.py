"""``cnnkit explain`` as a user runs it: rows, overlays, heat maps, report, resume."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from cnnkit.images import decode


@pytest.fixture
def photos(examples, tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    shutil.copy(examples / "cat.jpg", folder)
    shutil.copy(examples / "coffee.jpg", folder / "more" / "cat.jpg")
    (folder / "torn.jpg").write_bytes((examples / "cat.jpg").read_bytes()[:9000])
    return folder


def test_rows_overlays_maps_and_report(run_cnnkit, photos, tmp_path):
    options = ("explain", "photos", "--overlays", "photos/over", "--maps", "maps")
    done = run_cnnkit(*options, "-o", "rows.csv", "--report", "report.html", "--size", 300)
    assert done.returncode == 1, done.stderr
    with (tmp_path / "rows.csv").open(newline="") as file:
        first, second, torn = csv.DictReader(file)
    assert torn["error_kind"] == "truncated" and not torn["overlay"]
    # Two images of one name do not meet.
    assert first["overlay"] != second["overlay"] and first["heat"] != second["heat"]
    for row, size in ((first, (300, 451)), (second, (400, 600))):
        assert row["label"] == row["predicted"] and row["label"] in (
            "Egyptian cat",
            "tiger cat",
            "espresso",
        )
        over = decode((tmp_path / row["overlay"]).read_bytes())
        assert max(over.shape) == 300
        assert np.load(tmp_path / row["heat"]).shape == (7, 7)
        box = [int(row[name]) for name in ("left", "top", "box_width", "box_height")]
        assert 0 <= box[0] < box[0] + box[2] <= size[1]
        assert 0 <= box[1] < box[1] + box[3] <= size[0]
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg") == 4 and "truncated" in page
    assert not (tmp_path / "report.html.part").exists()
    # The overlays inside the input are no inputs of the next run, which is told what is there.
    again = run_cnnkit(*options, "-q")
    assert again.returncode == 2 and "has files already" in again.stderr


def test_a_named_class_a_killed_run_and_a_wrong_name(run_cnnkit, photos, tmp_path):
    options = ("explain", "photos", "--class", "BEE", "-o", "rows.jsonl", "--maps", "m")
    done = run_cnnkit(*options)
    rows = (tmp_path / "rows.jsonl").read_text().splitlines()
    first = json.loads(rows[0])
    assert (first["label"], first["class_id"]) == ("bee", 309)
    assert list(first) == [
        *("path", "status", "label", "score", "class_id", "predicted", "box", "region", "heat")
    ]
    other = run_cnnkit("explain", "photos/cat.jpg", "--class", "beeee")
    assert other.returncode == 2 and "Did you mean 'bee'" in other.stderr
    # A finished run has nothing left to do; with another class it is another run.
    assert run_cnnkit(*options, "--resume").returncode == 1
    done = run_cnnkit(*options, "--overwrite")
    assert "2 ok, 1 failed" in done.stderr
    assert (tmp_path / "rows.jsonl").read_text().splitlines() == rows


def test_help_names_the_methods(run_cnnkit):
    done = run_cnnkit("explain", "--help")
    assert "grad-cam++" in done.stdout and "cnnkit explain photos/ --overlays heat/" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--with", "cat.jpg"], "--with requires a model for embed-face"),
        (["--model", "dlib-face"], "--with must name the image to compare with"),
        (["--model", "yolov3-tiny", "--method", "grad-cam"], "--method must be occlusion"),
        (["--precision", "int8"], "--precision int8 requires --method occlusion. grad-cam"),
        (["--precision", "int8", "--method", "gradients"], "gradients does not compute in int8"),
        (["--precision", "int8", "--method", "sliding"], "sliding does not compute in int8"),
        (["--model", "yolov3-tiny", "--layer", "a"], "--layer requires a model for classify"),
        (["--model", "yolov3-tiny", "--class", "dug"], "Did you mean 'dog'"),
        (["--model", "magenta-style"], "--model must be a classifier"),
        (["--model", "mtcnn"], "a classifier, a detector, or a model for embed-face"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(run_cnnkit_here, examples, arguments, message):
    done = run_cnnkit_here("explain", examples / "cat.jpg", *arguments)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_occlusion_asks_the_network_in_int8(run_cnnkit, examples):
    """Its scores are those of `classify` in int8, and not float32's."""
    cat = (examples / "cat.jpg", "--model", "squeezenet-1.1")
    done = run_cnnkit("explain", *cat, "--method", "occlusion", "--precision", "int8")
    score = json.loads(done.stdout)["score"]
    asked = {}
    for precision in ("int8", "float32"):
        row = json.loads(run_cnnkit("classify", *cat, "--precision", precision).stdout)
        asked[precision] = row["score"]
    assert score == pytest.approx(asked["int8"], abs=1e-5)
    assert abs(score - asked["float32"]) > 1e-4


@pytest.mark.slow
def test_a_detector_and_a_pair_of_faces(run_cnnkit, examples, test_data, tmp_path):
    dog = test_data / "scenes" / "dog.jpg"
    done = run_cnnkit("explain", dog, "--model", "yolov3-tiny", "--class", "dog")
    row = json.loads(done.stdout)
    assert row["label"] == "dog"
    target, box = row["target"], row["box"]
    for start in (0, 1):  # they overlap
        assert box[start] < target[start] + target[start + 2]
        assert target[start] < box[start] + box[start + 2]
    face = examples / "astronaut.jpg"
    done = run_cnnkit("explain", face, "--model", "dlib-face", "--with", face, timeout=300)
    row = json.loads(done.stdout)
    assert row["predicted"] == "same person" and row["score"] > 0.99
    done = run_cnnkit(
        *("explain", face, "--model", "dlib-face", "--with", face, "--precision", "int8"),
        timeout=300,
    )
    assert json.loads(done.stdout)["predicted"] == "same person"
    inside = [row["region"][0] - 1, row["region"][1] - 1]
    assert row["box"][0] >= inside[0] and row["box"][1] >= inside[1]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(run_cnnkit, examples, tmp_path, clean_environment):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        shutil.copy(examples / ("cat.jpg", "coffee.jpg")[number % 2], folder / f"{number:02d}.jpg")
    command = ["explain", "many", "--overlays", "o", "--maps", "m", "-o", "rows.jsonl"]
    command += ["--report", "r.html", "-q"]
    whole = run_cnnkit(*command)
    assert whole.returncode == 0, whole.stderr
    expected = (tmp_path / "rows.jsonl").read_text()
    shutil.rmtree(tmp_path / "o")
    shutil.rmtree(tmp_path / "m")
    for name in ("rows.jsonl", "r.html"):
        (tmp_path / name).unlink()
    part, kills = tmp_path / "rows.jsonl.part", 0
    while not (tmp_path / "rows.jsonl").exists():
        resume = ["--resume"] if part.exists() else []
        process = subprocess.Popen(
            [sys.executable, "-m", "cnnkit", *command, *resume],
            cwd=tmp_path,
            env=clean_environment,
        )
        before = part.stat().st_size if part.exists() else 0
        while process.poll() is None and kills < 3:
            if part.exists() and part.stat().st_size > before + 1000:
                process.kill()
                kills += 1
                break
            time.sleep(0.002)
        process.wait()
    assert kills >= 2
    assert (tmp_path / "rows.jsonl").read_text() == expected
    assert len(list((tmp_path / "o").iterdir())) == len(list((tmp_path / "m").iterdir())) == 60
    assert (tmp_path / "r.html").read_text().count("data:image/jpeg") == 120
    assert not (tmp_path / "r.html.part").exists()


def test_a_folder_of_overlays_holds_those_of_one_run(run_cnnkit, examples, tmp_path) -> None:
    """Nothing to resume: the files are another run's. An image that fails now keeps no overlay."""
    shutil.copy(examples / "cat.jpg", tmp_path / "cat.jpg")
    first = run_cnnkit("explain", "cat.jpg", "-o", "a.jsonl", "--overlays", "heat")
    assert first.returncode == 0, first.stderr
    assert len(list((tmp_path / "heat").iterdir())) == 1
    for resumed in ((), ("--resume",)):
        done = run_cnnkit("explain", "cat.jpg", "-o", "b.jsonl", "--overlays", "heat", *resumed)
        assert (done.returncode, "heat has files already" in done.stderr) == (2, True)
        assert not (tmp_path / "b.jsonl").exists()
    (tmp_path / "cat.jpg").write_text("broken since")
    done = run_cnnkit("explain", "cat.jpg", "-o", "a.jsonl", "--overlays", "heat", "--overwrite")
    assert done.returncode == 1
    assert not (tmp_path / "heat").exists() or not list((tmp_path / "heat").iterdir())
