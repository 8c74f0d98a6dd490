"""Images of one face to verify, made of the free example image."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

PAIRS = "a,b,same\npassport.jpg,selfie.jpg,1\nselfie.jpg,passport.jpg,1\n"


def write_two_people(folder: Path, examples: Path) -> None:
    """Write a list of a pair of one person and of one of two; the second person is a stretch."""
    with Image.open(examples / "astronaut.jpg") as opened:
        opened.resize((700, 500)).save(folder / "other.jpg", quality=95)
    lines = ["a,b,same", "passport.jpg,selfie.jpg,1", "passport.jpg,other.jpg,0"]
    (folder / "measured.csv").write_text("\n".join(lines))


def write_astronauts(folder: Path, examples: Path) -> Path:
    """Write a passport photo, a turned, darker, recompressed selfie, and a list of pairs.

    Besides: both beside each other, a cup of coffee, and a torn file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(examples / "astronaut.jpg", folder / "passport.jpg")
    shutil.copy(examples / "coffee.jpg", folder / "coffee.jpg")
    with Image.open(examples / "astronaut.jpg") as opened:
        turned = opened.rotate(8, Image.Resampling.BICUBIC).point(lambda value: value * 0.8)
        turned.save(folder / "selfie.jpg", quality=60)
        both = np.concatenate([np.asarray(opened), np.asarray(opened)[:, ::-1]], axis=1)
    Image.fromarray(both).save(folder / "two.jpg")
    (folder / "torn.jpg").write_bytes((folder / "passport.jpg").read_bytes()[:4000])
    (folder / "pairs.csv").write_text(PAIRS)
    write_two_people(folder, examples)
    return folder
