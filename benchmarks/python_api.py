"""Measures `Classifier.predict` of a list against ``cnnkit classify`` of a folder, in one run.

    python benchmarks/python_api.py [--data FOLDER] [--files 500] [--rounds 3]

Both have the same model and the same files, in this process; they take turns, and the median of
the rounds counts. What is reported is the ratio: at least 0.9 is wanted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from classify import repeated

import cnnkit
from cnnkit.classification import classify_folders
from cnnkit.folder_job import Outputs
from cnnkit.images import find_images


def seconds_of_job(classifier: cnnkit.Classifier, folder: Path, rows: Path) -> float:
    """Return how long the folder job takes that ``cnnkit classify -o FILE`` runs."""
    outputs = Outputs(rows=rows, overwrite=True)
    started = time.perf_counter()
    summary = classify_folders(classifier, find_images([folder]), outputs, options={})
    seconds = time.perf_counter() - started
    assert summary.failed == 0
    return seconds


def seconds_of_predict(classifier: cnnkit.Classifier, files: list[str]) -> float:
    """Return how long one call takes for all files."""
    started = time.perf_counter()
    results = classifier.predict(files)
    seconds = time.perf_counter() - started
    assert all(isinstance(result, cnnkit.Classification) for result in results)
    return seconds


def main() -> None:
    """Measure both and print images/s and the ratio as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[1] / "examples" / "images"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    classifier = cnnkit.Classifier.load()
    job, predict = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = repeated(chosen.data, Path(scratch) / "images", chosen.files)
        files = sorted(str(path) for path in folder.iterdir())
        classifier.predict(files[:16])  # the first calls are slower
        for _ in range(chosen.rounds):
            job.append(seconds_of_job(classifier, folder, Path(scratch) / "rows.jsonl"))
            predict.append(seconds_of_predict(classifier, files))
    rates = [chosen.files / statistics.median(seconds) for seconds in (job, predict)]
    found = {"classify": rates[0], "predict": rates[1], "ratio": rates[1] / rates[0]}
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()
