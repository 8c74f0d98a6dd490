"""Measures galleries and learning a similarity.

    python benchmarks/gallery.py [search] [digits] [commands --faces FOLDER]

search: 100,000 made-up people, plain and encrypted, against the search that face_recognition has
(``numpy.linalg.norm`` of all differences) and a loop over rows, as over a data frame, in turns.
digits: scikit-learn's digits, 80 % to learn from, by every loss; the area under the ROC curve of
verification on the held-out 20 %, and on digits that were never seen, of raw pixels beside it.
commands: enrols FOLDER/gallery, identifies FOLDER/probes; a probe's name begins with its person's.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

from cnnkit.data import Shares
from cnnkit.faces.gallery import (
    EmbedderRecord,
    GalleryFile,
    GallerySettings,
    NewPhoto,
    content_digest,
    decide,
)
from cnnkit.faces.pairs import area_under_curve, pair_distances
from cnnkit.faces.training import EmbedderSettings, learn_faces

PEOPLE = 100_000
DIMENSIONS = 128
QUERIES = 30
LOSSES = ("semi-hard", "batch-hard", "batch-all", "logistic")
DIGIT_SIDE = 32


def timed(action: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds of an action and what it gives."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


# --- search ------------------------------------------------------------------------------


def made_up_vectors() -> np.ndarray:
    """Return vectors of the length of dlib's, float32 (people, 128)."""
    vectors = np.random.default_rng(0).normal(size=(PEOPLE, DIMENSIONS)).astype(np.float32)
    return 1.44 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def search(folder: Path) -> None:
    """Measure a large gallery."""
    vectors = made_up_vectors()
    settings = GallerySettings(EmbedderRecord("made-up", "0", "none", DIMENSIONS), 0.6, 0.04)
    photos = [
        NewPhoto(f"person {n}", content_digest(str(n).encode()), vectors[n], f"{n}/1.jpg")
        for n in range(PEOPLE)
    ]
    for name, passphrase in (("plain", None), ("encrypted", lambda: b"a passphrase")):
        path = folder / name
        with GalleryFile.create(path, settings, passphrase) as gallery:
            seconds, _ = timed(lambda gallery=gallery: gallery.add(photos))
        print(f"{name}: {PEOPLE:,} enrolled in {seconds:.1f} s, {path.stat().st_size / 1e6:.0f} MB")
        opening, gallery = timed(lambda path=path, word=passphrase: GalleryFile.open(path, word))
        loading, index = timed(gallery.index)
        print(f"{name}: opened and checked in {opening:.2f} s, loaded in {loading:.2f} s")
        compare_searches(index, vectors, settings)
        forgetting, _ = timed(lambda gallery=gallery: gallery.forget(["person 7"]))
        print(f"{name}: one person forgotten in {forgetting:.2f} s")
        gallery.close()


def compare_searches(index, vectors: np.ndarray, settings: GallerySettings) -> None:
    """Search by each way in turns, and print milliseconds and ratios."""
    generator = np.random.default_rng(1)
    wanted = generator.integers(0, PEOPLE, QUERIES)
    probes = vectors[wanted] + 0.02 * generator.normal(size=(QUERIES, DIMENSIONS)).astype("f4")
    ways = {
        "cnnkit": lambda probe: int(decide(index, probe, settings).nearest[0].person[7:]),
        "face_recognition's": lambda p: int(np.argmin(np.linalg.norm(vectors - p, axis=1))),
        "row by row": lambda p: int(np.argmin([np.linalg.norm(row - p) for row in vectors])),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number, (probe, truth) in enumerate(zip(probes, wanted, strict=True)):
        for name, way in ways.items():
            if name == "row by row" and number >= 3:
                continue
            seconds, found = timed(lambda way=way, probe=probe: way(probe))
            assert found == truth, name
            times[name].append(1000 * seconds)
    ours = statistics.median(times["cnnkit"])
    for name, values in times.items():
        value = statistics.median(values)
        print(f"  {name:<20} {value:9.1f} ms a face   cnnkit is {value / ours:.1f} times as fast")


# --- learning ----------------------------------------------------------------------------


@contextmanager
def quiet(stage: str, count: int):
    """Show nothing."""
    yield lambda: None


def write_digits(folder: Path, test_share: float) -> Path:
    """Write the digits as images, in train, val and test; test_share 0: without splits."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for place, number in enumerate(order):
        where = folder
        if test_share:
            part = place / len(order)
            name = "test" if part < test_share else "val" if part < 1.8 * test_share else "train"
            where = folder / name
        where = where / f"digit {digits.target[number]}"
        where.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 255 / 16).astype(np.uint8)
        cv2.imwrite(str(where / f"{number:04d}.png"), pixels)
    return folder


def pixel_area(paths: list[str], labels: np.ndarray) -> float:
    """Return the area under the curve of plain pixels."""
    pixels = np.stack([cv2.imread(path, cv2.IMREAD_GRAYSCALE).ravel() for path in paths])
    return area_under_curve(pair_distances(pixels.astype(float), labels))


def digits(folder: Path, losses: list[str], epochs: int, seeds: int) -> None:
    """Learn from digits by every loss, and print the areas under the curve."""
    seen = write_digits(folder / "seen", 0.2)
    unseen = write_digits(folder / "unseen", 0.0)
    for loss in losses:
        outcome = learn_faces(learning_settings(seen, folder, loss, epochs, 0, "pictures"), quiet)
        test = outcome.people.split("test")
        paths = [outcome.people.dataset.files[i].path for i in test.indices]
        raw = pixel_area(paths, test.labels)
        areas, raws = [], []
        for seed in range(seeds):
            chosen = learning_settings(unseen, folder, loss, epochs, seed, "people")
            new = learn_faces(chosen, quiet)
            part = new.people.split("test")
            areas.append(new.figures["test"]["auc"])
            files = [new.people.dataset.files[i].path for i in part.indices]
            raws.append(pixel_area(files, part.labels))
        print(
            f"{loss:<10} held-out images: AUC {outcome.figures['test']['auc']:.4f} (raw pixels "
            f"{raw:.4f}), {outcome.seconds:.0f} s; digits never seen, mean of {seeds}: "
            f"{np.mean(areas):.3f} ({', '.join(f'{a:.3f}' for a in areas)}; raw pixels "
            f"{np.mean(raws):.3f})",
            flush=True,
        )


def learning_settings(
    data: Path, folder: Path, loss: str, epochs: int, seed: int, split_by: str
) -> EmbedderSettings:
    """Return the choices of one run."""
    return EmbedderSettings(
        str(data),
        folder / f"{loss}-{split_by}-{seed}",
        loss=loss,
        crop="none",
        size=DIGIT_SIDE,
        people=10,
        photos=8,
        epochs=epochs,
        split_by=split_by,
        shares=Shares(0.2, 0.2),
        augment="none",
        seed=seed,
    )


# --- commands ----------------------------------------------------------------------------


def commands(folder: Path, faces: Path) -> None:
    """Enrol and identify with the commands, and compare the names."""
    gallery = str(folder / "team.gallery")
    for arguments in (["enroll", gallery, str(faces / "gallery")], ["list", gallery]):
        seconds, done = timed(lambda arguments=arguments: cnnkit("gallery", *arguments))
        print(f"gallery {arguments[0]}: {seconds:.2f} s, {done.stdout.splitlines()[0]}")
    people = json.loads(cnnkit("gallery", "list", gallery, "--json").stdout)["people"]
    rows = cnnkit("gallery", "identify", gallery, str(faces / "probes")).stdout.splitlines()
    for row in map(json.loads, rows):
        stem = re.sub(r"\d*$", "", Path(row["path"]).stem)
        expected = stem if stem in people else "unknown"
        verdict = "right" if row["names"] == [expected] else "WRONG"
        found = row["faces"][0]
        print(f"  {Path(row['path']).name}: {found['name']} at {found['distance']:.3f}, {verdict}")


def cnnkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [sys.executable, "-m", "cnnkit", *arguments], check=True, capture_output=True, text=True
    )


def main() -> None:
    """Measure what is asked for, by default search and digits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["search", "digits"])
    parser.add_argument("--faces", type=Path, help="a folder with gallery/ and probes/")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if "search" in chosen.parts:
            search(Path(name))
        if "digits" in chosen.parts:
            digits(Path(name), chosen.losses, chosen.epochs, chosen.seeds)
        if "commands" in chosen.parts:
            commands(Path(name), chosen.faces)


if __name__ == "__main__":
    main()
