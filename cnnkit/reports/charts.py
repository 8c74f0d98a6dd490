"""Charts as SVG text: pure functions of numbers, escaped, colored by the page's style sheet.

Each returns one ``<svg>`` element that scales with its container, has an accessible name, and
uses classes (``series-1``, ``chart-grid``) instead of colors, so that it follows light and dark.
Points and cells carry a ``<title>``: hovering shows their values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup, escape

from cnnkit.reports.escaping import visible

WIDTH, HEIGHT = 460, 300  # user units, about pixels on a desktop
SERIES_COLORS = 6  # base.css has so many .series-N
CHARACTER_WIDTH = 6.6  # of the charts' 12 px text, on average
LARGEST_CHARACTER = 7.8  # of their 14 px text on a narrow screen
MOST_VALUES = 8  # of a chart of powers that are named each
TITLE_WIDTH = 24  # of the turned name of the y axis


class Frame(NamedTuple):
    """Where a chart's data lies: limits of the axes, and the rectangle that they map to.

    The limits of x are on its scale: for powers, their logarithms.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 64
    top: float = 16
    right: float = WIDTH - 16
    bottom: float = HEIGHT - 48
    scale: Callable[[float], float] = float

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        low, high = self.x_range
        return self.left + (self.scale(value) - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the vertical place of a value; larger values lie higher."""
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    log_x: bool = False,
) -> Markup:
    """Draw one line per series, such as the learning curves of a training run.

    Args:
        series: Name to points (x, y) in the order of x. A point that is not finite is omitted
            and breaks the line.
        title: The accessible name of the chart.
        x_label: What x is.
        y_label: What y is.
        y_range: Limits of y; by default round numbers around the data.
        log_x: Draw the powers of ten of x, all above 0, at equal distances.

    Raises:
        ValueError: When there is no finite point.
    """
    finite = [p for points in series.values() for p in points if all(map(math.isfinite, p))]
    if not finite:
        raise ValueError("`series` must hold at least one finite point. Received: none.")
    x_values, y_values = zip(*finite, strict=True)
    scale = math.log10 if log_x else float
    x_range = _widened(scale(min(x_values)), scale(max(x_values)))
    y_ticks = round_ticks(*(y_range or (min(y_values), max(y_values))))
    if y_range is not None:
        y_ticks = [t for t in y_ticks if y_range[0] <= t <= y_range[1]]
    left = max(64.0, TITLE_WIDTH + 8 + LARGEST_CHARACTER * max(map(len, map(_tick, y_ticks))))
    limits = y_range or (y_ticks[0], y_ticks[-1])
    frame = Frame(x_range, limits, left=left, top=40, scale=scale)
    x_ticks = _powers_or_all(x_values) if log_x else _places_within(x_range, x_values)
    body = [_axes(frame, x_ticks, y_ticks, x_label, y_label), _legend(list(series))]
    for number, (name, points) in enumerate(series.items()):
        body.append(_line(frame, name, points, f"series-{number % SERIES_COLORS + 1}"))
    return _svg(WIDTH, HEIGHT, title, body)


def _places_within(x_range: tuple[float, float], x_values: Sequence[float]) -> list[float]:
    """Return round numbers within a range."""
    ticks = [t for t in round_ticks(*x_range) if x_range[0] <= t <= x_range[1]]
    if all(x == int(x) for x in x_values):  # of epochs or layers there is no half
        ticks = [t for t in ticks if t == int(t)]
    return ticks


def _powers_or_all(x_values: Sequence[float]) -> list[float]:
    """Return the values themselves where they are few, else the powers of ten between them."""
    distinct = sorted(set(x_values))
    if len(distinct) <= MOST_VALUES:
        return distinct
    powers = range(math.ceil(math.log10(distinct[0])), math.floor(math.log10(distinct[-1])) + 1)
    return [10.0**power for power in powers]


def bar_chart(bars: Sequence[tuple[str, float]], *, title: str, maximum: float = 1.0) -> Markup:
    """Draw horizontal bars with their names and values, such as the weakest classes.

    Args:
        bars: Names and values, from 0 to `maximum`, top to bottom.
        title: The accessible name of the chart.
        maximum: The value of a full bar; 1 shows values as percentages.
    """
    row, left, right = 26, 164, WIDTH - 64
    body = []
    for number, (name, value) in enumerate(bars):
        top = number * row + 4
        length = (right - left) * min(max(value / maximum, 0), 1)
        shown = f"{100 * value:.1f}%" if maximum == 1 else f"{value:g}"
        body += [
            _text(left - 8, top + 14, shortened(name), text_anchor="end", title=name),
            _tag("rect", x=left, y=top, width=right - left, height=18, rx=3, class_="chart-track"),
            _tag("rect", x=left, y=top, width=length, height=18, rx=3, class_="series-1 fill"),
            _text(right + 8, top + 14, shown, class_="chart-value"),
        ]
    return _svg(WIDTH, len(bars) * row + 4, title, body)


def reliability_diagram(bins: Sequence[Mapping[str, Any]], *, title: str) -> Markup:
    """Draw accuracy over confidence, the diagonal of a calibrated model, and the bins' counts.

    Args:
        bins: Dicts with low, high, count, confidence and accuracy (both None if empty), as
            `cnnkit.metrics.ReliabilityBin.to_dict` gives them.
        title: The accessible name of the chart.
    """
    frame = Frame((0, 1), (0, 1), right=WIDTH - 24, bottom=HEIGHT - 20)
    counts = Frame((0, 1), (0, max([b["count"] for b in bins] + [1])), top=320, bottom=370)
    counts = counts._replace(right=frame.right)
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    body = [_axes(frame, [], ticks, "", "accuracy", as_percent=True)]
    body += [_reliability_bar(frame, counts, b) for b in bins]
    body += [
        _tag(
            "line", x1=frame.x(0), y1=frame.y(0), x2=frame.x(1), y2=frame.y(1), class_="chart-ideal"
        ),
        _text(frame.left + 12, frame.top + 14, "dashed: calibrated"),
        _axes(counts, ticks, [], "confidence", "images", as_percent=True),
    ]
    return _svg(WIDTH, 414, title, body)


def heat_map(
    matrix: np.ndarray,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    title: str,
    row_title: str,
    column_title: str,
) -> Markup:
    """Draw a matrix of counts as cells whose strength is their share of the row.

    Row and column of one index are the same class: those cells are hits, all others misses.

    Args:
        matrix: Non-negative counts (rows, columns).
        row_labels: One per row; shortened on the chart, whole in the hover text.
        column_labels: One per column.
        title: The accessible name of the chart.
        row_title: What the rows are.
        column_title: What the columns are.

    Raises:
        ValueError: When the labels do not fit the matrix.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(row_labels), len(column_labels)):
        raise ValueError(
            f"`matrix` must have shape {(len(row_labels), len(column_labels))}, as its labels. "
            f"Received: shape={matrix.shape}."
        )
    size = 44 if max(matrix.shape) <= 12 else 26 if max(matrix.shape) <= 24 else 20
    left = 34 + CHARACTER_WIDTH * max(len(shortened(label)) for label in row_labels)
    top = 38 + 0.8 * CHARACTER_WIDTH * max(len(shortened(label)) for label in column_labels)
    width, height = left + size * matrix.shape[1], top + size * matrix.shape[0]
    body = [
        _text(
            left + size * matrix.shape[1] / 2,
            14,
            column_title,
            class_="chart-label",
            text_anchor="middle",
        ),
        _turned(14, top + size * matrix.shape[0] / 2, row_title, -90, "middle", "chart-label"),
    ]
    body += _heat_labels(row_labels, column_labels, left, top, size)
    body += _heat_cells(matrix, row_labels, column_labels, (left, top, size))
    # The turned labels of the last columns lean out to the right.
    return _svg(width + top * 0.7, height + 8, title, body, class_="chart natural")


def round_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return about `wanted` round numbers that span low to high, the outer ones around them."""
    low, high = _widened(low, high)
    rough = (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def shortened(text: str, length: int = 20) -> str:
    """Return `text` on one line, its end replaced by an ellipsis where it is longer."""
    text = visible(text)
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _heat_labels(
    rows: Sequence[str], columns: Sequence[str], left: float, top: float, size: float
) -> Iterable[Markup]:
    for i, label in enumerate(rows):
        y = top + i * size + size / 2 + 4
        yield _text(left - 8, y, shortened(label), text_anchor="end", title=label)
    for j, label in enumerate(columns):
        x = left + j * size + size / 2 + 2
        yield _turned(x, top - 8, shortened(label), -50, "start", title=label)


def _heat_cells(
    matrix: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    place: tuple[float, float, float],
) -> Iterable[Markup]:
    """Give one cell per count above 0, on one empty background; `place` is left, top, size."""
    left, top, size = place
    height, width = (size * n for n in matrix.shape)
    yield _tag("rect", x=left, y=top, width=width, height=height, class_="chart-track")
    totals = np.maximum(matrix.sum(axis=1), 1)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        share = float(matrix[i, j] / totals[i])
        kind = "heat-hit" if i == j else "heat-miss"
        x, y, count = left + j * size, top + i * size, int(matrix[i, j])
        hover = f"{rows[i]} → {columns[j]}: {count} ({100 * share:.1f}%)"
        cell = _tag(
            "rect",
            _title(hover),
            x=x + 0.5,
            y=y + 0.5,
            width=size - 1,
            height=size - 1,
            rx=2,
            class_=kind,
            fill_opacity=0.06 + 0.94 * share,
        )
        yield cell
        if len(str(count)) * 7 <= size - 4:
            strength = "heat-text strong" if share > 0.75 else "heat-text"
            yield _text(
                x + size / 2, y + size / 2 + 4, count, text_anchor="middle", class_=strength
            )


def _reliability_bar(frame: Frame, counts: Frame, table_bin: Mapping[str, Any]) -> Markup:
    low, high, count = table_bin["low"], table_bin["high"], table_bin["count"]
    if not count:
        return Markup("")
    accuracy, confidence = table_bin["accuracy"], table_bin["confidence"]
    x, width = frame.x(low) + 1, frame.x(high) - frame.x(low) - 2
    hover = _title(
        f"confidence {100 * low:.0f}-{100 * high:.0f}%: {count} images, "
        f"mean confidence {100 * confidence:.1f}%, accuracy {100 * accuracy:.1f}%"
    )
    # The bar reaches the accuracy; what it has above the confidence is lighter, what it lacks
    # below the confidence stands on top in another color.
    solid, lighter = min(accuracy, confidence), max(0.0, accuracy - confidence)
    parts = [
        (frame, 0.0, solid, "series-1 fill"),
        (frame, solid, lighter, "chart-surplus"),
        (frame, accuracy, max(0.0, confidence - accuracy), "chart-gap"),
        (counts, 0.0, count, "series-5 fill"),
    ]
    bars = [
        _tag(
            "rect",
            x=x,
            y=place.y(start + length),
            width=width,
            height=place.y(start) - place.y(start + length),
            class_=kind,
        )
        for place, start, length, kind in parts
        if length
    ]
    return _tag("g", Markup("").join([hover, *bars]))


def _axes(
    frame: Frame,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    x_label: str,
    y_label: str,
    as_percent: bool = False,
) -> Markup:
    """Draw grid lines, tick texts, the base line and the names of both axes."""

    def shown(value: float) -> str:
        return f"{100 * value:.0f}%" if as_percent else _tick(value)

    body = []
    for tick in y_ticks:
        y = frame.y(tick)
        body.append(_tag("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="chart-grid"))
        body.append(_text(frame.left - 8, y + 4, shown(tick), text_anchor="end"))
    for tick in x_ticks:
        body.append(_text(frame.x(tick), frame.bottom + 18, shown(tick), text_anchor="middle"))
    y = frame.bottom
    body.append(_tag("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="chart-axis"))
    middle = (frame.left + frame.right) / 2
    body.append(_text(middle, y + 38, x_label, text_anchor="middle", class_="chart-label"))
    body.append(_turned(14, (frame.top + y) / 2, y_label, -90, "middle", "chart-label"))
    return Markup("").join(body)


def _tick(value: float) -> str:
    """Return the text of a tick; there is no negative zero."""
    return f"{value + 0.0:g}"


def _legend(names: Sequence[str]) -> Markup:
    body, x = [], 64.0
    for number, name in enumerate(names):
        kind = f"series-{number % SERIES_COLORS + 1}"
        body.append(_tag("line", x1=x, x2=x + 18, y1=16, y2=16, class_=f"{kind} line"))
        body.append(_text(x + 24, 20, shortened(name), title=name))
        x += 44 + CHARACTER_WIDTH * len(shortened(name))
    return Markup("").join(body)


def _line(frame: Frame, name: str, points: Sequence[tuple[float, float]], kind: str) -> Markup:
    path, dots, command = [], [], "M"
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            command = "M"
            continue
        path.append(f"{command}{_number(frame.x(x))},{_number(frame.y(y))}")
        hover = _title(f"{name}: {y:g} at {x:g}")
        dots.append(_tag("circle", hover, cx=frame.x(x), cy=frame.y(y), r=3, class_=f"{kind} fill"))
        command = "L"
    return _tag("path", d=" ".join(path), class_=f"{kind} line") + Markup("").join(dots)


def _svg(
    width: float, height: float, title: str, body: Iterable[Markup], class_: str = "chart"
) -> Markup:
    return _tag(
        "svg",
        Markup("\n").join(body),
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        width=width,
        height=height,
        class_=class_,
        role="img",
        aria_label=title,
    )


def _text(x: float, y: float, text: object, *, title: str = "", **attributes: Any) -> Markup:
    content = escape(visible(str(text)))
    return _tag("text", content + (_title(title) if title else ""), x=x, y=y, **attributes)


def _turned(
    x: float, y: float, text: str, angle: float, anchor: str, class_: str = "", title: str = ""
) -> Markup:
    turn = f"rotate({angle} {_number(x)} {_number(y)})"
    kind = {"class_": class_} if class_ else {}
    return _text(x, y, text, title=title, transform=turn, text_anchor=anchor, **kind)


def _title(text: str) -> Markup:
    return _tag("title", escape(visible(text)))


def _tag(name: str, content: Markup | str = "", **attributes: Any) -> Markup:
    """Return one element; attribute values are escaped, `content` is taken as markup.

    Names are written as Python allows: ``class_`` for class, ``text_anchor`` for text-anchor.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{content}</{name}>")


def _attribute(value: Any) -> str:
    return visible(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """Return a coordinate with at most two decimals and no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return limits that are never equal, so that a single value has a place."""
    return (low, high) if high > low else (low - 0.5, high + 0.5)
