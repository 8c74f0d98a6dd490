"""Draws a network as SVG or PNG, from one list of shapes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from cnnkit.errors import UsageError, broken_rule
from cnnkit.lab.networks.grouping import FAMILIES, Box, gather
from cnnkit.lab.networks.layout import BOX_HEIGHT, BOX_WIDTH, Spot, place
from cnnkit.lab.networks.reading import LayerRow, totals

MARGIN = 24
HEAD = 64  # title and totals
LEGEND, LEGEND_LINE = 34, 20
LETTER = 0.55  # mean width of a letter, in font sizes
LARGEST_PNG = 40_000_000  # pixels

COLORS = {
    "input": "#59636e",
    "convolution": "#2f6fd0",
    "pooling": "#d1660f",
    "dense": "#a03fb3",
    "join": "#1d8a55",
    "other": "#7a8797",
}
INK, MUTED, LINE, PAPER = "#1b1f24", "#59636e", "#b4bcc6", "#ffffff"


class Shape(NamedTuple):
    """A line, a rectangle or a text.

    Attributes:
        kind: ``line``, ``box`` or ``text``.
        points: Points of a line, corners of a box, or start of a text's baseline.
        color: Color of the stroke, the filling, or the letters.
        text: What it says.
        size: Size of the letters.
        anchor: ``start``, ``middle`` or ``end`` of the text is at its point.
        stroke: Color of a box's edge, "" for none.
    """

    kind: str
    points: tuple[tuple[float, float], ...]
    color: str
    text: str = ""
    size: int = 0
    anchor: str = "start"
    stroke: str = ""


class Drawing(NamedTuple):
    """Shapes on a page.

    Attributes:
        width: Width in user units, roughly pixels on a desktop.
        height: Height, in the same units.
        title: What is drawn.
        shapes: In the order in which they cover each other.
    """

    width: int
    height: int
    title: str
    shapes: list[Shape]


def draw_network(title: str, rows: Sequence[LayerRow]) -> Drawing:
    """Return the drawing of a network.

    Args:
        title: Written above it.
        rows: Rows returned by `read_network`.
    """
    boxes = gather(rows)
    spots = place(boxes)
    heading = _head(title, list(rows))
    widest = max(s.x + s.width / 2 for s in spots)
    room = max(widest, *(LETTER * len(shape.text) * shape.size for shape in heading))
    width = min(room, max(widest, 2 * BOX_WIDTH)) + 2 * MARGIN
    left = MARGIN + (width - 2 * MARGIN - widest) / 2
    legend, top = _legend({box.family for box in boxes}, width - MARGIN)
    height = top + max(s.top for s in spots) + BOX_HEIGHT + MARGIN
    shapes = [*heading, *legend]
    for spot in spots:
        shapes += [_edge(parent, spot, left, top) for parent in spot.parents]
    for spot in spots:
        if spot.box is None:
            shapes.append(_lane(spot, left, top))
        else:
            shapes += _box(boxes[spot.box], spot, left, top)
    return Drawing(round(width), round(height), title, shapes)


def _head(title: str, rows: list[LayerRow]) -> list[Shape]:
    sums = totals(rows)
    counts = f"{sums['parameters']:,} parameters, {sums['multiplies']:,} multiplies"
    return [
        Shape("text", ((MARGIN, MARGIN + 20),), INK, title, 22),
        Shape("text", ((MARGIN, MARGIN + 44),), MUTED, counts, 14),
    ]


def _legend(families: set[str], right: float) -> tuple[list[Shape], int]:
    """Return the legend, on as many lines as it needs, and where the boxes begin below it."""
    shapes: list[Shape] = []
    x, y = float(MARGIN), MARGIN + HEAD
    for family in FAMILIES:
        if family in families:
            if x > MARGIN and x + 18 + 8 * len(family) > right:
                x, y = float(MARGIN), y + LEGEND_LINE
            shapes.append(Shape("box", ((x, y), (x + 12, y + 12)), COLORS[family]))
            shapes.append(Shape("text", ((x + 18, y + 11),), MUTED, family, 13))
            x += 34 + 8 * len(family)
    return shapes, y + LEGEND


def _edge(parent: Spot, spot: Spot, left: float, top: float) -> Shape:
    start = (left + parent.x, top + parent.top + BOX_HEIGHT)
    end = (left + spot.x, top + spot.top)
    middle = (start[1] + end[1]) / 2
    points = (start, (start[0], middle), (end[0], middle), end)
    return Shape("line", points if start[0] != end[0] else (start, end), LINE)


def _lane(spot: Spot, left: float, top: float) -> Shape:
    x, y = left + spot.x, top + spot.top
    return Shape("line", ((x, y), (x, y + BOX_HEIGHT)), LINE)


def _box(box: Box, spot: Spot, left: float, top: float) -> list[Shape]:
    x, y = left + spot.x - BOX_WIDTH / 2, top + spot.top
    right, bottom = x + BOX_WIDTH, y + BOX_HEIGHT
    size = "x".join(map(str, box.main.output))
    room = BOX_WIDTH - 28 - 8 * len(size)
    return [
        Shape("box", ((x, y), (right, bottom)), PAPER, stroke=LINE),
        Shape("box", ((x, y), (x + 6, bottom)), COLORS[box.family]),
        Shape("text", ((x + 14, y + 17),), INK, shortened(box.main.name, room / 7.4), 13),
        Shape("text", ((right - 8, y + 17),), MUTED, size, 13, "end"),
        Shape("text", ((x + 14, y + 34),), MUTED, shortened(box.detail, BOX_WIDTH / 6.6), 12),
    ]


def shortened(text: str, letters: float) -> str:
    """Return a text of at most so many letters; of a name the end says most."""
    most = max(4, int(letters))
    return text if len(text) <= most else "…" + text[-(most - 1) :]


# --- SVG ----------------------------------------------------------------------------------


def to_svg(drawing: Drawing) -> str:
    """Return the drawing as one SVG element, readable without its surroundings."""
    body = "\n".join(_svg_shape(shape) for shape in drawing.shapes)
    title = escape(drawing.title, {'"': "&quot;"})
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{drawing.width}" '
        f'height="{drawing.height}" viewBox="0 0 {drawing.width} {drawing.height}" role="img" '
        f'aria-label="{title}" font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif">\n'
        f'<rect width="{drawing.width}" height="{drawing.height}" fill="{PAPER}"/>\n'
        f"{body}\n</svg>\n"
    )


def _svg_shape(shape: Shape) -> str:
    if shape.kind == "line":
        points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
        return f'<polyline points="{points}" fill="none" stroke="{shape.color}"/>'
    (x, y), *rest = shape.points
    if shape.kind == "box":
        width, height = rest[0][0] - x, rest[0][1] - y
        stroke = f' stroke="{shape.stroke}"' if shape.stroke else ""
        return (
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" '
            f'fill="{shape.color}"{stroke}/>'
        )
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{shape.size}" fill="{shape.color}" '
        f'text-anchor="{shape.anchor}">{escape(shape.text)}</text>'
    )


# --- PNG ----------------------------------------------------------------------------------


def to_png(drawing: Drawing) -> bytes:
    """Return the drawing as a PNG file.

    Raises:
        UsageError: It would be too large an image.
    """
    pixels = drawing.width * drawing.height
    if pixels > LARGEST_PNG:
        fix = "Ask for an .svg, which has no limit."
        rule = f"have at most {LARGEST_PNG:,} pixels as a .png"
        raise UsageError(broken_rule("a diagram", rule, f"{pixels:,}", fix))
    image = Image.new("RGB", (drawing.width, drawing.height), PAPER)
    canvas = ImageDraw.Draw(image)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for shape in drawing.shapes:
        if shape.kind == "line":
            canvas.line(shape.points, fill=shape.color)
        elif shape.kind == "box":
            outline = shape.stroke or None
            canvas.rounded_rectangle(shape.points, 3, fill=shape.color, outline=outline)
        else:
            font = ImageFont.load_default(shape.size)
            anchor = anchors[shape.anchor]
            canvas.text(shape.points[0], shape.text, shape.color, font, anchor)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
