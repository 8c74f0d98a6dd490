"""A painting made of brush strokes, free to use: the style of the stylized example images."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

GROUND = (22, 40, 92)
SKY = np.array(
    [
        [18, 32, 84],
        [27, 58, 128],
        [42, 98, 168],
        [86, 150, 196],
        [150, 196, 214],
        [34, 74, 110],
        [24, 46, 70],
    ]
)
LIGHT = np.array([[250, 222, 120], [244, 190, 64], [255, 240, 180], [228, 150, 48]])
LAYERS = ((40, 5200), (64, 9000), (110, 9000))  # one in so many sides wide; how many strokes
STEPS = 5  # straight pieces of a stroke
STARS = 9


class Night:
    """A sky of stars that strokes circle around.

    Attributes:
        side: Of the square image, in pixels.
        random: Where chance comes from.
        centers: Of the stars, (stars, 2): x, y in pixels.
        radii: Of the stars, in pixels.
        turns: 1 or -1 for each star: the direction in which strokes circle around it.
    """

    def __init__(self, side: int, seed: int) -> None:
        self.side = side
        self.random = np.random.default_rng(seed)
        self.centers = self.random.uniform(0.05, 0.95, (STARS, 2)) * side
        self.turns = self.random.choice([-1, 1], STARS)
        self.radii = self.random.uniform(0.05, 0.12, STARS) * side

    def angles(self, points: np.ndarray) -> np.ndarray:
        """Return the direction of the strokes at each of the points (points, 2), in radians."""
        away = self.centers - points[:, None]
        distances = np.hypot(away[..., 0], away[..., 1])
        pull = 3 * self.turns * np.exp(-((distances / (2.4 * self.radii)) ** 2))
        pull /= distances + 1e-6
        waves = 0.25 * np.sin((7 * points[:, 0] + 3 * points[:, 1]) / self.side)
        right = 0.55 - (pull * away[..., 1]).sum(axis=1)
        down = waves + (pull * away[..., 0]).sum(axis=1)
        return np.arctan2(down, right)

    def strokes(self, starts: np.ndarray, length: float) -> np.ndarray:
        """Return the points of strokes (strokes, points, 2) that follow the directions."""
        points = [starts]
        for _ in range(STEPS):
            angles = self.angles(points[-1])
            points.append(points[-1] + length * np.stack([np.cos(angles), np.sin(angles)], axis=1))
        return np.stack(points, axis=1)

    def colors(self, points: np.ndarray) -> np.ndarray:
        """Return a color for each of the points (points, 2), uint8 (points, 3)."""
        count = len(points)
        away = np.hypot(*np.moveaxis(self.centers - points[:, None], -1, 0))
        near = (away / self.radii).min(axis=1)
        bands = 2 * (points @ (1, 3) / self.side + self.random.normal(0, 0.6, count))
        colors = SKY[bands.astype(int) % len(SKY)]
        halo = (near < 1.9) & (self.random.random(count) < 0.45)
        gold = LIGHT[self.random.integers(len(LIGHT), size=count)]
        colors[halo] = np.where(self.random.random((count, 1)) < 0.4, gold, SKY[4])[halo]
        colors[near < 0.9] = gold[near < 0.9]
        return np.clip(colors + self.random.normal(0, 12, (count, 1)), 0, 255).astype(np.uint8)


def paint(side: int = 768, seed: int = 4) -> Image.Image:
    """Return a square painting of a night sky: broad strokes first, fine ones on top."""
    night = Night(side, seed)
    image = Image.new("RGB", (side, side), GROUND)
    draw = ImageDraw.Draw(image)
    for share, count in LAYERS:
        width = side // share
        starts = night.random.uniform(-20, side + 20, (count, 2))
        colors = night.colors(starts)
        for stroke, color in zip(night.strokes(starts, 0.9 * width), colors, strict=True):
            line = [(float(x), float(y)) for x, y in stroke]
            draw.line(line, fill=tuple(map(int, color)), width=width, joint="curve")
    return image
