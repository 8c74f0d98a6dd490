"""The end of a classifier: its logits, its last feature map, and whether it is pooled and linear.

Where the class scores are a linear map of averaged features, score = mean over the places of
(features . weights) + bias, the share of every place in every class's score is known without any
gradient: that is the class activation map (Zhou et al., "Learning Deep Features for Discriminative
Localization", https://arxiv.org/abs/1512.04150), and Grad-CAM comes out the same. Where the head
takes the square roots of the averages, their slopes, 1 / (2 sqrt(average)), are known as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.bundles.score_reading import activation_name
from cnnkit.errors import BundleError
from cnnkit.explanation.graph import INERT, OWN, Graph, GraphStep, is_map

SQUASHING = ("softmax", "sigmoid")
# Layers that have their activation last, so that they can be had without it.
WITH_ACTIVATION = ("Dense", "Conv2D", "SeparableConv2D", "EinsumDense")


@dataclass(frozen=True)
class LinearHead:
    """A pooled linear head.

    Attributes:
        kernel: Float32 (channels, classes).
        bias: Float32 (classes,).
        features: The step that gives what is averaged: (batch, height, width, channels).
        root_offset: What is added to the averages before their square root is taken; None: no
            root is taken.
    """

    kernel: np.ndarray
    bias: np.ndarray
    features: GraphStep
    root_offset: float | None = None


@dataclass(frozen=True)
class ClassifierHead:
    """The end of a classifier.

    Attributes:
        logits: The symbolic scores before any softmax or sigmoid, (batch, classes); (batch, 1)
            where one number tells two classes apart.
        features: The last step with places before the scores: what Grad-CAM looks at.
        linear: The pooled linear head, where the network has one.
    """

    logits: Any
    features: GraphStep
    linear: LinearHead | None


def find_head(keras: Any, graph: Graph) -> ClassifierHead:
    """Return the end of a classifier.

    Args:
        keras: The Keras module.
        graph: Graph of the classifier.

    Raises:
        BundleError: The network has no feature map before its scores.
    """
    step = graph.maker(graph.output)
    if step is None:
        raise BundleError("The network must have layers before its scores. Received: none.")
    logits = step.output
    dense = _skipping(graph, step, flat=True)
    if _only_squashes(dense):
        logits = dense.inputs[0]
        dense = _skipping(graph, graph.maker(logits) or dense, flat=True)
    elif dense.kind in WITH_ACTIVATION and activation_of(dense) in SQUASHING:
        logits = _without_activation(dense)
    if len(logits.shape) > 2:
        logits = keras.layers.Flatten(name=f"{OWN}logits_in_a_row")(logits)
    linear = _linear_head(graph, dense)
    features = linear.features if linear else _last_map(graph)
    return ClassifierHead(logits, features, linear)


def activation_of(step: GraphStep) -> str:
    """Return the name of a step's activation, ``linear`` where it has none."""
    return activation_name(step.operation)


def _only_squashes(step: GraphStep) -> bool:
    """Return whether a step is a softmax or sigmoid by itself: a layer or an operation."""
    return step.kind in ("Softmax", "Sigmoid", "Activation") and activation_of(step) in SQUASHING


def _skipping(graph: Graph, step: GraphStep, flat: bool) -> GraphStep:
    """Return the nearest step back that does something; `flat`: reshaping one pixel is nothing."""
    while True:
        idle = step.kind in INERT or (step.kind == "Activation" and activation_of(step) == "linear")
        idle = idle or (step.kind == "Rescaling" and _changes_nothing(step.operation))
        reshapes = step.kind in ("Flatten", "Reshape") and not is_map(step.inputs[0])
        before = graph.maker(step.inputs[0]) if step.inputs else None
        if before is None or not (idle or (flat and reshapes)):
            return step
        step = before


def _changes_nothing(rescaling: Any) -> bool:
    return bool(np.all(np.equal(rescaling.scale, 1)) and np.all(np.equal(rescaling.offset, 0)))


def _without_activation(step: GraphStep) -> Any:
    """Return what a layer gives before its own activation, from a twin with its weights."""
    config = step.operation.get_config() | {"activation": "linear"}
    config["name"] = f"{OWN}of_{step.operation.name}"
    twin = type(step.operation).from_config(config)
    output = twin(step.inputs[0])
    twin.set_weights(step.operation.get_weights())
    return output


def _linear_head(graph: Graph, step: GraphStep) -> LinearHead | None:
    """Return the head that ends in a step, if it is pooled and linear.

    Either features, average, perhaps the square root, dense; or features, 1x1 convolution,
    average.
    """
    offset = None
    if step.kind == "Dense" and activation_of(step) in ("linear", *SQUASHING):
        pool = _skipping(graph, graph.maker(step.inputs[0]) or step, flat=True)
        pool, offset = _without_root(graph, pool)
        weights = step
    elif step.kind == "GlobalAveragePooling2D":
        pool = step
        weights = _skipping(graph, graph.maker(step.inputs[0]) or step, flat=False)
        if not _is_pointwise(weights) or activation_of(weights) != "linear":
            return None
    else:
        return None
    if pool.kind != "GlobalAveragePooling2D":
        return None
    pooled = pool if weights is step else weights
    features = _skipping(graph, graph.maker(pooled.inputs[0]) or pooled, flat=False)
    if features is pooled or not is_map(features.output):
        return None
    kernel = np.asarray(weights.operation.kernel, np.float32)
    kernel = kernel.reshape(-1, kernel.shape[-1])
    bias = weights.operation.bias
    bias = np.zeros(kernel.shape[1], np.float32) if bias is None else np.asarray(bias, np.float32)
    return LinearHead(kernel, bias, features, offset)


def _without_root(graph: Graph, step: GraphStep) -> tuple[GraphStep, float | None]:
    """Return the step before a square root of something plus a number, and the number, or None."""
    added = graph.maker(step.inputs[0]) if step.kind == "Sqrt" else None
    if added is None or added.kind != "Rescaling" or not np.all(np.equal(added.operation.scale, 1)):
        return step, None
    before = graph.maker(added.inputs[0])
    offset = np.unique(added.operation.offset)
    return (step, None) if before is None or len(offset) != 1 else (before, float(offset[0]))


def _is_pointwise(step: GraphStep) -> bool:
    layer = step.operation
    return (
        step.kind == "Conv2D"
        and tuple(layer.kernel_size) == (1, 1)
        and tuple(layer.strides) == (1, 1)
        and layer.groups == 1
    )


def _last_map(graph: Graph) -> GraphStep:
    """Return the last step with places, the one that the pooling or flattening takes."""
    for step in reversed(graph.steps):
        if is_map(step.output):
            return _skipping(graph, step, flat=False)
    raise BundleError("The network must have a convolution to look at. Received: none.")
