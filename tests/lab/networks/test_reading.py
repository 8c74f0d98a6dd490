"""Rows of networks against what Keras itself says, and against brute force."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from cnnkit.architectures.squeezenet import squeezenet_1_1
from cnnkit.errors import UsageError
from cnnkit.lab.networks.grouping import gather
from cnnkit.lab.networks.reading import read_network, totals
from cnnkit.runtime import variables_without_memory


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 10, 3), name="image"),
            layers.Conv2D(4, 3, 2, padding="same", activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(3, use_bias=False, name="depthwise"),
            layers.SeparableConv2D(5, 3, padding="same", name="separable"),
            layers.Flatten(name="flatten"),
            layers.Dense(7, name="dense"),
        ]
    )


def test_rows_of_a_sequential_model() -> None:
    rows = {row.name: row for row in read_network(sequential())}
    assert list(rows) == ["image", "conv", "norm", "depthwise", "separable", "flatten", "dense"]
    conv = rows["conv"]
    assert (conv.output, conv.kernel, conv.strides) == ((6, 5, 4), (3, 3), (2, 2))
    assert conv.padding == "same"
    assert (conv.parameters, conv.multiplies, conv.activation) == (112, 30 * 4 * 27, "relu")
    assert (rows["norm"].parameters, rows["norm"].statistics, rows["norm"].multiplies) == (8, 8, 0)
    assert (rows["depthwise"].parameters, rows["depthwise"].multiplies) == (36, 4 * 3 * 4 * 9)
    assert rows["separable"].multiplies == 12 * 4 * 9 + 12 * 4 * 5
    assert rows["dense"].multiplies == 60 * 7
    assert (conv.field.size, rows["depthwise"].field.size) == ((3, 3), (7, 7))
    assert rows["flatten"].field is None and rows["dense"].field is None
    assert conv.memory == 4 * 6 * 5 * 4


def test_totals_are_what_keras_counts() -> None:
    model = sequential()
    found = totals(read_network(model))
    assert found["parameters"] + found["statistics"] == model.count_params()
    assert found["weight_bytes"] == 4 * model.count_params()
    model.layers[0].trainable = False
    frozen = totals(read_network(model))
    assert found["trained"] - frozen["trained"] == 112


def test_a_nested_model_is_opened() -> None:
    """As transfer learning makes it: a backbone inside a model."""
    inner_image = keras.Input((8, 8, 3), name="inner")
    backbone = keras.Model(
        inner_image, layers.Conv2D(2, 3, name="conv")(inner_image), name="backbone"
    )
    image = keras.Input((8, 8, 3), name="image")
    x = layers.GlobalAveragePooling2D(name="pool")(backbone(image))
    rows = read_network(keras.Model(image, layers.Dense(4, name="top")(x)))
    assert [row.name for row in rows] == ["image", "backbone/conv", "pool", "top"]
    assert rows[2].inputs == ("backbone/conv",)


def test_open_sizes_are_filled_in() -> None:
    with variables_without_memory():
        model = squeezenet_1_1(input_shape=(None, None, 3))
    closed = read_network(squeezenet_1_1())
    opened = read_network(model, (227, 227))
    assert [row.to_dict() for row in opened] == [row.to_dict() for row in closed]
    with pytest.raises(UsageError, match="`input_shape` must be given for this model"):
        read_network(model)


def test_another_size_than_the_models_own_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"`input_shape` must be 12x10 for this model\. Received: 20x20"
    ):
        read_network(sequential(), (20, 20))


# SqueezeNet's fields of research: fire2 15, fire4 47, fire9 207, in steps of 16.
@pytest.mark.parametrize(
    ("layer", "size"),
    [("conv1", 3), ("fire2_join", 15), ("fire3_join", 23), ("fire4_join", 47), ("fire9_join", 207)],
)
def test_receptive_fields_of_squeezenet(layer: str, size: int) -> None:
    with variables_without_memory():
        rows = {row.name: row for row in read_network(squeezenet_1_1())}
    assert rows[layer].field.size == (size, size)
    assert rows["fire9_join"].field.jump == (16, 16)


def windows(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.ZeroPadding2D(((1, 0), (2, 1)), name="pad")(x)
    x = layers.Conv2D(2, (3, 2), (2, 1), padding="same", name="a")(x)
    x = layers.AveragePooling2D(2, 1, padding="same", name="b")(x)
    return layers.Conv2D(2, 3, dilation_rate=2, name="c")(x)


def joined(x: keras.KerasTensor) -> keras.KerasTensor:
    left = layers.Conv2D(2, 5, 2, padding="same", name="left")(x)
    right = layers.AveragePooling2D(1, 2, name="right")(layers.Conv2D(2, 1, name="narrow")(x))
    return layers.Add(name="add")([left, right])


def cropped_and_repeated(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Cropping2D(((1, 2), (2, 0)), name="crop")(x)
    x = layers.Conv2D(2, 3, 2, name="conv")(x)
    return layers.UpSampling2D(2, name="twice")(x)


def operations(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(2, 3, 2, padding="same", name="conv")(x)
    return ops.add(ops.square(x), ops.pad(x, [(0, 0)] * 3 + [(0, 0)]))


@pytest.mark.parametrize("make", [windows, joined, cropped_and_repeated, operations])
def test_the_field_is_what_a_place_depends_on(make) -> None:
    """Change each pixel in turn and see which places answer."""
    image = keras.Input((13, 12, 1))
    model = keras.Model(image, make(image))
    for variable in model.weights:
        variable.assign(np.random.default_rng(1).uniform(0.5, 1.0, variable.shape))
    field = read_network(model)[-1].field
    impulses = np.eye(13 * 12, dtype=np.float32).reshape(-1, 13, 12, 1)
    base = np.asarray(model(np.zeros((1, 13, 12, 1))))
    answers = np.abs(np.asarray(model(impulses)) - base).max(axis=-1) > 1e-6
    answers = answers.reshape(13, 12, *answers.shape[1:])
    exact = make is not cropped_and_repeated  # repeated places share what they see
    for row in range(answers.shape[2]):
        for column in range(answers.shape[3]):
            seen = np.argwhere(answers[:, :, row, column])
            left, top, right, bottom = field.box(row, column)
            inside = max(top, 0), max(left, 0), min(bottom, 13), min(right, 12)
            found = (*seen.min(axis=0), *(seen.max(axis=0) + 1))
            assert found[0] >= inside[0] and found[1] >= inside[1]
            assert found[2] <= inside[2] and found[3] <= inside[3]
            if exact and (top, left) >= (0, 0) and bottom <= 13 and right <= 12 and left >= 0:
                assert found == inside


def test_one_place_that_is_spread_over_all_sees_the_whole_image() -> None:
    """As squeeze-and-excitation does, whichever factor is named first."""
    image = keras.Input((6, 6, 2))
    whole = layers.AveragePooling2D(6, name="pool")(image)
    for factors in ([whole, image], [image, whole]):
        rows = read_network(keras.Model(image, layers.Multiply(name="times")(factors)))
        assert [row.field and row.field.size for row in rows] == [(1, 1), (6, 6), None]


def test_whole_images_stay_whole() -> None:
    """What a global mean has touched depends on every place."""
    image = keras.Input((6, 6, 2))
    shifted = ops.subtract(image, ops.mean(image, axis=(1, 2), keepdims=True))
    rows = read_network(keras.Model(image, layers.Conv2D(1, 3, name="conv")(shifted)))
    assert rows[-1].field is None


def siamese() -> keras.Model:
    twin = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, name="conv"), layers.Flatten(name="flat")],
        name="twin",
    )
    pair = [keras.Input((8, 8, 1), name="one"), keras.Input((8, 8, 1), name="two")]
    joined = layers.Concatenate(name="joined")([twin(pair[0]), twin(pair[1])])
    return keras.Model(pair, layers.Dense(1, name="same")(joined))


def test_weights_count_once_and_multiplies_at_each_call() -> None:
    """A layer that is called three times: 84 = 9 * 3 * 3 + 3."""
    image = keras.Input((6, 6, 3))
    layer = layers.Conv2D(3, 3, padding="same", name="conv")
    model = keras.Model(image, layer(layer(layer(image))))
    rows = read_network(model)
    sums = totals(rows)
    assert sums["parameters"] == sums["trained"] == model.count_params() == 84
    assert sums["weight_bytes"] == 4 * 84
    assert sums["multiplies"] == 3 * 36 * 3 * 27
    assert [row.name for row in rows[1:]] == ["conv", "conv:2", "conv:3"]
    assert [row.parameters for row in rows[1:]] == [84, 0, 0]
    assert [row.shares for row in rows[1:]] == ["", "conv", "conv"]
    assert [row.inputs for row in rows[2:]] == [("conv",), ("conv:2",)]


def test_twins_are_two_rows_each_and_no_box_is_left_without_an_edge() -> None:
    model = siamese()
    rows = read_network(model)
    assert totals(rows)["parameters"] == model.count_params() == 40 + 2 * 144 + 1
    assert len({row.name for row in rows}) == len(rows) == 8
    joined = next(row for row in rows if row.name == "joined")
    assert joined.inputs == ("twin/flat", "twin:2/flat")
    boxes = gather(rows)
    assert all(box.inputs for box in boxes if box.main.kind != "Input")
    seen = {source for box in boxes for source in box.inputs}
    assert seen == set(range(len(boxes) - 1))


def of(shape: tuple[int, ...], *chain) -> keras.Model:
    image = x = keras.Input(shape)
    for layer in chain:
        x = layer(x)
    return keras.Model(image, x)


first = {"data_format": "channels_first"}


@pytest.mark.parametrize(
    ("shape", "layer", "multiplies"),
    [
        ((20, 3), layers.Conv1D(5, 4), 17 * 5 * 4 * 3),
        ((20, 4), layers.Conv1D(6, 3, 2, groups=2), 9 * 6 * 3 * 2),
        ((5, 6, 7, 2), layers.Conv3D(4, (1, 2, 3)), 5 * 5 * 5 * 4 * 6 * 2),
        ((3, 8, 8), layers.Conv2D(4, 3, **first), 36 * 4 * 27),
        ((3, 8, 8), layers.DepthwiseConv2D(3, depth_multiplier=2, **first), 36 * 6 * 9),
        ((3, 8, 8), layers.SeparableConv2D(5, 3, **first), 36 * 3 * 9 + 36 * 3 * 5),
        ((3, 4, 4), layers.Conv2DTranspose(5, 3, 2, **first), 16 * 3 * 9 * 5),
        ((8, 8, 3), layers.Conv2DTranspose(5, 3, 2), 64 * 3 * 9 * 5),
        ((9, 3), layers.DepthwiseConv1D(3), 7 * 3 * 3),
        ((9, 3), layers.SeparableConv1D(4, 3), 7 * 3 * 3 + 7 * 3 * 4),
        ((9, 3), layers.Conv1DTranspose(4, 3, 2), 9 * 3 * 3 * 4),
        ((8, 8, 3), layers.SpectralNormalization(layers.Conv2D(4, 3)), 36 * 4 * 27),
        ((8, 8, 3), layers.Dense(5), 64 * 15),
        ((8, 6), layers.EinsumDense("abc,cd->abd", (8, 5)), 8 * 6 * 5),
        ((8, 6), layers.EinsumDense("abc,cde->abde", (8, 2, 5)), 8 * 6 * 10),
        ((8, 6), layers.EinsumDense("...c,cd->...d", 5), 8 * 6 * 5),
        ((7, 3), layers.SimpleRNN(4), 7 * 4 * (3 + 4)),
        ((7, 3), layers.LSTM(4), 7 * 16 * (3 + 4)),
        ((7, 3), layers.GRU(4, return_sequences=True), 7 * 12 * (3 + 4)),
        ((7, 3), layers.Bidirectional(layers.LSTM(4)), 2 * 7 * 16 * (3 + 4)),
        ((5, 8, 8, 3), layers.TimeDistributed(layers.Conv2D(4, 3)), 5 * 36 * 4 * 27),
        ((8, 8, 3), layers.LayerNormalization(), 0),
        ((8, 8, 3), layers.ConvLSTM1D(2, 3), None),
    ],
)
def test_multiplies_by_hand(shape, layer, multiplies) -> None:
    model = of(shape, layer)
    rows = read_network(model)
    sums = totals(rows)
    assert rows[-1].multiplies == multiplies
    assert sums["multiplies"] == (multiplies or 0)
    assert sums["not_counted"] == ([rows[-1].name] if multiplies is None else [])
    assert sums["parameters"] + sums["statistics"] == model.count_params()


def test_multiplies_of_attention() -> None:
    """Queries 5x6, keys and values 7x4: three projections to 2 heads of 3, one back to 6."""
    query, value = keras.Input((5, 6)), keras.Input((7, 4))
    model = keras.Model([query, value], layers.MultiHeadAttention(2, 3)(query, value))
    rows = read_network(model)
    assert rows[-1].multiplies == 5 * 6 * 6 + 2 * 7 * 4 * 6 + 5 * 6 * 6
    assert totals(rows)["parameters"] == model.count_params()
