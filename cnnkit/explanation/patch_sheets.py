"""What a search for patches leaves: a table, and contact sheets of three by three a unit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from cnnkit.explanation.patches import TILE, Patch, PatchSearch
from cnnkit.explanation.sheets import SheetTile, sheet
from cnnkit.images.prepare import PAD_VALUE
from cnnkit.writers.replacing import replacing
from cnnkit.writers.row_files import csv_line, harmless_cell

UNITS_PER_SHEET, UNITS_PER_ROW, SIDE = 64, 8, 3
HEADER = ("layer", "unit", "rank", "activation", "path", "left", "top", "right", "bottom")


def write_patches(path: Path, layer: str, patches: list[Patch]) -> None:
    """Write the table of the patches, whole or not at all."""
    with replacing(path) as file:
        file.write(csv_line(list(HEADER)).encode())
        for patch in patches:
            cells = [layer, str(patch.unit), str(patch.rank), f"{patch.activation:.6g}", patch.path]
            cells += [str(edge) for edge in patch.box]
            file.write(csv_line([harmless_cell(cell) for cell in cells]).encode())


def blocks(patches: list[Patch]) -> Iterator[tuple[int, list[Patch], np.ndarray]]:
    """Give each unit that was excited at all: its patches, and their image of three by three."""
    for unit, group in groupby(patches, key=lambda patch: patch.unit):
        own = list(group)
        block = np.full((SIDE * TILE, SIDE * TILE, 3), PAD_VALUE, np.uint8)
        for number, patch in enumerate(own):
            top, left = number // SIDE * TILE, number % SIDE * TILE
            if patch.pixels is not None:
                block[top : top + TILE, left : left + TILE] = patch.pixels
        yield unit, own, block


def patch_sheets(search: PatchSearch, patches: list[Patch]) -> Iterator[np.ndarray]:
    """Give the contact sheets, 64 units each."""
    tiles = []
    for unit, own, block in blocks(patches):
        tiles.append(SheetTile(block, f"unit {unit}: {own[0].activation:.3g}"))
        if len(tiles) == UNITS_PER_SHEET:
            yield _sheet(search, tiles)
            tiles = []
    if tiles:
        yield _sheet(search, tiles)


def _sheet(search: PatchSearch, tiles: list[SheetTile]) -> np.ndarray:
    note = f"{search.bundle.card.name}, {search.seen:,} images"
    return sheet(tiles, search.layer, note, UNITS_PER_ROW)
