"""What each layer of Keras makes of what the places of its inputs see.

Layers and operations are known by the names of their classes, so that this file needs no
framework. One that is not known here sees "unknown", never "the whole image".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from cnnkit.lab.arithmetic.fields import AxisField, Unclear
from cnnkit.lab.arithmetic.windows import dilated, same_padding
from cnnkit.lab.networks.calls import Call, channels_first, several, spatial, without_batch
from cnnkit.lab.networks.sights import (
    NO_SIGHT,
    UNKNOWN,
    AnySight,
    Scattered,
    Sight,
    Through,
    along,
    over,
    rearranged,
    renumbered,
    side_by_side,
    together,
)

# A place of their output depends on the same place of their inputs, and on no other.
PLACE_BY_PLACE = frozenset(
    "Activation ReLU LeakyReLU PReLU ELU Dropout SpatialDropout1D SpatialDropout2D "
    "SpatialDropout3D GaussianNoise GaussianDropout AlphaDropout Rescaling Normalization "
    "BatchNormalization Add Subtract Multiply Average Maximum Minimum Identity InputLayer "
    "ActivityRegularization LayerScale Masking Discretization Solarization RandomApply "
    # keras.ops
    "Divide DivideNoNan TrueDivide FloorDivide Mod Fmod Power Negative Square Sqrt Rsqrt Cbrt Exp "
    "Exp2 Expm1 Log Log10 Log1p Log2 Logaddexp Logaddexp2 Abs Absolute Fabs Sign Signbit Round "
    "Ceil Floor Trunc Reciprocal Clip Fmax Fmin Hypot Sin Sinh Cos Cosh Tan Tanh Arcsin Arcsinh "
    "Arccos Arccosh Arctan Arctan2 Arctanh Sinc Deg2rad Rad2deg Erf Erfc Erfinv Where Equal "
    "NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalNot LogicalOr LogicalXor "
    "Isfinite Isinf Isnan NanToNum Cast SaturateCast StopGradient Copy Heaviside Ldexp Real Conj "
    "Conjugate Relu Relu6 Sigmoid SparseSigmoid Softplus Softsign SoftShrink SparsePlus Silu "
    "Squareplus LogSigmoid LeakyRelu HardSigmoid HardSilu Elu Selu Gelu Celu TanhShrink HardTanh "
    "HardShrink Threshold Mish BatchNorm".split()
)
# They change images in training only.
TRAINING_ONLY = frozenset("AugMix CutMix MixUp RandAugment".split())
# They mix all places along their `axis`, and leave the shape.
ALONG_AXIS = frozenset(
    "LayerNormalization RMSNormalization UnitNormalization Softmax LogSoftmax Sparsemax Normalize "
    "LayerNorm RMSNorm Cumsum Cumprod Nancumsum Nancumprod Sort Argsort".split()
)
# They leave one number along their `axis`, or along all axes.
REDUCTIONS = frozenset(
    "Mean Sum Max Min Amax Amin Prod Std Var Any All Median Quantile Percentile Ptp CountNonzero "
    "Argmax Argmin Logsumexp Norm Nanmean Nansum Nanmax Nanmin Nanprod Nanstd Nanvar "
    "Nanmedian".split()
)
EVERYTHING = frozenset("Equalization AutoContrast GroupNormalization".split())


def sights_behind(call: Call) -> list[AnySight]:
    """Return what the places of each output see."""
    known = [sight for sight in call.sights if sight is not NO_SIGHT]
    if not known:
        return [NO_SIGHT] * len(call.outputs)
    if UNKNOWN in known:
        return [UNKNOWN] * len(call.outputs)
    try:
        found = _behind(call)
    except (Unclear, ValueError, TypeError, AttributeError, IndexError, KeyError):
        # A form of the call that the rules below do not foresee.
        found = UNKNOWN
    return found if isinstance(found, list) else [found] * len(call.outputs)


def _behind(call: Call) -> AnySight | list[AnySight]:
    kind = call.kind
    if kind in RULES:
        return RULES[kind](call)
    if kind in PLACE_BY_PLACE:
        return place_by_place(call)
    if kind in TRAINING_ONLY or kind.startswith("Random"):
        return call.sights[0] if call.shapes[0] == call.output else UNKNOWN
    if kind in ALONG_AXIS:
        return along_axis(call)
    if kind in REDUCTIONS:
        return reduced(call)
    if kind in EVERYTHING:
        return over(call.sights[0], call.shapes[0], spatial(call))
    for beginning, rule in FAMILIES:
        if kind.startswith(beginning):
            return rule(call)
    return UNKNOWN


# --- rules ----------------------------------------------------------------------------------


def place_by_place(call: Call) -> AnySight:
    """Return the sight of what works on each place by itself, or joins several there."""
    rank = len(call.output)
    sights, shapes = [], []
    for sight, shape in zip(call.sights, call.shapes, strict=True):
        missing = rank - len(shape)
        if missing and not hasattr(call.layer, "_reshape_required"):
            return UNKNOWN  # operations align the batch with a place then
        sights.append(renumbered(sight, {n: n + missing for n in range(len(shape))}, call.output))
        shapes.append((1,) * missing + tuple(shape))
    return together(sights, shapes, call.output)


def along_axis(call: Call) -> AnySight:
    """Return the sight of what mixes the places along its axis."""
    shape = call.shapes[0]
    axes = without_batch(getattr(call.layer, "axis", -1), len(shape))
    return over(call.sights[0], shape, axes)


def reduced(call: Call) -> AnySight:
    """Return the sight of a sum, a mean or similar."""
    layer, shape = call.layer, call.shapes[0]
    axes = without_batch(getattr(layer, "axis", None), len(shape))
    keep = len(call.output) == len(shape)
    return over(call.sights[0], shape, axes, keep)


def sliding(call: Call) -> AnySight:
    """Return the sight of a convolution or a pooling."""
    layer, axes = call.layer, spatial(call)
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if kernel is None:  # an operation, given its kernel
        kernel = call.argument(1, "kernel").shape[: len(axes)]
    kernel = several(kernel, len(axes))
    strides = several(getattr(layer, "strides", None) or kernel, len(axes))
    dilation = several(getattr(layer, "dilation_rate", 1), len(axes))
    through: Through = {}
    for axis, taps, stride, rate in zip(axes, kernel, strides, dilation, strict=True):
        before = zeros_before(layer.padding, call.shapes[0][axis], taps, stride, rate)
        through[axis] = partial(
            AxisField.through,
            kernel=taps,
            stride=stride,
            before=before,
            dilation=rate,
            places=call.output[axis],
        )
    return along(_channels_mixed(call, axes), through, call.output)


def _channels_mixed(call: Call, axes: tuple[int, ...]) -> AnySight:
    """Return the sight of the input once a convolution has summed over its channels."""
    if call.kind.startswith(("Depthwise", "Max", "Average")):
        return call.sights[0]
    rank = len(call.shapes[0])
    return over(call.sights[0], call.shapes[0], [n for n in range(rank) if n not in axes])


def zeros_before(padding: str, size: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the zeros ahead of the first place of an axis."""
    if padding == "causal":
        return dilated(kernel, dilation) - 1
    return same_padding(size, kernel, stride, dilation)[0] if padding == "same" else 0


def transposed(call: Call) -> AnySight:
    """Return the sight of a transposed convolution: TensorFlow's padding, backwards."""
    layer, axes = call.layer, spatial(call)
    kernels = several(layer.kernel_size, len(axes))
    through: Through = {}
    steps = several(layer.strides, len(axes)), several(layer.dilation_rate, len(axes))
    for axis, taps, stride, rate in zip(axes, kernels, *steps, strict=True):
        size, places = call.shapes[0][axis], call.output[axis]
        cut = (size - 1) * stride + dilated(taps, rate) - places
        before = max(0, cut) // 2 if layer.padding == "same" else 0
        through[axis] = partial(
            AxisField.transposed,
            kernel=taps,
            stride=stride,
            before=before,
            dilation=rate,
            places=places,
        )
    return along(_channels_mixed(call, axes), through, call.output)


def shifted(call: Call) -> AnySight:
    """Return the sight of a padding with zeros or of a cropping."""
    layer, axes = call.layer, spatial(call)
    if call.kind == "CenterCrop":
        firsts = [
            (call.shapes[0][axis] - side) // 2
            for axis, side in zip(axes, (layer.height, layer.width), strict=True)
        ]
        if min(firsts) < 0:
            return UNKNOWN  # smaller images are resized instead
    elif call.kind.startswith("Cropping"):
        sides = layer.cropping if len(axes) > 1 else [layer.cropping]
        firsts = [before for before, _ in sides]
    else:
        sides = layer.padding if len(axes) > 1 else [layer.padding]
        firsts = [-before for before, _ in sides]
    through: Through = {
        axis: partial(AxisField.behind, taps=[[first]], shift=1, places=call.output[axis])
        for axis, first in zip(axes, firsts, strict=True)
    }
    return along(call.sights[0], through, call.output)


def upsampled(call: Call) -> AnySight:
    """Return the sight of an upsampling."""
    axes = spatial(call)
    times = several(call.layer.size, len(axes))
    way = getattr(call.layer, "interpolation", "nearest")
    through: Through = {}
    for axis, factor in zip(axes, times, strict=True):
        size, places = call.shapes[0][axis], call.output[axis]
        if way == "nearest":
            through[axis] = partial(AxisField.repeated, times=factor, places=places)
        else:
            through[axis] = resampling(way, size, places)
    return along(call.sights[0], through, call.output)


def resized(call: Call) -> AnySight:
    """Return the sight of a resizing of the image."""
    layer, axes = call.layer, spatial(call)
    if call.shapes[0] == call.output:
        return call.sights[0]
    flags = ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias")
    if any(getattr(layer, flag, False) for flag in flags):
        return UNKNOWN
    through = {
        axis: resampling(layer.interpolation, call.shapes[0][axis], call.output[axis])
        for axis in axes
    }
    return along(call.sights[0], through, call.output)


# Pixels on either side that an interpolation looks at.
REACH = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def resampling(way: str, size: int, places: int) -> Callable[[AxisField], AxisField]:
    """Return what an interpolation makes of an axis: pixel centers at half steps, no antialias."""
    common = math.gcd(size, places)
    period, shift = places // common, size // common
    taps = []
    for place in range(period):
        # The middle of the place, in halves of a step of (1 / period).
        middle, parts = (2 * place + 1) * shift, 2 * period
        if way == "nearest":
            taps.append([middle // parts])
            continue
        first, rest = divmod(middle - period, parts)
        reach = REACH[way]
        taps.append(list(range(first - reach + 1, first + reach + 1)) if rest else [first])

    def through(axis: AxisField) -> AxisField:
        """Return what the resized axis sees, behind what the axis itself sees."""
        inside = [
            [min(max(tap + turn * shift, 0), size - 1) for tap in own]
            for turn in range(common)
            for own in taps
        ]
        if way != "nearest" and len(inside) <= 4096:  # places at the edge are taken twice
            return AxisField.of_places([axis.behind([own], 0, 1).span(0) for own in inside])
        return axis.behind(taps, shift, places)

    return through


def adaptive(call: Call) -> AnySight:
    """Return the sight of a pooling that is told the size of its output."""
    through: Through = {}
    for axis in spatial(call):
        size, places = call.shapes[0][axis], call.output[axis]
        taps = [
            [n * size // places, -(-(n + 1) * size // places) - 1] for n in range(places)
        ]  # first and last
        through[axis] = partial(AxisField.behind, taps=taps, shift=size, places=places)
    return along(call.sights[0], through, call.output)


def pooled(call: Call) -> AnySight:
    """Return the sight of a global pooling."""
    keep = len(call.output) == len(call.shapes[0])
    return over(call.sights[0], call.shapes[0], spatial(call), keep)


def concatenated(call: Call) -> AnySight:
    """Return the sight of tensors put side by side."""
    axis = without_batch(call.layer.axis, len(call.output))[0]
    return side_by_side(call.sights, call.shapes, axis, call.output)


def recurrent(call: Call) -> AnySight:
    """Return the sight of a recurrent layer: a step is taken to see all of them."""
    outputs, shape = [], call.shapes[0]
    for output in call.outputs:
        axes = (0,) if len(output) <= len(shape) else ()
        keep = len(output) == len(shape)
        # All else than steps and channels, as of ConvLSTM, is not followed.
        outputs.append(over(call.sights[0], shape, axes, keep) if len(shape) == 2 else UNKNOWN)
    return outputs  # type: ignore[return-value]


def each_step(call: Call) -> AnySight:
    """Return the sight of a layer that is called on each place along the first axis."""
    inner = replace(
        call,
        layer=call.layer.layer,
        # The first axis goes along as one that nothing slides over.
        sights=[_with_axes_moved(sight, -1) for sight in call.sights],
        shapes=[shape[1:] for shape in call.shapes],
        outputs=[shape[1:] for shape in call.outputs],
    )
    return _with_axes_moved(sights_behind(inner)[0], 1)


def _with_axes_moved(sight: AnySight, by: int) -> AnySight:
    """Return the sight with other numbers of the tensor's axes; what is scattered gets lost."""
    if isinstance(sight, Sight):
        lying = tuple(None if axis is None else axis + by for axis in sight.lying)
        return replace(sight, lying=lying)
    return UNKNOWN if isinstance(sight, Scattered) else sight


def wrapped(call: Call) -> AnySight | list[AnySight]:
    """Return the sight of the layer that a wrapper holds."""
    return sights_behind(replace(call, layer=call.layer.layer))


# --- products and attention -----------------------------------------------------------------


def dense(call: Call) -> AnySight:
    """Return the sight of units that see the whole last axis."""
    return over(call.sights[0], call.shapes[0], (-1,))


def by_letters(call: Call, inputs: Sequence[str], output: str) -> AnySight:
    """Return the sight of a sum of products, written as `einsum` does, without the batch."""
    sights = []
    for sight, shape, letters in zip(call.sights, call.shapes, inputs, strict=True):
        summed = [n for n, letter in enumerate(letters) if letter not in output]
        mixed = over(sight, shape, summed)
        kept = {n: output.index(letter) for n, letter in enumerate(letters) if letter in output}
        sights.append(renumbered(mixed, kept, call.output))
    fitted = []
    for shape, letters in zip(call.shapes, inputs, strict=True):
        sides = dict(zip(letters, shape, strict=True))
        fitted.append(tuple(sides.get(letter, 1) for letter in output))
    return together(sights, fitted, call.output)


def einsum(call: Call) -> AnySight:
    """Return the sight of `ops.einsum` and of EinsumDense, whose first letter is the batch's."""
    text = getattr(call.layer, "subscripts", None) or call.layer.equation
    left, output = text.replace(" ", "").split("->")
    inputs = left.split(",")[: len(call.sights)]
    if "..." in text:
        spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in text]
        rank = len(call.shapes[0]) + 1 - len(inputs[0].replace("...", ""))
        filled = "".join(spare[:rank])
        inputs = [one.replace("...", filled) for one in inputs]
        output = output.replace("...", filled)
    if any(one[0] != output[0] for one in inputs):
        return UNKNOWN
    return by_letters(call, [one[1:] for one in inputs], output[1:])


def matmul(call: Call) -> AnySight:
    """Return the sight of a product of matrices."""
    if len(call.sights) != 2 or len(call.shapes[0]) != len(call.shapes[1]):
        return UNKNOWN
    (one, other), (shape, shape2) = call.sights, call.shapes
    sights = [over(one, shape, (-1,)), over(other, shape2, (-2,))]
    return together(sights, [(*shape[:-1], 1), (*shape2[:-2], 1, shape2[-1])], call.output)


def attention(call: Call) -> AnySight:
    """Return the sight of attention: a place's own query, and all that it attends to."""
    layer, shape = call.layer, call.shapes[0]
    rank = len(shape)
    if call.kind in ("Attention", "AdditiveAttention"):
        axes: tuple[int, ...] = (rank - 2,)
    elif call.kind == "MultiHeadAttention":
        given = getattr(layer, "_attention_axes", None)
        axes = without_batch(given, rank) if given else tuple(range(rank - 1))
    else:
        axes = (0,)
    seen, shapes = [over(call.sights[0], shape, (-1,))], [(*shape[:-1], 1)]
    for sight, other in zip(call.sights[1:], call.shapes[1:], strict=True):
        if len(other) != rank:
            return UNKNOWN
        seen.append(over(sight, other, (*axes, -1)))
        shapes.append(tuple(1 if n in (*axes, rank - 1) else s for n, s in enumerate(other)))
    own = together(seen, shapes, (*call.output[:-1], 1))
    found = [own]
    found += [UNKNOWN] * (len(call.outputs) - 1)  # the weights of the attention
    return found  # type: ignore[return-value]


# --- places that move -----------------------------------------------------------------------


def moved(call: Call, move: Callable[[np.ndarray], np.ndarray]) -> AnySight:
    """Return the sight behind a rearrangement, which is given an array with a batch of one."""
    output = tuple(call.output)
    if len(call.sights) != 1:
        return UNKNOWN
    return rearranged(call.sights[0], call.shapes[0], lambda a: move(a[None])[0], output)


def reshaped(call: Call) -> AnySight:
    """Return the sight of the same numbers in another shape."""
    if channels_first(call.layer) and call.kind == "Flatten":
        turned = lambda a: np.moveaxis(a, 1, -1)  # noqa: E731  (as the layer does)
    else:
        turned = lambda a: a  # noqa: E731
    return moved(call, lambda a: turned(a).reshape(1, *call.output))


def sliced(call: Call) -> AnySight:
    """Return the sight of ``x[:, 2:-2]``."""
    key = call.argument(1, "key")
    return moved(call, lambda a: a[tuple(key) if isinstance(key, list) else key])


def padded(call: Call) -> AnySight:
    """Return the sight of `ops.pad`."""
    layer = call.layer
    mode: Any = layer.mode if layer.mode in ("constant", "reflect", "symmetric") else None
    widths = layer.pad_width
    if mode == "constant":
        sides = [tuple(pair) for pair in widths[1:]] if len(widths) > 1 else None
        if sides is None or len(sides) != len(call.shapes[0]):
            return UNKNOWN
        through: Through = {
            axis: partial(AxisField.behind, taps=[[-before]], shift=1, places=call.output[axis])
            for axis, (before, _) in enumerate(sides)
        }
        found = along(call.sights[0], through, call.output)
        if found is not UNKNOWN:
            return found
    return moved(call, lambda a: np.pad(a, widths, mode=mode))


def split(call: Call) -> list[AnySight]:
    """Return the sights of the parts of `ops.split` or `ops.unstack`."""
    axis, shape = call.layer.axis, call.shapes[0]
    place = without_batch(axis, len(shape))[0]
    unstacked = call.kind == "Unstack"
    found, first = [], 0
    for output in call.outputs:
        size = 1 if unstacked else output[place]
        part = tuple(size if n == place else side for n, side in enumerate(shape))

        def cut(array: np.ndarray, first: int = first, size: int = size) -> np.ndarray:
            piece = np.take(array, range(first, first + size), place)
            return piece.squeeze(place) if unstacked else piece

        target = output if unstacked else part
        found.append(rearranged(call.sights[0], shape, cut, tuple(target)))
        first += size
    return found


def stacked(call: Call) -> AnySight:
    """Return the sight of `ops.stack`."""
    axis = without_batch(call.layer.axis, len(call.output))[0]
    sights, shapes = [], []
    for sight, shape in zip(call.sights, call.shapes, strict=True):
        longer = (*shape[:axis], 1, *shape[axis:])
        sights.append(renumbered(sight, {n: n + (n >= axis) for n in range(len(shape))}, longer))
        shapes.append(longer)
    return side_by_side(sights, shapes, axis, call.output)


def to_depth(call: Call) -> AnySight:
    """Return the sight of `ops.space_to_depth` and `ops.depth_to_space`."""
    layer, block = call.layer, call.layer.block_size
    if channels_first(layer):
        return UNKNOWN

    def move(array: np.ndarray) -> np.ndarray:
        """Move the entries of an array (1, height, width, depth) as the operation does."""
        one, height, width, depth = array.shape
        if call.kind == "SpaceToDepth":
            split_up = array.reshape(one, height // block, block, width // block, block, depth)
            return split_up.transpose(0, 1, 3, 2, 4, 5).reshape(1, *call.output)
        split_up = array.reshape(one, height, width, block, block, depth // block**2)
        return split_up.transpose(0, 1, 3, 2, 4, 5).reshape(1, *call.output)

    return moved(call, move)


def repeated_vector(call: Call) -> AnySight:
    """Return the sight of a vector that is repeated."""
    longer = renumbered(call.sights[0], {0: 1}, (1, *call.shapes[0]))
    return together([longer], [(1, *call.shapes[0])], call.output)


def embedded(call: Call) -> AnySight:
    """Return the sight of codes, each place of which became a vector."""
    return renumbered(call.sights[0], {n: n for n in range(len(call.shapes[0]))}, call.output)


def gated(call: Call) -> AnySight:
    """Return the sight of `ops.glu`: one half of an axis opens the other."""
    axis = without_batch(call.layer.axis, len(call.shapes[0]))[0]

    def half(places: np.ndarray, number: int) -> np.ndarray:
        """Return one half of an array along the axis."""
        return np.split(places, 2, axis)[number]

    halves = [
        rearranged(call.sights[0], call.shapes[0], partial(half, number=number), tuple(call.output))
        for number in (0, 1)
    ]
    return together(halves, [call.output, call.output], call.output)


def gray(call: Call) -> AnySight:
    """Return the sight of colors that became one."""
    axis = 0 if channels_first(call.layer) else len(call.shapes[0]) - 1
    return over(call.sights[0], call.shapes[0], (axis,))


RULES: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("Concatenate",), concatenated),
    **dict.fromkeys(("Dense", "ReversibleEmbedding"), dense),
    **dict.fromkeys(("EinsumDense", "Einsum"), einsum),
    "Matmul": matmul,
    **dict.fromkeys(
        ("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention", "Attention"),
        attention,
    ),
    **dict.fromkeys(("AdditiveAttention", "DotProductAttention"), attention),
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU", "Bidirectional", "RNN"), recurrent),
    "TimeDistributed": each_step,
    "SpectralNormalization": wrapped,
    **dict.fromkeys(("Flatten", "Reshape", "Ravel"), reshaped),
    "Permute": lambda call: moved(call, lambda a: a.transpose(0, *call.layer.dims)),
    "Transpose": lambda call: moved(call, lambda a: a.transpose(call.layer.axes)),
    "Moveaxis": lambda call: moved(
        call, lambda a: np.moveaxis(a, call.layer.source, call.layer.destination)
    ),
    "Swapaxes": lambda call: moved(
        call, lambda a: np.swapaxes(a, call.layer.axis1, call.layer.axis2)
    ),
    **dict.fromkeys(
        ("ExpandDims", "Squeeze"), lambda call: moved(call, lambda a: a.reshape(1, *call.output))
    ),
    "Flip": lambda call: moved(call, lambda a: np.flip(a, call.layer.axis)),
    "Roll": lambda call: moved(call, lambda a: np.roll(a, call.layer.shift, call.layer.axis)),
    "Rot90": lambda call: moved(call, lambda a: np.rot90(a, call.layer.k, call.layer.axes)),
    "Repeat": lambda call: moved(call, lambda a: np.repeat(a, call.layer.repeats, call.layer.axis)),
    "Tile": lambda call: moved(call, lambda a: np.tile(a, call.layer.repeats)),
    "Take": lambda call: moved(
        call, lambda a: np.take(a, np.asarray(call.argument(1, "indices")), call.layer.axis)
    ),
    "BroadcastTo": lambda call: together(call.sights, call.shapes, call.output),
    "GetItem": sliced,
    "Pad": padded,
    **dict.fromkeys(("Split", "Unstack"), split),
    "Stack": stacked,
    **dict.fromkeys(("SpaceToDepth", "DepthToSpace"), to_depth),
    "RepeatVector": repeated_vector,
    "Embedding": embedded,
    "Glu": gated,
    **dict.fromkeys(("RGBToGrayscale", "RGBToHSV", "HSVToRGB"), gray),
    "CenterCrop": shifted,
    **dict.fromkeys(("Resizing", "Resize"), resized),
    **dict.fromkeys(("MaxPool", "AveragePool", "Conv", "DepthwiseConv"), sliding),
    **{f"Conv{n}D": sliding for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": transposed for n in (1, 2, 3)},
}
# By the beginning of the name, for one, two and three dimensions alike.
FAMILIES: tuple[tuple[str, Callable[[Call], Any]], ...] = (
    ("DepthwiseConv", sliding),
    ("SeparableConv", sliding),
    ("MaxPooling", sliding),
    ("AveragePooling", sliding),
    ("GlobalMaxPooling", pooled),
    ("GlobalAveragePooling", pooled),
    ("Adaptive", adaptive),
    ("ZeroPadding", shifted),
    ("Cropping", shifted),
    ("UpSampling", upsampled),
)
