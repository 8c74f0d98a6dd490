"""The programs in examples/ run as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import run_forked

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_examples_need_nothing_of_cnnkit_but_its_public_names():
    for path in sorted(EXAMPLES.glob("*.py")):
        found = re.findall(r"^(?:from|import) (cnnkit[\w.]*)", path.read_text("utf-8"), re.M)
        assert found == ["cnnkit"], path.name


@pytest.fixture
def run_example(tmp_path, clean_environment):
    """Run a program of examples/ in an empty folder and return the lines that it prints."""

    def run(name, fresh=False):
        program = str(EXAMPLES / name)
        if fresh:  # as a user does, at the cost of all imports
            done = subprocess.run(
                [sys.executable, program],
                cwd=tmp_path,
                env=clean_environment,
                capture_output=True,
                text=True,
                check=False,
            )
        else:
            done = run_forked([program], cwd=tmp_path, env=clean_environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_classify_images(run_example):
    lines = run_example("classify_images.py", fresh=True)
    assert any(line.startswith("coffee.jpg: espresso") for line in lines)
    assert lines[-1] == "most alike: coffee-rotated.jpg and coffee.jpg"


def test_classify_by_example(run_example):
    named = [line.rpartition(" ")[0] for line in run_example("classify_by_example.py")]
    assert named == [
        *("astronaut.jpg: unknown", "cat.jpg: cat", "coffee-rotated.jpg: cup", "coffee.jpg: cup"),
        *("photographer.jpg: unknown", "rocket.jpg: unknown"),
    ]


def test_merge_shards(run_example):
    lines = run_example("merge_shards.py")
    assert lines[2] == "merged: 6 rows in the order of the images"
    assert [line.partition(":")[0] for line in lines[3:6]] == [
        *("astronaut.jpg", "cat.jpg", "coffee-rotated.jpg")
    ]


@pytest.mark.slow
def test_explain_images(run_example, tmp_path):
    assert any("coffee.jpg: espresso" in line for line in run_example("explain_images.py"))
    assert (tmp_path / "explained" / "coffee.png").is_file()


@pytest.mark.slow
def test_import_model(run_example):
    lines = run_example("import_model.py")
    assert lines[0] == "squeezenet: classify, 5 images to look at"
    assert lines[-1] == "coffee.jpg: espresso"


@pytest.mark.slow
def test_stylize_image(run_example):
    lines = run_example("stylize_image.py")
    assert lines[0] == "in one pass: 256 x 170"
    first, last = (float(line.rpartition(" ")[2]) for line in lines[1:3])
    assert last < first / 2  # the style loss: 0.68 and 0.16 where it was measured
    assert lines[-1] == "painted cat.jpg like coffee.jpg: 128 x 85"


def test_check_dataset(run_example):
    assert run_example("check_dataset.py") == [
        "error: 1 file cannot be read",
        "error: the same image is in two classes, 1 group of copies",
        "mended: 0 findings, fit to train on: True",
    ]


def test_augment_images(run_example):
    line = re.compile(r"(\w+): (\d+ x \d+) pixels, mean change (\S+)")
    seen = [line.fullmatch(one) for one in run_example("augment_images.py")]
    assert [match[1] for match in seen] == ["none", "light", "strong"]
    assert {match[2] for match in seen} == {"1820 x 626"}
    none, light, strong = (float(match[3]) for match in seen)
    assert none == 0 and light > 8 and strong > 8  # 16.9 and 16.7 where it was measured


def test_convert_boxes(run_example):
    lines = run_example("convert_boxes.py")
    assert lines[0] == "1 image, 1 box, complete: True"
    center = ((90 + 225.5 / 2) / 451, (60 + 150 / 2) / 300)
    label, *numbers = lines[1].removeprefix("YOLO: ").split()
    assert (label, [float(n) for n in numbers]) == ("0", pytest.approx([*center, 0.5, 0.5]))
    assert json.loads(lines[2].removeprefix("COCO: ")) == pytest.approx([90, 60, 225.5, 150])


@pytest.mark.slow
def test_custom_network(run_example):
    lines = run_example("custom_network.py")
    assert lines[0] == "10,090 parameters"
    assert float(lines[-1].partition("%")[0]) > 75  # 10 is chance, 88 where it was measured


@pytest.mark.slow
def test_learn_a_filter(run_example):
    lines = run_example("learn_a_filter.py")
    assert lines[0].startswith("step 0: loss ")
    found = [[float(number) for number in line.split()] for line in lines[-3:]]
    assert found == [[1, 0, -1], [2, 0, -2], [1, 0, -1]]


def test_evaluate_classifier(run_example):
    lines = run_example("evaluate_classifier.py")
    assert lines[0] == "top-1 0.60, top-5 0.80"
    assert lines[1].startswith("cat.jpg shows tabby, called tiger cat (")
    assert len(lines) == 3


@pytest.mark.slow
def test_export_classifier(run_example):
    lines = run_example("export_classifier.py")
    found = re.fullmatch(r"checked on 10 images: differs by (\S+) at most", lines[0])
    assert found is not None and float(found[1]) < 1e-3
    found = re.fullmatch(r"coffee.jpg: espresso \((\S+)\)", lines[1])
    assert found is not None and float(found[1]) > 0.9


def test_detect_objects(run_example):
    lines = run_example("detect_objects.py")
    seen = re.compile(r"(\S+): (\S+) \((\d+)%\), (\d+) x (\d+) pixels at (\d+), (\d+)")
    found = {match[1]: match for match in map(seen.fullmatch, lines) if match}
    for name, label, box in (
        ("cat.jpg", "cat", [440, 295, 1, 1]),
        ("photographer.jpg", "person", [316, 444, 4, 68]),
    ):
        assert found[name][2] == label and int(found[name][3]) >= 50
        assert [int(found[name][n]) for n in range(4, 8)] == pytest.approx(box, abs=10)
    assert lines[-1] == "in all: 2 person, 2 dining table, 1 cat"


@pytest.mark.slow
def test_detect_in_video(run_example, tmp_path):
    pytest.importorskip("av", reason="the extra `video` is not installed")
    lines = run_example("detect_in_video.py")
    found = re.fullmatch(r"person 1: 0\.0 s to 1\.1 s, moved \+(\d+) pixels to the right", lines[0])
    assert 25 <= int(found[1]) <= 75
    assert (tmp_path / "drawn.mp4").is_file()


def test_verify_faces(run_example):
    lines = run_example("verify_faces.py")
    assert lines[0].startswith("turned, darker, recompressed: same person")
    assert lines[1].startswith("a cup of coffee: no face of at least 40 pixels")


def test_face_gallery(run_example):
    lines = run_example("face_gallery.py")
    assert lines[0] == "enrolled 2 photos"
    for line, known in zip(
        lines[1:3], ("a darker photo: Eileen", "a mirrored one: Philip"), strict=True
    ):
        named, _, sure = line.removesuffix("% sure").partition(", ")
        assert named == known and int(sure) > 90
    assert lines[3] == "after Philip is forgotten: unknown (too far)"


@pytest.mark.slow
def test_train_face(run_example):
    lines = run_example("train_face.py")
    assert lines[0] == "learned from 6 digits"
    told, _, area = lines[1].rpartition(" ")
    assert told == "2 digits never seen: AUC"
    assert 0.6 <= float(area) <= 1  # 0.5 is chance; 0.72 where it was measured


@pytest.mark.slow
def test_transfer_learn(run_example):
    lines = run_example("transfer_learn.py")
    told, _, accuracy = lines[0].rpartition(" ")
    assert told == "accuracy on test:"
    assert float(accuracy) >= 0.8  # 0.5 is chance
    assert lines[1] == "new.png: square"


@pytest.mark.slow
def test_fine_tune(run_example):
    lines = run_example("fine_tune.py")
    assert [line.split(":")[0] for line in lines[:3]] == ["epoch 0", "epoch 1", "epoch 2"]
    assert float(lines[3].removeprefix("accuracy on validation: ")) >= 0.6  # 0.1 is chance


@pytest.mark.slow
def test_train_detector(run_example):
    lines = run_example("train_detector.py")
    assert float(lines[0].removeprefix("AP50 on validation: ")) > 0.3  # 0.75 where it was measured
    drawn = json.loads(lines[1].removeprefix("new.png shows a disc at "))
    found = re.fullmatch(r"best: disc at (\[.*\]), score 0\.\d\d", lines[2])
    assert found is not None and json.loads(found[1]) == pytest.approx(drawn, abs=10)


@pytest.mark.slow
def test_train_style(run_example):
    lines = run_example("train_style.py")
    assert [line.split(":")[0] for line in lines[:2]] == ["step 1", "step 5"]
    before, after = (float(number) for number in re.findall(r"\d\.\d+", lines[-2]))
    assert after < before
    assert lines[-1] == "painted cat.jpg with painter: 451 x 300"


def test_find_copies(run_example):
    assert run_example("find_copies.py") == [
        "keep cat.jpg, not cat-small.jpg (near)",
        "keep coffee-rotated.jpg, not coffee.jpg (near)",
        "keep rocket (1).jpg, not rocket.jpg (exact)",
        "copies left: 0",
    ]


@pytest.mark.slow
def test_serve_and_ask(run_example):
    pytest.importorskip("uvicorn")  # the extra `serve`
    lines = run_example("serve_and_ask.py")
    assert [line.partition("%  ")[2] for line in lines[:2]] == ["tiger cat", "Egyptian cat"]
    assert lines[2:] == ["the same as in Python: True", "stopped with status 0"]


def test_search_images(run_example):
    lines = run_example("search_images.py")
    assert lines[0] == "1.00 coffee.jpg"
    assert lines[1].endswith("coffee-rotated.jpg")
