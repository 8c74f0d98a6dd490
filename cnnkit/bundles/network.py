"""From an opened network to the model that runs: named outputs, checked shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cnnkit.bundles.score_reading import as_functional, contradiction
from cnnkit.errors import BundleError, broken_rule
from cnnkit.runtime.process import import_keras

# Layers that stand between the features and the scores without being either.
PASS_THROUGH = frozenset(
    "Activation Softmax Dropout Flatten Reshape Identity Rescaling GlobalAveragePooling2D "
    "ActivityRegularization InputLayer".split()
)
IN_A_ROW = "cnnkit_scores_in_a_row"


def with_named_outputs(
    keras: Any,
    model: Any,
    scores_layer: str | None,
    features_layer: str | None,
    features: bool,
    numbers: int,
    kind: str,
) -> Any:
    """Return a model whose outputs are ``scores`` and, if asked, ``features``.

    Args:
        keras: The Keras module.
        model: A network with one image in.
        scores_layer: The layer of the scores; None: the model's own output.
        features_layer: The layer of the features; None: what the last dense layer sees.
        features: Whether the features are wanted.
        numbers: How many scores there are for an image.
        kind: What they are, one of `cnnkit.bundles.score_kinds.SCORE_KINDS`.

    Returns:
        A functional model with the outputs ``scores`` (batch, numbers) and ``features``
        (batch, n); a feature map is averaged over its height and width.

    Raises:
        BundleError: The network has no such layer, more than one output, or other scores.
    """
    if len(model.outputs) != 1:
        raise BundleError(f"{model.name} must have one output. Received: {len(model.outputs)}.")
    scores = _layer_output(model, scores_layer) if scores_layer else model.outputs[0]
    if received := contradiction(scores, kind):
        rule = f"give {kind}, as its card says under outputs.scores.kind"
        raise BundleError(broken_rule(model.name, rule, received, "Correct the card."))
    outputs = {"scores": _in_a_row(keras, scores, numbers, model.name)}
    if features:
        found = _layer_output(model, features_layer) if features_layer else penultimate(model)
        if len(found.shape) == 4:  # (batch, height, width, channels)
            found = keras.ops.mean(found, axis=(1, 2))
        outputs["features"] = found
    return keras.Model(model.inputs[0], outputs, name=model.name)


def _in_a_row(keras: Any, scores: Any, numbers: int, name: str) -> Any:
    """Return scores as (batch, numbers), also where they come as (batch, 1, 1, numbers)."""
    sides = tuple(scores.shape)[1:]
    if sum(side != 1 for side in sides) > 1 or math.prod(side or 0 for side in sides) != numbers:
        rule = f"give {numbers} scores for each image"
        raise BundleError(broken_rule(name, rule, f"the shape {tuple(scores.shape)}"))
    return scores if len(sides) == 1 else keras.layers.Reshape((numbers,), name=IN_A_ROW)(scores)


def with_card_outputs(keras: Any, model: Any, outputs: Mapping[str, str]) -> Any:
    """Return a model whose outputs are the named layers'.

    Args:
        keras: The Keras module.
        model: A functional model.
        outputs: The layer of each name; none: the model's own outputs, which are then a dict,
            or one output called ``output``.

    Raises:
        BundleError: The network has no such layer, or unnamed outputs.
    """
    if outputs:
        found = {name: _layer_output(model, layer) for name, layer in outputs.items()}
    elif isinstance(model.output, dict):
        found = model.output
    elif len(model.outputs) == 1:
        found = {"output": model.outputs[0]}
    else:
        raise BundleError(f"{model.name} must have outputs named by its card. Received: none.")
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    return keras.Model(inputs, found, name=model.name)


def _layer_output(model: Any, name: str) -> Any:
    """Return what a layer gives, also where it is inside a nested model.

    Raises:
        BundleError: There is no such layer.
    """
    found = _output_in(model, name)
    if found is None:
        raise BundleError(f"{model.name} must have the layer {name!r} of its card.")
    return found


def _output_in(model: Any, name: str) -> Any | None:
    for layer in model.layers:
        if layer.name == name:
            return import_keras().Operation.output.fget(layer)  # see `_up_to`
    for layer in model.layers:
        inner = as_functional(layer)
        tensor = None if inner is None else _output_in(inner, name)
        if tensor is not None:
            return _up_to(tensor, name, layer, inner)
    return None


def _up_to(tensor: Any, what: str, layer: Any, inner: Any) -> Any:
    """Return a tensor of a nested model as one of the model around it.

    The outer graph does not reach inside: the nested one is built again as far as the tensor, with
    the same layers.
    """
    # Keras would give it the name that a nested model without one has already.
    part = type(inner)(inner.inputs, tensor, name=f"cnnkit_{what}_in_{layer.name}")
    # What a functional model calls its input is its own, not what it is called with.
    entering = import_keras().Operation.input.fget(layer)
    return part(entering)


def penultimate(model: Any) -> Any:
    """Return what the last dense layer, or failing that the last convolution, sees.

    Raises:
        BundleError: The network has neither.
    """
    for layer in reversed(model.layers):
        kind = type(layer).__name__
        if kind in ("Dense", "Conv2D"):
            return layer.input
        if (inner := as_functional(layer)) is not None:
            return _up_to(penultimate(inner), "features", layer, inner)
        if kind not in PASS_THROUGH:
            break
    raise BundleError(f"{model.name} does not end in a dense layer, so it has no features.")


def color_input(keras: Any, model: Any) -> Any:
    """Return the network over RGB images, also where it was made for gray ones.

    Raises:
        BundleError: The input is not one image of 1 or 3 channels.
    """
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] not in (1, 3):
        raise BundleError(
            f"{model.name} must take one image (height, width, 1 or 3 channels). "
            f"Received: inputs {shapes}."
        )
    if shapes[0][3] == 3:
        return model
    image = keras.Input((*shapes[0][1:3], 3), name="image")
    gray = keras.ops.image.rgb_to_grayscale(image)
    return keras.Model(image, model(gray), name=model.name)
