from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.reports import charts
from tests.reports.conftest import HOSTILE


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[str]:
    return [element.text for element in parse(svg).iter("text")]


def hovers(svg: str) -> list[str]:
    return [element.text for element in parse(svg).iter("title")]


def test_line_chart_by_hand():
    svg = charts.line_chart(
        {"loss": [(0, 0.0), (1, 1.0), (2, 0.5)]}, title="Loss", x_label="epoch", y_label="loss"
    )
    path = next(parse(svg).iter("path")).attrib["d"]
    # x from 64 to 444, y from 252 (0) up to 40 (1)
    assert path == "M64,252 L254,40 L444,146"
    assert hovers(svg) == ["loss", "loss: 0 at 0", "loss: 1 at 1", "loss: 0.5 at 2"]
    assert {"epoch", "loss"} <= set(texts(svg))


def test_line_chart_of_powers_names_the_values_that_were_tried():
    points = [(0.003, 1.0), (0.01, 0.5), (0.03, 0.7)]
    svg = charts.line_chart({"a": points}, title="t", x_label="L2", y_label="y", log_x=True)
    named = {e.text: float(e.attrib["x"]) for e in parse(svg).iter("text")}
    places = [named[text] for text in ("0.003", "0.01", "0.03")]
    dots = [float(e.attrib["cx"]) for e in parse(svg).iter("circle")]
    assert places == dots  # each is under its point, the last one too
    share = (places[1] - places[0]) / (places[2] - places[0])
    assert share == pytest.approx(math.log10(0.01 / 0.003), abs=1e-3)
    assert "a: 0.7 at 0.03" in hovers(svg)
    many = [(10 ** (-step / 4), 1.0) for step in range(20, -1, -1)]
    svg = charts.line_chart({"a": many}, title="t", x_label="rate", y_label="y", log_x=True)
    assert {"1e-05", "0.0001", "0.001", "0.01", "0.1"} <= set(texts(svg))


def test_line_chart_breaks_at_what_is_not_finite():
    points = [(0, 0.0), (1, float("nan")), (2, 1.0), (3, 1.0)]
    svg = charts.line_chart({"a": points}, title="t", x_label="x", y_label="y", y_range=(0, 1))
    path = next(parse(svg).iter("path")).attrib["d"]
    assert path.count("M") == 2 and path.count("L") == 1


def test_line_chart_of_one_point():
    svg = charts.line_chart({"a": [(1, 0.5)]}, title="t", x_label="x", y_label="y")
    assert next(parse(svg).iter("circle")).attrib["cx"] == "254"


def test_line_chart_refuses_nothing():
    with pytest.raises(ValueError, match="at least one finite point"):
        charts.line_chart({"a": [(0, float("inf"))]}, title="t", x_label="x", y_label="y")


def test_bar_chart_by_hand():
    svg = charts.bar_chart([("cat", 0.5), ("dog", 1.2), ("fish", 0.0)], title="t")
    bars = [r for r in parse(svg).iter("rect") if "fill" in r.attrib["class"]]
    full = charts.WIDTH - 64 - 164
    assert [float(b.attrib["width"]) for b in bars] == [full / 2, full, 0]
    assert texts(svg) == ["cat", "50.0%", "dog", "120.0%", "fish", "0.0%"]


def test_reliability_diagram_shows_what_is_too_sure_and_too_modest():
    bins = [
        {"low": 0.0, "high": 0.5, "count": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 0.75, "count": 4, "confidence": 0.6, "accuracy": 0.75},
        {"low": 0.75, "high": 1.0, "count": 2, "confidence": 0.9, "accuracy": 0.5},
    ]
    svg = charts.reliability_diagram(bins, title="t")
    assert hovers(svg) == [
        "confidence 50-75%: 4 images, mean confidence 60.0%, accuracy 75.0%",
        "confidence 75-100%: 2 images, mean confidence 90.0%, accuracy 50.0%",
    ]
    kinds = [[r.attrib["class"] for r in g.iter("rect")] for g in parse(svg).iter("g")]
    assert kinds == [
        ["series-1 fill", "chart-surplus", "series-5 fill"],
        ["series-1 fill", "chart-gap", "series-5 fill"],
    ]
    height = charts.HEIGHT - 20 - 16  # of the whole axis
    modest, sure = parse(svg).iter("g")
    assert [float(r.attrib["height"]) for r in modest.iter("rect")][:2] == pytest.approx(
        [0.6 * height, 0.15 * height], abs=0.01
    )
    assert [float(r.attrib["height"]) for r in sure.iter("rect")][:2] == pytest.approx(
        [0.5 * height, 0.4 * height], abs=0.01
    )


def test_heat_map_by_hand():
    svg = charts.heat_map(
        np.array([[3, 1], [0, 2]]),
        ["cat", "dog"],
        ["cat", "dog"],
        title="t",
        row_title="truth",
        column_title="prediction",
    )
    cells = [r for r in parse(svg).iter("rect") if r.attrib["class"].startswith("heat")]
    assert [c.attrib["class"] for c in cells] == ["heat-hit", "heat-miss", "heat-hit"]
    assert [float(c.attrib["fill-opacity"]) for c in cells] == pytest.approx(
        [0.765, 0.295, 1], abs=0.006
    )
    assert "cat → dog: 1 (25.0%)" in hovers(svg)
    assert texts(svg)[-3:] == ["3", "1", "2"]


def test_heat_map_tells_equal_names_apart():
    # ImageNet has two classes called crane
    svg = charts.heat_map(
        np.array([[0, 1], [0, 1]]), ["crane"] * 2, ["crane"] * 2,
        title="t", row_title="r", column_title="c",
    )  # fmt: skip
    cells = [r.attrib["class"] for r in parse(svg).iter("rect")][1:]
    assert cells == ["heat-miss", "heat-hit"]


def test_heat_map_refuses_other_labels():
    with pytest.raises(ValueError, match=r"`matrix` must have shape \(1, 2\)"):
        charts.heat_map(
            np.zeros((2, 2)), ["a"], ["a", "b"], title="t", row_title="r", column_title="c"
        )


@pytest.mark.parametrize("text", HOSTILE)
def test_every_text_is_escaped(text):
    names = {"title": text, "x_label": text, "y_label": text}
    for svg in (
        charts.line_chart({text: [(0, 1)]}, **names),
        charts.bar_chart([(text, 0.5)], title=text),
        charts.reliability_diagram(
            [{"low": 0, "high": 1, "count": 1, "confidence": 0.5, "accuracy": 1}], title=text
        ),
        charts.heat_map(
            np.ones((1, 1)), [text], [text], title=text, row_title=text, column_title=text
        ),
    ):
        root = parse(svg)  # well-formed
        known = {"svg", "g", "line", "path", "circle", "rect", "text", "title"}
        assert {element.tag for element in root.iter()} <= known
        for element in root.iter():
            assert not any(name.startswith("on") or name == "style" for name in element.attrib)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 0.88, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1, 30, [0, 10, 20, 30]),
        (-3, 4, [-4, -2, 0, 2, 4]),
        (0.00123, 0.00127, [0.00123, 0.00124, 0.00125, 0.00126, 0.00127]),
        (5, 5, [4.4, 4.6, 4.8, 5, 5.2, 5.4, 5.6]),
    ],
)
def test_round_ticks(low, high, ticks):
    assert charts.round_ticks(low, high) == pytest.approx(ticks)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_round_ticks_span_the_range(low, span):
    ticks = charts.round_ticks(low, low + span)
    tolerance = 1e-6 * max(1, abs(low), span)
    assert ticks[0] <= low + tolerance and ticks[-1] >= low + span - tolerance
    assert 2 <= len(ticks) <= 9


def test_shortened():
    assert charts.shortened("short") == "short"
    assert charts.shortened("a very long label indeed") == "a very long label i…"
    assert charts.shortened("a\nb") == r"a\nb"


def test_epochs_have_no_halves_and_zero_no_sign():
    points = [(1, -0.0004), (2, 0.0004)]
    svg = charts.line_chart({"a": points}, title="t", x_label="epoch", y_label="loss")
    shown = texts(svg)
    assert {"1", "2", "0"} <= set(shown) and not {"1.2", "1.5", "-0"} & set(shown)
    halves = charts.line_chart({"a": [(0.5, 1), (1.5, 2)]}, title="t", x_label="x", y_label="y")
    assert "0.6" in texts(halves)


def test_the_name_of_an_axis_lies_beside_its_ticks():
    svg = charts.line_chart(
        {"a": [(0, 0.00012), (1, 0.00034)]}, title="t", x_label="x", y_label="loss"
    )
    ticks = [t for t in parse(svg).iter("text") if t.attrib.get("text-anchor") == "end"]
    assert max(len(tick.text) for tick in ticks) >= 6
    # At the 14 px of a narrow screen; the turned name reaches to 14 + 7.
    assert min(float(t.attrib["x"]) - 7.8 * len(t.text) for t in ticks) > 21


def test_no_tick_lies_outside_its_chart():
    svg = charts.line_chart(
        {"a": [(1, 0.1), (2, 0.5)]}, title="t", x_label="x", y_label="y", y_range=(0, 0.5)
    )
    assert "0.4" in texts(svg) and "0.6" not in texts(svg)
    assert all(float(t.attrib["y"]) > 10 for t in parse(svg).iter("text"))
