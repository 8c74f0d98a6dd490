"""The programs in examples/ run as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_examples_need_nothing_of_cnnkit_but_its_public_names():
    for path in sorted(EXAMPLES.glob("*.py")):
        found = re.findall(r"^(?:from|import) (cnnkit[\w.]*)", path.read_text("utf-8"), re.M)
        assert found == ["cnnkit"], path.name


def test_classify_images(clean_environment):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "classify_images.py")],
        env=clean_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("coffee.jpg: espresso") for line in lines)
    assert lines[-1] == "most alike: coffee-rotated.jpg and coffee.jpg"


def test_explain_images(clean_environment, tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "explain_images.py")],
        cwd=tmp_path,
        env=clean_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "coffee.jpg: espresso" in done.stdout
    assert (tmp_path / "explained" / "coffee.png").is_file()


def test_stylize_image(clean_environment):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "stylize_image.py")],
        env=clean_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "in one pass: 256 x 170"
    first, last = (float(line.rpartition(" ")[2]) for line in lines[1:3])
    assert last < first / 2  # the style loss: 0.68 and 0.16 where it was measured
    assert lines[-1] == "painted cat.jpg like coffee.jpg: 128 x 85"


def run_example(name, environment):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_custom_network(clean_environment):
    lines = run_example("custom_network.py", clean_environment)
    assert lines[0] == "10,090 parameters"
    assert float(lines[-1].partition("%")[0]) > 75  # 10 is chance, 88 where it was measured


def test_learn_a_filter(clean_environment):
    lines = run_example("learn_a_filter.py", clean_environment)
    assert lines[0].startswith("step 0: loss ")
    found = [[float(number) for number in line.split()] for line in lines[-3:]]
    assert found == [[1, 0, -1], [2, 0, -2], [1, 0, -1]]


def test_evaluate_classifier(clean_environment):
    lines = run_example("evaluate_classifier.py", clean_environment)
    assert lines[0] == "top-1 0.60, top-5 0.80"
    assert lines[1].startswith("cat.jpg shows tabby, called tiger cat (")
    assert len(lines) == 3


def test_export_classifier(clean_environment):
    lines = run_example("export_classifier.py", clean_environment)
    found = re.fullmatch(r"checked on 10 images: differs by (\S+) at most", lines[0])
    assert found is not None and float(found[1]) < 1e-3
    found = re.fullmatch(r"coffee.jpg: espresso \((\S+)\)", lines[1])
    assert found is not None and float(found[1]) > 0.9


def test_detect_objects(clean_environment):
    lines = run_example("detect_objects.py", clean_environment)
    seen = re.compile(r"(\S+): (\S+) \((\d+)%\), (\d+) x (\d+) pixels at (\d+), (\d+)")
    found = {match[1]: match for match in map(seen.fullmatch, lines) if match}
    for name, label, box in (
        ("cat.jpg", "cat", [440, 295, 1, 1]),
        ("photographer.jpg", "person", [316, 444, 4, 68]),
    ):
        assert found[name][2] == label and int(found[name][3]) >= 50
        assert [int(found[name][n]) for n in range(4, 8)] == pytest.approx(box, abs=10)
    assert lines[-1] == "in all: 2 person, 2 dining table, 1 cat"


def test_verify_faces(clean_environment):
    lines = run_example("verify_faces.py", clean_environment)
    assert lines[0].startswith("turned, darker, recompressed: same person")
    assert lines[1].startswith("a cup of coffee: no face of at least 40 pixels")


def test_face_gallery(clean_environment):
    lines = run_example("face_gallery.py", clean_environment)
    assert lines[0] == "enrolled 2 photos"
    for line, known in zip(
        lines[1:3], ("a darker photo: Eileen", "a mirrored one: Eva"), strict=True
    ):
        named, _, sure = line.removesuffix("% sure").partition(", ")
        assert named == known and int(sure) > 90
    assert lines[3] == "after Eva is forgotten: unknown (too far)"


def test_train_face(clean_environment):
    lines = run_example("train_face.py", clean_environment)
    assert lines[0] == "learned from 6 digits"
    told, _, area = lines[1].rpartition(" ")
    assert told == "2 digits never seen: AUC"
    assert 0.6 <= float(area) <= 1  # 0.5 is chance; 0.72 where it was measured


def test_transfer_learn(clean_environment):
    lines = run_example("transfer_learn.py", clean_environment)
    told, _, accuracy = lines[0].rpartition(" ")
    assert told == "accuracy on test:"
    assert float(accuracy) >= 0.8  # 0.5 is chance
    assert lines[1] == "new.png: square"


@pytest.mark.slow
def test_fine_tune(clean_environment):
    lines = run_example("fine_tune.py", clean_environment)
    assert [line.split(":")[0] for line in lines[:3]] == ["epoch 0", "epoch 1", "epoch 2"]
    assert float(lines[3].removeprefix("accuracy on validation: ")) >= 0.6  # 0.1 is chance


@pytest.mark.slow
def test_train_detector(clean_environment):
    lines = run_example("train_detector.py", clean_environment)
    assert float(lines[0].removeprefix("AP50 on validation: ")) > 0.02
    assert lines[1].startswith("new.png shows a disc; surest: ")


@pytest.mark.slow
def test_train_style(clean_environment):
    lines = run_example("train_style.py", clean_environment)
    assert [line.split(":")[0] for line in lines[:2]] == ["step 1", "step 5"]
    before, after = (float(number) for number in re.findall(r"\d\.\d+", lines[-2]))
    assert after < before
    assert lines[-1] == "painted cat.jpg with painter: 451 x 300"
