from __future__ import annotations

import io
import itertools
from xml.etree import ElementTree

import pytest
from PIL import Image

from cnnkit.architectures import builder
from cnnkit.errors import UsageError
from cnnkit.lab.networks.drawing import (
    LARGEST_PNG,
    Drawing,
    draw_network,
    shortened,
    to_png,
    to_svg,
)
from cnnkit.lab.networks.grouping import gather
from cnnkit.lab.networks.layout import GAP_ACROSS, place
from cnnkit.lab.networks.reading import LayerRow, read_network
from cnnkit.runtime import variables_without_memory


def rows_of(name: str) -> list[LayerRow]:
    with variables_without_memory():
        return read_network(builder(name)())


def test_small_steps_go_into_the_box_before_them() -> None:
    boxes = {box.main.name: box for box in gather(rows_of("resnet-18"))}
    assert boxes["stem_conv"].detail == "conv 7x7/2, 64 + norm + relu"
    assert boxes["stage1_block1_add"].detail == "add + relu"
    assert boxes["classifier"].detail == "dense, 1000"
    assert "stem_bn" not in boxes and boxes["features"].family == "pooling"


@pytest.mark.parametrize("name", ["resnet-18", "googlenet", "lenet-5-1998"])
def test_no_two_boxes_overlap_and_every_edge_goes_down(name: str) -> None:
    spots = place(gather(rows_of(name)))
    for spot in spots:
        assert all(parent.level == spot.level - 1 for parent in spot.parents)
        assert spot.x - spot.width / 2 >= -1e-6
    for level in {spot.level for spot in spots}:
        row = sorted((s for s in spots if s.level == level), key=lambda s: s.x)
        for first, second in itertools.pairwise(row):
            assert second.x - second.width / 2 >= first.x + first.width / 2 + GAP_ACROSS - 1e-6


def test_a_chain_and_its_skips_run_straight_down() -> None:
    boxes = gather(rows_of("resnet-20"))
    spots = place(boxes)
    adds = {s.x for s in spots if s.box is not None and boxes[s.box].family == "join"}
    assert len(adds) == 1


def test_svg_is_well_formed_and_names_every_box() -> None:
    rows = rows_of("lenet-5")
    svg = to_svg(draw_network('LeNet "<5>"', rows))
    tree = ElementTree.fromstring(svg)
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert 'LeNet "<5>"' in texts and "61,706 parameters, 416,520 multiplies" in texts
    assert {"conv1", "pool1", "hidden1", "classifier", "28x28x6"} <= set(texts)


def test_png_has_the_size_and_the_colors_of_the_drawing() -> None:
    drawing = draw_network("LeNet-5", rows_of("lenet-5"))
    image = Image.open(io.BytesIO(to_png(drawing)))
    assert image.size == (drawing.width, drawing.height)
    assert len(image.convert("RGB").getcolors(1 << 20)) > 10


def test_too_large_a_png_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Ask for an \.svg"):
        to_png(Drawing(LARGEST_PNG, 2, "", []))


@pytest.mark.parametrize(
    ("text", "letters", "shown"), [("short", 9, "short"), ("a_long_name", 6.9, "…_name")]
)
def test_long_names_keep_their_end(text: str, letters: float, shown: str) -> None:
    assert shortened(text, letters) == shown


def test_a_plain_chain_is_as_narrow_as_a_phone() -> None:
    """One box and its margins; the legend takes a second line instead of more width."""
    drawing = draw_network("LeNet-5", rows_of("lenet-5"))
    assert drawing.width == 348
    right = max(x for shape in drawing.shapes for x, _ in shape.points)
    assert right <= drawing.width
    places = {shape.text: shape.points[0] for shape in drawing.shapes if shape.kind == "text"}
    assert places["other"][1] > places["input"][1] < places["image"][1]
    assert draw_network("GoogLeNet", rows_of("googlenet")).width > 640
