"""Darknet's files: the layers of a ``.cfg``, and the numbers of a ``.weights`` that fit them.

A ``.weights`` file is a header and then bare floats: no names, no lengths, no checksum. So its
size must be exactly what the layers need, or end where a layer ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles.card import ModelCard, NetworkSpec, read_bounded
from cnnkit.bundles.detector_card import HeadSpec
from cnnkit.errors import BundleError, UsageError, broken_rule
from cnnkit.images import InputSpec

MAX_CFG_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 1 << 30
MAX_SIDE = 4096
ARCHITECTURES = {"yolov3-tiny": "yolov3_tiny", "yolov3": "yolov3"}
# Which anchors each head of an official file was trained with, by the file's sha256. The .cfg
# that goes with yolov3-tiny.weights says 0,1,2 for the second head: it was changed after the
# training, and halves the mean average precision.
TRAINED_MASKS = {
    "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c": ((3, 4, 5), (1, 2, 3)),
}


@dataclass(frozen=True)
class DarknetNetwork:
    """What a ``.cfg`` describes.

    Attributes:
        architecture: A name in `cnnkit.architectures.BUILDERS`.
        height: Height of the input in pixels.
        width: Width of the input in pixels.
        classes: Number of classes.
        anchors: Width and height of every anchor in pixels of the input.
        masks: Which of them each head has, in the order of the file.
        strides: Strides of the heads, in the same order.
    """

    architecture: str
    height: int
    width: int
    classes: int
    anchors: tuple[tuple[float, float], ...]
    masks: tuple[tuple[int, ...], ...]
    strides: tuple[int, ...]

    def heads(self, sha256: str | None = None) -> tuple[HeadSpec, ...]:
        """Return the heads, with the anchors that a known file of weights was trained with.

        Args:
            sha256: SHA-256 of the ``.weights``; for an official file, its own anchors override
                those of the ``.cfg``.
        """
        masks = TRAINED_MASKS.get(sha256 or "", self.masks)
        return tuple(
            HeadSpec(f"stride{stride}", stride, tuple(self.anchors[i] for i in mask))
            for stride, mask in zip(self.strides, masks, strict=True)
        )


@dataclass(frozen=True)
class DarknetWeights:
    """The numbers of a ``.weights`` file by variable path of the builder.

    Attributes:
        arrays: float32; the kernels as (height, width, in, out).
        classes: Number of classes of the network that the file was written for; None for a partial
            file.
        layers: How many convolutions it holds.
        sha256: SHA-256 of the file.
    """

    arrays: Mapping[str, np.ndarray]
    classes: int | None
    layers: int
    sha256: str


# --- .cfg --------------------------------------------------------------------------------


def read_cfg(path: Path) -> DarknetNetwork:
    """Read a ``.cfg`` file, whose layers must be those of a network that is known here.

    Raises:
        BundleError: It is no such file.
    """
    try:
        sections = _sections(read_bounded(path, MAX_CFG_BYTES).decode("utf-8-sig"))
        return _network(sections)
    except (UnicodeDecodeError, KeyError, IndexError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BundleError(
            broken_rule(str(path), "be a Darknet .cfg of yolov3 or yolov3-tiny", reason)
        ) from error


def _sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return the name and the settings of each section."""
    sections: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            sections.append((line[1:-1].strip().lower(), {}))
        elif line and not line.startswith(";"):
            name, equals, value = line.partition("=")
            if not equals or not sections:
                raise ValueError(f"the line {line[:60]!r}")
            sections[-1][1][name.strip().lower()] = value.strip()
    return sections


def _network(sections: list[tuple[str, dict[str, str]]]) -> DarknetNetwork:
    kind, net = sections[0]
    if kind not in ("net", "network"):
        raise ValueError(f"[{kind[:40]}] first, where [net] belongs")
    heads = [settings for name, settings in sections if name == "yolo"]
    if not heads:
        raise ValueError("no [yolo]")
    classes, anchors = int(heads[0]["classes"]), _anchors(heads[0])
    if not 1 <= classes <= 100_000 or any(int(head["classes"]) != classes for head in heads):
        raise ValueError("heads with different numbers of classes")
    masks = tuple(_mask(head, len(anchors)) for head in heads)
    if len({len(mask) for mask in masks}) != 1:
        raise ValueError("heads with different numbers of anchors")
    chain = list(_layers(sections[1:]))
    strides = _strides()
    for architecture, variant in ARCHITECTURES.items():
        if chain == list(expected_layers(variant, len(masks[0]), classes)):
            height, width = _side(net["height"]), _side(net["width"])
            return DarknetNetwork(
                architecture, height, width, classes, anchors, masks, strides[variant]
            )
    raise ValueError("layers of another network")


def _strides() -> dict[str, tuple[int, ...]]:
    from cnnkit.architectures import yolo

    return {name: yolo.strides_of(name) for name in yolo.VARIANTS}


def _side(text: str) -> int:
    side = int(text)
    if side % 32 or not 32 <= side <= MAX_SIDE:
        raise ValueError(f"an input of {side} pixels, not a multiple of 32 up to {MAX_SIDE}")
    return side


def _anchors(head: dict[str, str]) -> tuple[tuple[float, float], ...]:
    values = [float(word) for word in head["anchors"].split(",")]
    if len(values) % 2 or not all(0 < value < 1e5 for value in values):
        raise ValueError("anchors that are not pairs of sides")
    return tuple(zip(values[::2], values[1::2], strict=True))


def _mask(head: dict[str, str], anchors: int) -> tuple[int, ...]:
    mask = tuple(int(word) for word in head["mask"].split(","))
    if not mask or not all(0 <= number < anchors for number in mask):
        raise ValueError("a mask that names no anchor")
    return mask


def _layers(sections: list[tuple[str, dict[str, str]]]) -> Iterator[tuple[Any, ...]]:
    """Yield each layer as what decides its shape; routes by the numbers of their sources."""
    for number, (kind, settings) in enumerate(sections):
        if kind == "convolutional":
            normalized = int(settings.get("batch_normalize", 0)) == 1
            sides = (int(settings.get(name, 1)) for name in ("filters", "size", "stride"))
            yield (kind, *sides, normalized, settings.get("activation", "logistic"))
        elif kind == "maxpool":
            yield kind, int(settings.get("size", 1)), int(settings.get("stride", 1))
        elif kind == "shortcut":
            yield kind, _source(settings["from"], number)
        elif kind == "route":
            words = settings["layers"].split(",")
            yield kind, tuple(_source(word, number) for word in words)
        elif kind == "upsample":
            yield kind, int(settings.get("stride", 1))
        else:
            yield (kind,)


def _source(word: str, number: int) -> int:
    source = int(word)
    return source if source >= 0 else number + source


def expected_layers(variant: str, anchors: int, classes: int) -> Iterator[tuple[Any, ...]]:
    """Yield the layers of one of our tables as Darknet's files have them.

    Args:
        variant: A key of `cnnkit.architectures.yolo.VARIANTS`.
        anchors: Anchors of each head.
        classes: Number of classes.
    """
    from cnnkit.architectures import yolo

    places: dict[str, int] = {}
    number = -1

    def count(*layer: Any) -> tuple[Any, ...]:
        nonlocal number
        number += 1
        return layer

    def unit(filters: int, size: int, strides: int = 1) -> tuple[Any, ...]:
        return count("convolutional", filters, size, strides, True, "leaky")

    for block in yolo.VARIANTS[variant]:
        if isinstance(block, yolo.ConvolutionUnit):
            yield unit(*block[1:])
        elif isinstance(block, yolo.PoolingUnit):
            yield count("maxpool", 2, block.strides)
        elif isinstance(block, yolo.Residual):
            shortcut = number
            yield unit(block.filters // 2, 1)
            yield unit(block.filters, 3)
            yield count("shortcut", shortcut)
        elif isinstance(block, yolo.YoloHead):
            filters = anchors * (5 + classes)
            yield count("convolutional", filters, 1, 1, False, "linear")
            yield count("yolo")
            continue
        else:
            yield count("route", (places[block.source],))
            yield unit(block.filters, 1)
            yield count("upsample", 2)
            yield count("route", (number, places[block.finer]))
        places[block.name] = number


# --- .weights ----------------------------------------------------------------------------


def read_weights(path: Path, architecture: str, anchors: int = 3) -> DarknetWeights:
    """Read a ``.weights`` file for a network, whatever number of classes it was written for.

    Args:
        path: The file.
        architecture: A key of `ARCHITECTURES`.
        anchors: Anchors of each head.

    Returns:
        All arrays; or, of a partial file such as ``yolov3-tiny.conv.15``, those of its first
        layers. For another number of classes the arrays of the heads are to be omitted.

    Raises:
        BundleError: It is no such file, or ends inside of a layer.
    """
    content = read_bounded(path, MAX_WEIGHTS_BYTES)
    return parse_weights(content, architecture, anchors, str(path))


def parse_weights(
    content: bytes, architecture: str, anchors: int = 3, name: str = "the weights"
) -> DarknetWeights:
    """Return the numbers of a file's content; see `read_weights`."""
    numbers = _numbers(content, name)
    shapes = _kernel_shapes(ARCHITECTURES[architecture])
    classes = _classes_of(len(numbers), shapes, anchors)
    arrays: dict[str, np.ndarray] = {}
    start = layers = 0
    for layer, (size, channels, filters) in shapes.items():
        if start == len(numbers):
            break
        normalized = filters > 0
        filters = filters or anchors * (5 + (80 if classes is None else classes))
        count = filters * (size * size * channels + (4 if normalized else 1))
        if start + count > len(numbers):
            rule = f"have the {start + count:,} numbers of {layers + 1} layers, or end after one"
            raise BundleError(broken_rule(name, rule, f"{len(numbers):,}"))
        part = numbers[start : start + count]
        arrays |= _layer_arrays(layer, part, (filters, channels, size, size), normalized)
        start, layers = start + count, layers + 1
    if start != len(numbers):
        fix = "It is damaged, or belongs to another network."
        rule = f"end after its last layer, at {start:,} numbers"
        raise BundleError(broken_rule(name, rule, f"{len(numbers):,}", fix))
    _check_sound(arrays, name)
    if layers < len(shapes):
        classes = None
    return DarknetWeights(arrays, classes, layers, hashlib.sha256(content).hexdigest())


def _numbers(content: bytes, name: str) -> np.ndarray:
    """Return what follows the header, float32 (n,)."""
    if content[:64].lstrip()[:1] == b"<":
        fix = "A failed download leaves such a page."
        raise BundleError(broken_rule(name, "be Darknet weights", "an HTML page", fix))
    if len(content) < 20:
        raise BundleError(broken_rule(name, "be Darknet weights", f"{len(content)} bytes"))
    major, minor, _ = np.frombuffer(content, "<i4", 3)
    if not (0 <= major < 1000 and 0 <= minor < 1000):
        raise BundleError(broken_rule(name, "be Darknet weights", "another header"))
    header = 20 if major * 10 + minor >= 2 else 16  # the count of images seen: 8 bytes or 4
    if (len(content) - header) % 4:
        rule = "hold whole numbers of 4 bytes"
        raise BundleError(broken_rule(name, rule, f"{len(content):,} bytes"))
    return np.frombuffer(content, "<f4", offset=header)


def _kernel_shapes(variant: str) -> dict[str, tuple[int, int, int]]:
    """Return size, input channels and filters of each convolution; filters 0: a head."""
    from cnnkit.architectures import yolo

    shapes: dict[str, tuple[int, int, int]] = {}
    channels: dict[str, int] = {}
    now = 3
    for block in yolo.VARIANTS[variant]:
        if isinstance(block, yolo.ConvolutionUnit):
            shapes[f"{block.name}_conv"] = (block.size, now, block.filters)
            now = block.filters
        elif isinstance(block, yolo.Residual):
            shapes[f"{block.name}_squeeze_conv"] = (1, now, block.filters // 2)
            shapes[f"{block.name}_expand_conv"] = (3, block.filters // 2, block.filters)
        elif isinstance(block, yolo.YoloHead):
            shapes[f"head{block.stride}"] = (1, now, 0)
            continue
        elif isinstance(block, yolo.Upward):
            shapes[f"{block.name}_conv"] = (1, channels[block.source], block.filters)
            now = block.filters + channels[block.finer]
        channels[block.name] = now
    return shapes


def _classes_of(count: int, shapes: Mapping[str, tuple[int, int, int]], anchors: int) -> int | None:
    """Return how many classes make exactly so many numbers, None if no number does."""
    body = sum(f * (s * s * c + 4) for s, c, f in shapes.values() if f)
    each = anchors * sum(channels + 1 for _, channels, filters in shapes.values() if not filters)
    classes, rest = divmod(count - body - 5 * each, each)
    return int(classes) if rest == 0 and classes >= 1 else None


def _layer_arrays(
    layer: str, numbers: np.ndarray, shape: tuple[int, int, int, int], normalized: bool
) -> dict[str, np.ndarray]:
    """Return one layer's variables: beta, gamma, mean, variance or a bias, then the kernel."""
    filters = shape[0]
    vectors = numbers[: filters * (4 if normalized else 1)].reshape(-1, filters)
    kernel = numbers[vectors.size :].reshape(shape).transpose(2, 3, 1, 0)
    arrays = {f"{layer}/kernel": np.ascontiguousarray(kernel)}
    if not normalized:
        return arrays | {f"{layer}/bias": vectors[0]}
    unit = layer.removesuffix("_conv")
    names = ("beta", "gamma", "moving_mean", "moving_variance")
    return arrays | {f"{unit}_bn/{n}": v for n, v in zip(names, vectors, strict=True)}


def _check_sound(arrays: Mapping[str, np.ndarray], name: str) -> None:
    for path, values in arrays.items():
        if not np.isfinite(values).all():
            raise BundleError(broken_rule(name, f"be finite in {path}", "NaN or infinity"))
        if path.endswith("moving_variance") and (values < 0).any():
            fix = "It belongs to another network."
            rule = f"have no negative variance in {path}"
            raise BundleError(broken_rule(name, rule, f"{values.min():.3g}", fix))


def fitting_arrays(weights: DarknetWeights, classes: int, name: str) -> Mapping[str, np.ndarray]:
    """Return the arrays for a network that is to be run as it is.

    Raises:
        UsageError: The file is partial, or for another number of classes.
    """
    if weights.classes is None:
        fix = "It holds pretrained weights for training, not a detector."
        received = f"a partial file of {weights.layers} layers"
        raise UsageError(broken_rule(name, "hold all layers", received, fix))
    if weights.classes != classes:
        rule = f"be for the {classes} classes of the .cfg"
        raise UsageError(broken_rule(name, rule, f"weights for {weights.classes} classes"))
    return weights.arrays


def card_of(network: DarknetNetwork, sha256: str, name: str) -> ModelCard:
    """Return the card of a pair of Darknet's files.

    Args:
        network: What the ``.cfg`` describes.
        sha256: SHA-256 of the ``.weights``.
        name: Name of the model.
    """
    heads = network.heads(sha256)
    arguments = {
        "classes": network.classes,
        "anchors": len(heads[0].anchors),
        "input_shape": (network.height, network.width, 3),
    }
    outputs = {head.output: head.output for head in heads}
    return ModelCard(
        name=name,
        task="detect",
        description="A network of Darknet's files.",
        builder=network.architecture,
        arguments=arguments,
        input=InputSpec(network.height, network.width, "pad", interpolation="plain-bilinear"),
        scores_layer=None,
        scores_kind="logits",
        features_layer=None,
        classes=network.classes,
        weights={},
        labels={},
        networks={"network": NetworkSpec(network.architecture, arguments, outputs)},
        content={"detector": {"kind": "yolo", "heads": [head.to_dict() for head in heads]}},
    )
