"""Measures ``cnnkit dedupe --look-alikes``: different photos grouped, changed ones found.

    python benchmarks/look_alikes.py [--data FOLDER] [--models NAME ...]

Photos of FOLDER (`CNNKIT_TEST_DATA` by default): imagenet200, catdog, and coco64, in which nearly
no two show the same scene. The similarity that one in 100,000 of their pairs reaches is where the
default of ``--min-score`` comes from. Every fourth photo is changed in ways that other photos of
the same scene are: a part of it, turned, seen from the side, and so on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from by_examples import embeddings
from photos import add_data
from PIL import Image, ImageOps

from cnnkit.commands.look_alikes import CANDIDATE_BITS, MIN_SCORES
from cnnkit.diagnosis.duplicates import bits_apart
from cnnkit.diagnosis.fingerprints import read_fingerprints

FOLDERS = ("imagenet200/images", "catdog", "coco64")
SHARES = (0.999, 0.9999, 0.99999)


def part(image: Image.Image, share: float) -> Image.Image:
    """Return the middle of an image, of this share of its width and height."""
    width, height = (round(side * share) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def from_the_side(image: Image.Image) -> Image.Image:
    """Return an image in another perspective."""
    width, height = image.size
    corners = (0, 0, 0.08 * width, height, width, 0.92 * height, 0.9 * width, 0.06 * height)
    return image.transform(image.size, Image.Transform.QUAD, corners)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "nine tenths of the width and height": lambda image: part(image, 0.9),
    "eight tenths": lambda image: part(image, 0.8),
    "two thirds": lambda image: part(image, 0.65),
    "mirrored, eight tenths": lambda image: part(ImageOps.mirror(image), 0.8),
    "turned by 8 degrees, eight tenths": lambda image: part(
        image.rotate(8, Image.Resampling.BICUBIC), 0.8
    ),
    "from the side": from_the_side,
}


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors at length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measure(data: Path, model: str, changed: Path) -> None:
    """Print the figures of one model."""
    parts = [embeddings(data / folder, model) for folder in FOLDERS]
    vectors = unit(np.concatenate([vectors for vectors, _ in parts]))
    paths = [path for _, paths in parts for path in paths]
    upper = np.triu_indices(len(vectors), 1)
    scores = (vectors @ vectors.T)[upper]
    shown = ", ".join(f"{np.quantile(scores, share):.3f}" for share in SHARES)
    least = MIN_SCORES[model]
    prints = read_fingerprints(list(map(str, paths)))
    candidates = bits_apart(prints, *upper) <= CANDIDATE_BITS
    alike = scores >= least
    print(f"\n{model}: {len(scores):,} pairs of different photos; quantiles {SHARES}: {shown}")
    print(f"at {least}: {alike.sum()} pairs alike, {(alike & candidates).sum()} of them candidates")
    print("| change | found among candidates | found with --all-pairs |\n|---|---|---|")
    chosen = np.arange(0, len(paths), 4)
    for number, name in enumerate(CHANGES):
        folder = changed / str(number)
        own, files = embeddings(folder, model)
        similar = (unit(own) * vectors[chosen]).sum(1) >= least
        both = read_fingerprints([*(str(paths[n]) for n in chosen), *map(str, files)])
        places = np.arange(len(chosen))
        close = bits_apart(both, places, places + len(chosen)) <= CANDIDATE_BITS
        print(f"| {name} | {(similar & close).mean():.2f} | {similar.mean():.2f} |", flush=True)


def main() -> None:
    """Measure every model and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--models", nargs="*", default=list(MIN_SCORES))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        changed = Path(temporary)
        paths = [path for f in FOLDERS for path in embeddings(chosen.data / f, "squeezenet-1.1")[1]]
        for number, change in enumerate(CHANGES.values()):
            (changed / str(number)).mkdir()
            for place, path in enumerate(paths[::4]):
                with Image.open(path) as image:
                    copy = change(ImageOps.exif_transpose(image).convert("RGB"))
                    copy.save(changed / str(number) / f"{place:05d}.jpg", quality=88)
        for model in chosen.models:
            measure(chosen.data, model, changed)


if __name__ == "__main__":
    main()
