"""The network that is trained: built for the user's classes, begun with embedded weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from keras import ops

from cnnkit import architectures
from cnnkit.architectures import nanodet
from cnnkit.architectures.ssd import default_sizes
from cnnkit.architectures.yolo import strides_of
from cnnkit.bundles import open_model
from cnnkit.bundles.detector_card import HeadSpec, detector_spec, yolo_heads
from cnnkit.bundles.weights import variables_by_path
from cnnkit.detection.training.anchors import AnchorAdvice, advise, by_head
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.detection.training.tasks import DetectorTask, NanodetTask, SingleTask, SsdTask, YoloTask
from cnnkit.images import InputSpec
from cnnkit.runtime import building_defaults
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.training_devices import seed_epoch

ANCHORS_OF_A_HEAD = 3
FIRST_SCORE = 0.01  # of a class that NanoDet did not know
KINDS = {
    "nanodet-g": "nanodet",
    "yolov3-tiny": "yolo",
    "yolov3": "yolo",
    "ssd-lite0": "ssd",
    "localizer-lite0": "single",
}


@dataclass(frozen=True)
class DetectorNetwork:
    """A network in training and what its card says.

    Attributes:
        model: The network.
        task: Its loss and its boxes.
        arguments: Arguments of the builder, for the card.
        outputs: The card's ``outputs``.
        detector: The card's ``detector``, without thresholds.
        new_layers: The names of the layers that no embedded weights were for.
        spec: Preprocessing of the network's input.
        origin: The embedded model that it begins with, or None.
        license: License of those weights.
        advice: About its anchors, where it has any.
    """

    model: Any
    task: DetectorTask
    arguments: Mapping[str, Any]
    outputs: Mapping[str, Any]
    detector: Mapping[str, Any]
    new_layers: tuple[str, ...]
    spec: InputSpec
    origin: str | None
    license: str | None
    advice: AnchorAdvice | None

    def fixed(self, builder: str) -> Any:
        """Return the same network for the one size that its card names."""
        with building_defaults():
            fixed = architectures.builder(builder)(**self.arguments)
        copy_weights(self.model, fixed)
        return fixed


def input_spec(settings: DetectorSettings) -> InputSpec:
    """Return how an image becomes the input: whole, with bars, as the embedded weights expect."""
    kind = KINDS[settings.architecture]
    interpolation = "plain-bilinear" if kind == "yolo" else "bilinear"
    spec = InputSpec(settings.side, settings.side, "pad", 1.0, interpolation)
    return replace(spec, pad_value=0) if kind == "nanodet" else spec


def make_network(
    settings: DetectorSettings, classes: Sequence[str], sizes: np.ndarray
) -> DetectorNetwork:
    """Build the network and put the embedded weights into it.

    Args:
        settings: The settings.
        classes: The labels.
        sizes: Width and height of the training boxes in pixels of the input (n, 2).
    """
    kind, side = KINDS[settings.architecture], settings.side
    heads, advice = _heads(settings, sizes)
    arguments: dict[str, Any] = {"input_shape": (side, side, 3), "classes": len(classes)}
    if heads and heads[0].anchors:
        arguments["anchors"] = len(heads[0].anchors)
    shape = (None, None, 3) if settings.kind.flexible else arguments["input_shape"]
    seed_epoch(settings.seed, 0)
    with building_defaults():
        model = architectures.builder(settings.architecture)(**arguments | {"input_shape": shape})
    copied, origin, license_ = set(), None, None
    if settings.kind.pretrained and not settings.from_scratch:
        bundle = open_model(settings.kind.pretrained)
        origin, license_ = settings.kind.pretrained, bundle.card.content.get("license")
        copied = _transfer(bundle, model, heads, classes)
    tasks: dict[str, Callable[[], DetectorTask]] = {
        "nanodet": lambda: NanodetTask(heads),
        "yolo": lambda: YoloTask(heads, settings.box_loss),
        "ssd": lambda: SsdTask(heads),
        "single": SingleTask,
    }
    names = [head.output for head in heads] or ["classes", "box"]
    detector: dict[str, Any] = {"kind": kind}
    if heads:
        detector["heads"] = [head.to_dict() for head in heads]
    return DetectorNetwork(
        model=model,
        task=tasks[kind](),
        arguments=arguments,
        outputs={name: {"layer": name} for name in names},
        detector=detector,
        new_layers=_new_layers(model, copied),
        spec=input_spec(settings),
        origin=origin,
        license=license_,
        advice=advice,
    )


def _heads(
    settings: DetectorSettings, sizes: np.ndarray
) -> tuple[tuple[HeadSpec, ...], AnchorAdvice | None]:
    kind = KINDS[settings.architecture]
    if kind == "single":
        return (), None
    if kind == "nanodet":
        return tuple(HeadSpec(f"stride{s}", s) for s in nanodet.STRIDES), None
    if kind == "ssd":
        from cnnkit.architectures.ssd import STRIDES

        boxes = default_sizes(settings.side)
        pairs = zip(STRIDES, boxes, strict=True)
        return tuple(HeadSpec(f"stride{s}", s, tuple(b)) for s, b in pairs), None
    strides = strides_of(settings.architecture.replace("-", "_"))
    count = ANCHORS_OF_A_HEAD * len(strides)
    advice = advise(sizes, count, settings.side, settings.anchors, settings.seed)
    # Each process has found them for itself, perhaps rounded in another way.
    [found] = current_group().from_first([np.array(advice.anchors, np.float64)])
    anchors = by_head([(float(w), float(h)) for w, h in found], strides)
    return tuple(HeadSpec(f"stride{s}", s, anchors[s]) for s in strides), advice


def copy_weights(source: Any, target: Any) -> set[str]:
    """Copy every variable that both networks have in one shape; return their paths."""
    known = variables_by_path(source)
    copied = set()
    for path, variable in variables_by_path(target).items():
        if path in known and known[path].shape == variable.shape:
            variable.assign(known[path])
            copied.add(path)
    return copied


def _transfer(
    bundle: Any, model: Any, heads: Sequence[HeadSpec], classes: Sequence[str]
) -> set[str]:
    """Put a bundle's weights into a network; return the paths of those that came as they are."""
    source = bundle.build()
    copied = copy_weights(source, model)
    if bundle.card.task == "detect":
        spec = detector_spec(bundle.card)
        old_heads = {}
        if spec.kind == "yolo":
            old_heads = {h.stride: h for h in yolo_heads(spec.settings)}
        known, fresh = variables_by_path(source), variables_by_path(model)
        labels = bundle.labels, classes
        for head in heads:
            names = [f"head{head.stride}/{part}" for part in ("kernel", "bias")]
            kernel, bias = (ops.convert_to_numpy(known[name]) for name in names)
            if head.anchors:
                values = adapted_head(kernel, bias, (old_heads[head.stride], head), labels)
            else:
                values = adapted_grid_head(kernel, bias, labels)
            for name, value in zip(names, values, strict=True):
                fresh[name].assign(value)
                copied.discard(name)
    return copied


def adapted_grid_head(
    kernel: np.ndarray, bias: np.ndarray, labels: tuple[Sequence[str], Sequence[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a head of NanoDet for other classes that places boxes as before.

    A class that the old network knows by name keeps its weights; a new one begins at a score of
    `FIRST_SCORE` everywhere, so that the many cells without an object do not outweigh the few
    with one (Lin et al., "Focal Loss", https://arxiv.org/abs/1708.02002).

    Args:
        kernel: (1, 1, channels, old classes + 4 * BINS).
        bias: (old classes + 4 * BINS,).
        labels: The old and the new classes.
    """
    old, new = labels
    everything = np.concatenate([kernel[0, 0], bias[None]])
    classes = np.zeros((len(everything), len(new)), np.float32)
    classes[-1] = math.log(FIRST_SCORE / (1 - FIRST_SCORE))
    places = {name: n for n, name in enumerate(old)}
    for n, name in enumerate(new):
        if name in places:
            classes[:, n] = everything[:, places[name]]
    flat = np.concatenate([classes, everything[:, len(old) :]], axis=1)
    return flat[None, None, :-1], flat[-1]


def adapted_head(
    kernel: np.ndarray,
    bias: np.ndarray,
    heads: tuple[HeadSpec, HeadSpec],
    labels: tuple[Sequence[str], Sequence[str]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return a head of YOLO for other classes and anchors that finds the same boxes.

    What tells boxes and objects stays, with the sides' biases moved by the log of the anchors'
    ratio. A class that the old network knows by name keeps its weights; a new one begins at 0:
    every object is half likely.

    Args:
        kernel: (1, 1, channels, anchors * (5 + old classes)).
        bias: (anchors * (5 + old classes),).
        heads: The old and the new one, equally many anchors each.
        labels: The old and the new classes.
    """
    old, new = heads
    count = len(new.anchors)
    everything = np.concatenate([kernel[0, 0], bias[None]]).reshape(-1, count, 5 + len(labels[0]))
    result = np.zeros((len(everything), count, 5 + len(labels[1])), np.float32)
    order = [sorted(range(count), key=lambda n: np.prod(h.anchors[n])) for h in heads]
    places = {name: 5 + n for n, name in enumerate(labels[0])}
    for theirs, ours in zip(*order, strict=True):
        result[:, ours, :5] = everything[:, theirs, :5]
        ratio = np.divide(old.anchors[theirs], new.anchors[ours])
        result[-1, ours, 2:4] += np.log(ratio)
        for n, name in enumerate(labels[1]):
            if name in places:
                result[:, ours, 5 + n] = everything[:, theirs, places[name]]
    flat = result.reshape(len(everything), -1)
    return flat[None, None, :-1], flat[-1]


def _new_layers(model: Any, copied: set[str]) -> tuple[str, ...]:
    """Return the names of the layers of which no variable was copied."""
    return tuple(
        layer.name
        for layer in model.layers
        if layer.weights and not any(v.path in copied for v in layer.weights)
    )
