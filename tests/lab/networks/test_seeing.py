"""What places see, against brute force: change each pixel in turn and see which places answer."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops

from cnnkit.lab.networks.reading import LayerRow, read_network

SIDES = (13, 12)


def answers(model: keras.Model, sides: tuple[int, ...], channels: int) -> np.ndarray:
    """Return which places of the output answer to which pixels: (pixels..., places...)."""
    generator = np.random.default_rng(3)
    for variable in model.weights:
        if variable.trainable:
            variable.assign(generator.uniform(0.2, 1.0, variable.shape))
    pixels = int(np.prod(sides))
    base = generator.uniform(0.0, 1.0, (1, *sides, channels)).astype(np.float32)
    moved = np.repeat(base, pixels, axis=0).reshape(pixels, pixels, channels)
    change = np.linspace(2.0, 5.0, channels, dtype=np.float32)
    moved[np.arange(pixels), np.arange(pixels)] += change * (1 + np.arange(channels) % 2)
    moved = moved.reshape(pixels, *sides, channels)
    at_base = np.asarray(model(base, training=False))
    difference = np.abs(np.asarray(model(moved, training=False)) - at_base)
    places = difference.shape[1:-1] if difference.ndim > 2 else ()
    difference = difference.reshape(pixels, -1, *difference.shape[-1:]) if places else difference
    hit = (difference > 1e-5 * np.abs(at_base).max()).any(axis=-1)
    return hit.reshape(*sides, *places)


def check(row: LayerRow, seen: np.ndarray, exact: bool, turned: bool) -> None:
    """Compare a row with what was measured over an image of two sides."""
    sides, places = seen.shape[:2], seen.shape[2:]
    for place in np.ndindex(*places):
        found = np.argwhere(seen[(slice(None), slice(None), *place)])
        where = place if len(place) == 2 else place * 2 or (0, 0)
        where = where[::-1] if turned else where
        if row.sees == "all":
            box = (0, 0, sides[1], sides[0])
        else:
            assert row.sees == "part"
            box = row.field.box(*where)
        left, top, right, bottom = box
        if not len(found):
            assert right <= max(left, 0) or bottom <= max(top, 0) or left >= sides[1], place
            continue
        (a, b), (c, d) = found.min(axis=0), found.max(axis=0) + 1
        inside = max(top, 0), max(left, 0), min(bottom, sides[0]), min(right, sides[1])
        assert (a, b) >= inside[:2] and b >= inside[1] and c <= inside[2] and d <= inside[3]
        whole = top >= 0 and left >= 0 and bottom <= sides[0] and right <= sides[1]
        if exact and whole:
            assert (a, b, c, d) == inside, (place, row.field)


def conv(x, filters=3, kernel=3, **named):
    return layers.Conv2D(filters, kernel, **named)(x)


def token_mixer(x):
    x = layers.Conv2D(4, 4, 4)(x)  # (3, 3, 4)
    x = layers.Reshape((9, 4))(x)
    x = layers.LayerNormalization()(x)
    return x


PARTS: dict[str, Callable] = {
    "layer norm over channels": lambda x: layers.LayerNormalization()(
        conv(conv(x, padding="same"), padding="same")
    ),
    "rms norm": lambda x: layers.RMSNormalization()(conv(x)),
    "unit norm": lambda x: layers.UnitNormalization()(conv(x)),
    "group norm": lambda x: layers.GroupNormalization(1)(conv(x)),
    "layer norm over rows": lambda x: layers.LayerNormalization(axis=1)(conv(x)),
    "layer norm over all": lambda x: layers.LayerNormalization(axis=(1, 2, 3))(conv(x)),
    "batch norm": lambda x: layers.BatchNormalization()(conv(x)),
    "prelu": lambda x: layers.PReLU()(conv(x)),
    "softmax of channels": lambda x: layers.Softmax()(conv(x)),
    "softmax of columns": lambda x: layers.Softmax(axis=2)(conv(x)),
    "strides": lambda x: conv(conv(x, strides=2, padding="same"), strides=(2, 1)),
    "dilation": lambda x: conv(x, dilation_rate=(2, 3), padding="same"),
    "depthwise": lambda x: layers.DepthwiseConv2D((3, 5), padding="same")(x),
    "separable": lambda x: layers.SeparableConv2D(4, 3, strides=2)(x),
    "max pool": lambda x: layers.MaxPooling2D(3, 2, padding="same")(conv(x)),
    "average pool": lambda x: layers.AveragePooling2D((2, 3), 1)(conv(x)),
    "adaptive pool": lambda x: layers.AdaptiveAveragePooling2D((5, 4))(conv(x)),
    "transposed same": lambda x: layers.Conv2DTranspose(2, 2, 2, padding="same")(x),
    "transposed 4/2": lambda x: layers.Conv2DTranspose(2, 4, 2, padding="same")(x),
    "transposed 3/2 valid": lambda x: layers.Conv2DTranspose(2, 3, 2)(conv(x)),
    "transposed 5/3": lambda x: layers.Conv2DTranspose(2, 5, 3, padding="same")(x),
    "transposed with gaps": lambda x: layers.Conv2DTranspose(2, 2, 3)(x),
    "transposed in transposed": lambda x: layers.Conv2DTranspose(2, 3, 2, padding="same")(
        layers.Conv2DTranspose(2, 3, 2, padding="same")(conv(x, strides=2))
    ),
    "upsampled image": lambda x: layers.UpSampling2D(2)(x),
    "upsampled, conv": lambda x: conv(layers.UpSampling2D((2, 3))(x), padding="same"),
    "upsampled, strided conv": lambda x: conv(layers.UpSampling2D(3)(x), strides=2),
    "pool, conv, upsample": lambda x: layers.UpSampling2D(2)(conv(layers.MaxPooling2D(2)(x))),
    "pool, upsample, conv": lambda x: conv(
        layers.UpSampling2D(2)(layers.AveragePooling2D(2)(conv(x, padding="same"))),
        padding="same",
    ),
    "bilinear": lambda x: conv(layers.UpSampling2D(2, interpolation="bilinear")(conv(x)), 2),
    "resizing": lambda x: layers.Resizing(7, 9)(conv(x)),
    "resizing nearest": lambda x: layers.Resizing(7, 18, interpolation="nearest")(conv(x)),
    "cropping": lambda x: conv(layers.Cropping2D(((1, 2), (3, 0)))(x)),
    "center crop": lambda x: layers.CenterCrop(6, 5)(conv(x)),
    "zero padding": lambda x: conv(layers.ZeroPadding2D(((2, 0), (1, 3)))(x), strides=2),
    "reflected": lambda x: ops.pad(conv(x), ((0, 0), (2, 2), (1, 1), (0, 0)), mode="reflect"),
    "padded ops": lambda x: conv(ops.pad(x, ((0, 0), (2, 1), (0, 1), (0, 0)))),
    "slice": lambda x: conv(x)[:, 2:-2, ::2],
    "flip": lambda x: conv(ops.flip(conv(x, strides=2), axis=1)),
    "roll": lambda x: ops.roll(conv(x), 3, axis=2),
    "residual": lambda x: layers.Add()([x, conv(conv(x, padding="same"), padding="same")]),
    "branches": lambda x: layers.Concatenate()(
        [conv(x, padding="same"), conv(x, 2, 5, padding="same"), conv(x, 1, 1)]
    ),
    "squeeze and excite": lambda x: layers.Multiply()(
        [conv(x), layers.GlobalAveragePooling2D(keepdims=True)(conv(x))]
    ),
    "squeeze of a vector": lambda x: layers.Multiply()(
        [
            conv(x),
            layers.Dense(3, activation="sigmoid")(
                layers.Reshape((1, 1, 3))(layers.GlobalMaxPooling2D()(conv(x)))
            ),
        ]
    ),
    "mean of rows": lambda x: ops.mean(conv(x), axis=1, keepdims=True) + conv(x),
    "mean of a crop": lambda x: layers.GlobalAveragePooling2D()(layers.Cropping2D(4)(conv(x))),
    "valid, pool, flatten": lambda x: layers.Flatten()(
        layers.MaxPooling2D(2)(conv(layers.MaxPooling2D(2)(conv(x))))
    ),
    "dense of flatten": lambda x: layers.Dense(4)(layers.Flatten()(x)),
    "dense of a map": lambda x: layers.Dense(4)(conv(x)),
    "permuted": lambda x: layers.Permute((2, 1, 3))(conv(x, strides=(2, 1))),
    "permuted back": lambda x: conv(layers.Permute((2, 1, 3))(layers.Permute((2, 1, 3))(x))),
    "columns into channels": lambda x: layers.Dense(2)(layers.Permute((1, 3, 2))(conv(x))),
    "tokens": token_mixer,
    "tokens to a map": lambda x: conv(layers.Reshape((3, 3, 4))(token_mixer(x)), 2, 2),
    "shuffled channels": lambda x: conv(
        layers.Reshape((11, 10, 6))(
            layers.Permute((1, 2, 4, 3))(layers.Reshape((11, 10, 2, 3))(conv(x, 6)))
        )
    ),
    "space to depth": lambda x: conv(ops.space_to_depth(layers.Cropping2D(((1, 0), (0, 0)))(x), 2)),
    "depth to space": lambda x: ops.depth_to_space(conv(x, 8), 2),
    "attention": lambda x: layers.MultiHeadAttention(2, 3)(token_mixer(x), token_mixer(x)),
    "attention of rows": lambda x: layers.MultiHeadAttention(2, 3, attention_axes=1)(
        conv(x), conv(x)
    ),
    "plain attention": lambda x: layers.Attention()([token_mixer(x), token_mixer(x)]),
    "einsum dense": lambda x: layers.EinsumDense("abcd,de->abce", (11, 10, 5))(conv(x)),
    "einsum over columns": lambda x: layers.EinsumDense("abcd,ce->abed", (11, 4, 3))(conv(x)),
    "matmul": lambda x: ops.matmul(conv(x, strides=2), conv(conv(x, strides=2), 3, 1)[:, :, :3]),
    "time distributed": lambda x: layers.TimeDistributed(layers.Conv1D(2, 3))(conv(x)),
    "time distributed dense": lambda x: layers.TimeDistributed(layers.Dense(2))(conv(x)),
    "recurrent": lambda x: layers.SimpleRNN(3)(token_mixer(x)),
    "global max": lambda x: layers.GlobalMaxPooling2D()(x),
    "random layers": lambda x: conv(layers.RandomFlip()(layers.RandomErasing()(x))),
    "spectral": lambda x: layers.SpectralNormalization(layers.Conv2D(2, 3))(x),
    "split": lambda x: conv(ops.split(conv(x, padding="same"), 2, axis=2)[1], 2, 1),
    "stack": lambda x: ops.max(
        ops.stack([conv(x, 3, 5), conv(x)[:, 1:-1, 1:-1]], axis=-1), axis=-1
    ),
    "rows side by side": lambda x: layers.Concatenate(axis=1)([conv(x), conv(x, strides=(2, 1))]),
}
# A maximum, or a softmax that saturates, hides what it could have seen.
LOOSE = {"softmax of columns", "global max", "squeeze of a vector", "recurrent"}
# Of each kind one; the others are run with the slow tests.
ALWAYS = (
    "layer norm over channels|transposed 4/2|upsampled image|pool, upsample, conv|bilinear|"
    "squeeze and excite|valid, pool, flatten|tokens to a map|shuffled channels|attention|slice|"
    "branches|mean of a crop|reflected|transposed with gaps"
).split("|")
TURNED = {"permuted"}  # the rows of the image lie along the columns of the map


@pytest.mark.parametrize(
    "name", [n if n in ALWAYS else pytest.param(n, marks=pytest.mark.slow) for n in PARTS]
)
def test_a_place_depends_on_what_it_sees(name: str) -> None:
    image = keras.Input((*SIDES, 3))
    model = keras.Model(image, PARTS[name](image))
    row = read_network(model)[-1]
    check(row, answers(model, SIDES, 3), exact=name not in LOOSE, turned=name in TURNED)


def test_upsampling_at_the_start_and_behind_a_pool() -> None:
    image = keras.Input((16, 16, 3))
    rows = read_network(keras.Model(image, layers.UpSampling2D(2)(image)))
    assert (rows[-1].field.size, rows[-1].field.jump) == ((1, 1), (0.5, 0.5))
    x = conv(layers.UpSampling2D(2)(layers.MaxPooling2D(2)(conv(image, padding="same"))), 2, 3)
    row = read_network(keras.Model(image, x))[-1]
    # Two pooled places of 4 pixels each, 2 apart.
    assert (row.field.size, row.field.jump) == ((6, 6), (1, 1))


def test_an_operation_that_is_not_known_is_no_whole_image() -> None:
    image = keras.Input((8, 8, 3))
    blurred = layers.Resizing(4, 4, crop_to_aspect_ratio=True)(conv(image))
    rows = read_network(keras.Model(image, layers.GlobalAveragePooling2D()(conv(blurred, 2, 1))))
    assert [row.sees for row in rows] == ["part", "part", "unknown", "unknown", "unknown"]
    assert rows[2].to_dict()["receptive_field"] is None and rows[2].to_dict()["sees"] == "unknown"


def test_another_input_than_the_image_does_not_see_it() -> None:
    image, style = keras.Input((8, 8, 3)), keras.Input((4,))
    scale = layers.Reshape((1, 1, 3))(layers.Dense(3, name="scale")(style))
    model = keras.Model([image, style], layers.Multiply(name="scaled")([conv(image), scale]))
    rows = {row.name: row for row in read_network(model)}
    assert rows["scale"].sees == "nothing" and rows["scaled"].field.size == (3, 3)


def test_channels_first() -> None:
    image = keras.Input((3, 12, 10))
    first = {"data_format": "channels_first"}
    x = layers.MaxPooling2D(2, **first)(layers.Conv2D(4, 3, **first)(image))
    x = layers.LayerNormalization(axis=1)(x)
    rows = read_network(keras.Model(image, layers.UpSampling2D(2, **first)(x)))
    assert [row.field.size for row in rows] == [(1, 1), (3, 3), (4, 4), (4, 4), (4, 4)]


@pytest.mark.parametrize("causal", [True, False])
def test_one_dimension(causal: bool) -> None:
    steps = keras.Input((20, 2))
    x = layers.Conv1D(3, 3, dilation_rate=2, padding="causal" if causal else "valid")(steps)
    row = read_network(keras.Model(steps, layers.LayerNormalization()(x)))[-1]
    assert row.field.size == (5, 1)
    assert row.field.rows.low == (-4 if causal else 0)
