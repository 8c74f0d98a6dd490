"""A sheet to choose from before a long run: styles down, strengths across, small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnkit.style.features import LossNetwork
from cnnkit.style.images import Content, encoded, finished, result_size
from cnnkit.style.optimization import Optimization
from cnnkit.style.settings import OptimizationSettings
from cnnkit.style.steps import Steps
from cnnkit.style.targets import Style, StyleTarget
from cnnkit.writers.replacing import replacing
from cnnkit.writers.terminal import printable

STRENGTHS = (0.5, 0.7, 0.8, 0.9, 0.97)
SIDE = 192
STEPS = 120
GAP, MARGIN, CAPTION = 12, 24, 24
PAGE, TEXT, MUTED = "#ffffff", "#1b1f24", "#59636e"


def choices_sheet(
    network: LossNetwork,
    styles: list[Style],
    settings: OptimizationSettings,
    content: Content,
    path: Path,
    told: Callable[[int, int], None] | None = None,
) -> None:
    """Draw an image in each style, and in their blend, at several strengths.

    Args:
        network: The loss network.
        styles: At least one.
        settings: What else is requested.
        content: The image.
        path: The sheet's file, by its suffix PNG, JPEG or WebP.
        told: Is told how many are done, and of how many.

    Raises:
        OutputError: The output cannot be written.
    """
    rows = [(printable(Path(style.name).name), [style]) for style in styles]
    if len(styles) > 1:
        rows.append(("all of them", styles))
    steps = Steps(network)
    height, width = content.pixels.shape[:2]
    height, width = result_size(height, width, SIDE)
    smallest = network.recipe.smallest
    size = (max(height, smallest), max(width, smallest))
    images: list[tuple[str, list[np.ndarray]]] = []
    for name, blended in rows:
        target = StyleTarget(steps, blended, settings.style_scale)
        line = []
        for strength in STRENGTHS:
            line.append(_painted(steps, content, size, target, settings, strength))
            if told is not None:
                told(len(images) * len(STRENGTHS) + len(line), len(rows) * len(STRENGTHS))
        images.append((name, line))
    with replacing(path) as file:
        file.write(encoded(np.asarray(_drawn(images, size)), None, path.suffix))


def _painted(
    steps: Steps,
    content: Content,
    size: tuple[int, int],
    target: StyleTarget,
    settings: OptimizationSettings,
    strength: float,
) -> np.ndarray:
    small = replace(
        settings,
        steps=min(settings.steps, STEPS),
        alpha=1 - strength,
        beta=strength,
        start="content" if settings.start != "noise" else "noise",
        size=max(size),
        tile=None,
        time_budget=None,
    )
    pixels = Optimization(steps, content.pixels, size, target, small).run()
    return finished(pixels, content, None, settings.preserve_color)


def _drawn(rows: list[tuple[str, list[np.ndarray]]], size: tuple[int, int]) -> Image.Image:
    height, width = size
    columns = len(STRENGTHS)
    page = (
        2 * MARGIN + columns * width + (columns - 1) * GAP,
        MARGIN + CAPTION + len(rows) * (height + CAPTION + GAP) + MARGIN - GAP,
    )
    sheet = Image.new("RGB", page, PAGE)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column, strength in enumerate(STRENGTHS):
        left = MARGIN + column * (width + GAP)
        draw.text((left, MARGIN), f"strength {strength:g}", fill=MUTED, font=font)
    for number, (name, images) in enumerate(rows):
        top = MARGIN + CAPTION + number * (height + CAPTION + GAP)
        draw.text((MARGIN, top), name[-60:], fill=TEXT, font=font)
        for column, pixels in enumerate(images):
            sheet.paste(Image.fromarray(pixels), (MARGIN + column * (width + GAP), top + CAPTION))
    return sheet
