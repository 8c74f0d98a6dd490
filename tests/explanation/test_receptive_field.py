"""Receptive fields: the published ones, and what really moves a unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.architectures import builder
from cnnkit.explanation.graph import trace
from cnnkit.explanation.receptive_field import fields_of
from cnnkit.lab.arithmetic import AxisField
from cnnkit.runtime import import_keras


def test_squeezenet_as_computed_by_hand():
    keras = import_keras()
    fields = fields_of(trace(keras, builder("squeezenet-1.1")()))
    sizes = {"conv1": 3} | {f"fire{n}_join": 0 for n in range(2, 10)}
    found = {name: fields[name].rows.size for name in sizes}
    expected = [3, 15, 23, 47, 63, 111, 143, 175, 207]
    assert list(found.values()) == expected
    assert fields["fire9_join"].rows.jump == 16
    assert fields["pool10"] is None


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["conv", "depthwise", "pool"]),
            st.integers(1, 4),
            st.integers(1, 2),
            st.integers(1, 2),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(13, 20),
    st.sampled_from(["same", "valid"]),
)
def test_only_the_pixels_of_the_field_move_a_unit(chain, side, padding):
    keras = import_keras()
    layers = keras.layers
    image = keras.Input((side, side, 1))
    x, named = image, []
    for kind, kernel, stride, dilation in chain:
        if padding == "valid" and (kernel - 1) * dilation + 1 > x.shape[1]:
            continue
        if kind == "pool":
            x = layers.AveragePooling2D(kernel, stride, padding)(x)
        else:
            spread = dilation if stride == 1 else 1
            make = {"filters": 1} if kind == "conv" else {}
            layer = layers.Conv2D if kind == "conv" else layers.DepthwiseConv2D
            ones = {"kernel_initializer" if make else "depthwise_initializer": "ones"}
            x = layer(
                kernel_size=kernel, strides=stride, padding=padding, dilation_rate=spread, **make,
                **ones,
            )(x)  # fmt: skip
        named.append(x)
    if not named:
        return
    graph = trace(keras, keras.Model(image, x))
    field = fields_of(graph)[graph.steps[-1].name]
    model = keras.Model(graph.image, graph.output)
    pixels = np.eye(side, dtype=np.float32)  # an image with one bright row each
    rows = np.repeat(pixels[:, :, None, None], side, axis=2)
    moved = np.asarray(model(rows))[:, :, 0, 0] != 0  # (pixel row, unit)
    for unit in range(moved.shape[1]):
        seen = np.flatnonzero(moved[:, unit])
        _, top, _, bottom = field.box(unit, 0)
        assert seen.min() >= max(0, top) and seen.max() <= min(side, bottom) - 1
        if padding == "valid":  # of all layers: the first and the last tap are in the image
            assert (seen.min(), seen.max()) == (top, bottom - 1)


def test_joined_branches_see_what_either_sees_and_global_pooling_all():
    keras = import_keras()
    layers = keras.layers
    image = keras.Input((12, 12, 3))
    one = layers.Conv2D(2, 1, name="one")(image)
    five = layers.Conv2D(2, 5, padding="same", name="five")(image)
    joined = layers.Concatenate(name="joined")([one, five])
    padded = layers.ZeroPadding2D(1, name="padded")(joined)
    valid = layers.Conv2D(2, 3, strides=2, name="valid")(padded)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(valid)
    fields = fields_of(trace(keras, keras.Model(image, pooled)))
    assert fields["joined"].box(0, 0) == (-2, -2, 3, 3)
    assert fields["valid"].box(0, 1) == (-1, -3, 6, 4)
    assert fields["valid"].columns == AxisField(-3, 3, 2)
    assert fields["pooled"] is None
    assert pytest.approx(fields["one"].rows.size) == 1
