"""Where the photos of the benchmarks are: no part of the project."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def photos_folder(*within: str) -> Path | None:
    """Return a folder in the one that CNNKIT_TEST_DATA names; None where it names none."""
    folder = os.environ.get("CNNKIT_TEST_DATA")
    return Path(folder, *within) if folder else None


def add_data(parser: argparse.ArgumentParser, *within: str) -> None:
    """Add ``--data``, a folder, which must be given where CNNKIT_TEST_DATA names none."""
    default = photos_folder(*within)
    parser.add_argument("--data", type=Path, default=default, required=default is None)
