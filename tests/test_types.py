"""What a type checker says of a program that uses the public API."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# `assert_type` fails in mypy where a type is not the very one that is written.
PROGRAM = """\
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from PIL import Image

import cnnkit
from cnnkit import Classification, Detections, Explanation, FaceMatch, Failure, Summary

classifier = cnnkit.Classifier.load("efficientnet-lite0", top_k=3, device="cpu")
assert_type(classifier.predict("a.jpg"), Classification | Failure)
assert_type(classifier.predict(Path("a.jpg")), Classification | Failure)
assert_type(classifier.predict(np.zeros((8, 8, 3), np.uint8)), Classification | Failure)
assert_type(classifier.predict(Image.new("RGB", (8, 8))), Classification | Failure)
assert_type(classifier.predict(["a.jpg", "b.jpg"]), list[Classification | Failure])
assert_type(classifier.predict([Path("a.jpg")]), list[Classification | Failure])
assert_type(classifier.predict(Path().glob("*.jpg")), list[Classification | Failure])
for path, classified in classifier.stream("photos/", workers=2):
    if isinstance(classified, Failure):
        print(path, classified.kind, classified.message)
    else:
        print(path, classified.label, classified.score, classified.predictions[0].class_id)

detections = cnnkit.Detector.load(confidence=0.5).predict("street.jpg")
if isinstance(detections, Detections):
    assert_type(detections.xyxy, np.ndarray)
    for one in detections:
        print(one.label, one.score, one.xyxy, one.xywh, one.to_dict())

verifier = cnnkit.FaceVerifier.load()
assert_type(verifier.predict(("a.jpg", "b.jpg")), FaceMatch | Failure)
assert_type(verifier.predict([("a.jpg", "b.jpg")]), list[FaceMatch | Failure])
assert_type(cnnkit.Explainer.load().predict("a.jpg"), Explanation | Failure)

assert_type(cnnkit.classify(["photos/"], output=Path("rows.jsonl"), resume=True), Summary)
trained = cnnkit.transfer_learn("flowers/", "flowers.bundle", epochs=2)
assert_type(trained, cnnkit.TrainedModel)
assert_type(trained.metrics, dict[str, Any])
print(cnnkit.evaluate(trained.path, "held-out/").metrics)
assert_type(cnnkit.__version__, str)
"""

# What must be refused, a line for each.
MISUSES = """\
import cnnkit
cnnkit.Classifier.load(top_k="3")
cnnkit.Classifier.load(topk=3)
cnnkit.Classifier.load().predict(3)
cnnkit.Classifier.load().predict("a.jpg").label
cnnkit.classify("photos/", "efficientnet-lite0")
cnnkit.Clasifier
"""


def checked(folder: Path, program: str) -> list[str]:
    """Return what a fresh `mypy --strict` finds in a program, and nothing of cnnkit's inside."""
    file = folder / "program.py"
    file.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
            *("--follow-imports", "silent", "--ignore-missing-imports"),
            *("--config-file", os.devnull, "--cache-dir", str(folder / "cache"), file.name),
        ],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


@pytest.mark.slow
def test_a_program_passes_a_strict_type_checker_and_misuses_do_not(tmp_path: Path) -> None:
    assert checked(tmp_path, PROGRAM) == []
    found = [int(line.split(":")[1]) for line in checked(tmp_path, MISUSES)]
    assert found == list(range(2, len(MISUSES.splitlines()) + 1))
