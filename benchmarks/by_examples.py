"""Measures ``cnnkit classify --examples``: known classes named right, other images left unknown.

    python benchmarks/by_examples.py [--data FOLDER] [--splits 30] [--models NAME ...]

Two tasks, from folders in FOLDER (`CNNKIT_TEST_DATA` by default). ``catdog``: photos of cats and
dogs; unknown are the photos of imagenet200 that show neither. ``kinds``: five of the ten kinds of
benchmarks/few_shot.py, drawn for each split, such as birds or food, each photo of another species
or dish; unknown are all other photos of imagenet200. Each split draws other examples; every other
photo is classified.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from few_shot import KINDS
from photos import add_data

import cnnkit
from cnnkit.classification.example_classes import ExampleClasses, ExampleFiles

MODELS = ("efficientnet-lite0", "squeezenet-1.1")
DRAWN = 5  # kinds that are known in a split
SHOTS = {"catdog": (5, 10, 20), "kinds": (3, 5)}

# Examples, images of known classes and their labels, and unknown images: all embeddings.
Split = tuple[ExampleClasses, np.ndarray, np.ndarray, np.ndarray]


def embeddings(images: Path, model: str) -> tuple[np.ndarray, list[Path]]:
    """Return the embeddings of all images of a folder, and their paths."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.npy")
        cnnkit.classify(images, model=model, embeddings=file)
        lines = Path(folder, "images.npy.paths.jsonl").read_text(encoding="utf-8").splitlines()
        return np.load(file), [Path(json.loads(line)["path"]) for line in lines[1:]]


def kind_of(index: int) -> int:
    """Return the number of the kind of one of ImageNet's classes, -1 for none."""
    for number, ranges in enumerate(KINDS.values()):
        if any(low <= index <= high for low, high in ranges):
            return number
    return -1


def imagenet(data: Path, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of imagenet200 and the kind of each."""
    vectors, paths = embeddings(data / "imagenet200" / "images", model)
    with (data / "imagenet200" / "labels.csv").open(newline="", encoding="utf-8") as file:
        kinds = {row["file"]: kind_of(int(row["class_index"])) for row in csv.DictReader(file)}
    return vectors, np.array([kinds[path.name] for path in paths])


def split(
    vectors: np.ndarray, labels: np.ndarray, unknown: np.ndarray, shots: int, seed: int
) -> Split:
    """Draw so many examples of each class; the rest are tested."""
    random = np.random.default_rng(seed)
    chosen = np.concatenate(
        [random.permutation(np.flatnonzero(labels == c))[:shots] for c in np.unique(labels)]
    )
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    names = tuple(str(number) for number in np.unique(labels))
    files = ExampleFiles("", names, tuple(map(str, chosen)), labels[chosen], "")
    return ExampleClasses(files, vectors[chosen]), vectors[rest], labels[rest], unknown


def splits_of_kinds(data: Path, model: str, shots: int, splits: int) -> Iterator[Split]:
    """Yield splits in which five kinds are known."""
    vectors, kinds = imagenet(data, model)
    common = np.flatnonzero(np.bincount(kinds[kinds >= 0]) >= shots + 2)
    for seed in range(splits):
        known = np.sort(np.random.default_rng(seed).permutation(common)[:DRAWN])
        belongs = np.isin(kinds, known)
        labels = np.searchsorted(known, kinds[belongs])
        yield split(vectors[belongs], labels, vectors[~belongs], shots, seed)


def splits_of_catdog(data: Path, model: str, shots: int, splits: int) -> Iterator[Split]:
    """Yield splits in which cats and dogs are known."""
    vectors, paths = embeddings(data / "catdog", model)
    labels = np.array([int(path.parent.name == "dog") for path in paths])
    others, kinds = imagenet(data, model)
    names = list(KINDS)
    unknown = others[~np.isin(kinds, [names.index("dogs"), names.index("cats and bears")])]
    for seed in range(splits):
        yield split(vectors, labels, unknown, shots, seed)


def measure(drawn: Iterator[Split]) -> np.ndarray:
    """Return the means of the figures that `main` prints, float (4,)."""
    figures = []
    for classes, known, truth, unknown in drawn:
        threshold = classes.calibrated_threshold()
        scores = np.stack([classes.similarities(one) for one in known])
        kept, right = scores.max(1) >= threshold, scores.argmax(1) == truth
        others = np.array([classes.similarities(one).max() for one in unknown])
        figures.append([right.mean(), kept.mean(), right[kept].mean(), (others < threshold).mean()])
    return np.mean(figures, axis=0)


TASKS: dict[str, Callable[[Path, str, int, int], Iterator[Split]]] = {
    "catdog": splits_of_catdog,
    "kinds": splits_of_kinds,
}


def main() -> None:
    """Measure both tasks and print the figures as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--models", nargs="*", default=MODELS)
    chosen = parser.parse_args()
    print(
        "| task | model | examples per class | right | known kept | right of kept | unknown found |"
    )
    print("|---|---|---|---|---|---|---|")
    for task, splits in TASKS.items():
        for model in chosen.models:
            for shots in SHOTS[task]:
                found = measure(splits(chosen.data, model, shots, chosen.splits))
                shown = " | ".join(f"{value:.3f}" for value in found)
                print(f"| {task} | {model} | {shots} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
