"""The networks that explaining runs: a bundle's own, with more outputs or another size.

Each is described by a plain dict, its plan, so that a process of its own can build and convert
it, and so that the compiled form can be kept:

- ``{"kind": "class-maps"}``: ``scores``, and ``maps`` (rows, columns, classes): the share of
  every place in every class's score. Only for a pooled linear head, else ``scores`` alone.
- ``{"kind": "layers", "layers": [...]}``: the outputs of these layers, called ``0``, ``1``, ...
- ``{"kind": "windows", "steps": [down, right]}``: ``scores`` (rows, columns, classes): those of
  every window, over an image so many strides larger than the network's own input.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import BundleError
from cnnkit.explanation.graph import OWN, Graph, trace
from cnnkit.explanation.head import ClassifierHead, find_head
from cnnkit.explanation.receptive_field import fields_of
from cnnkit.explanation.windows import windows_model
from cnnkit.runtime import ModelSource, building_defaults

Plan = dict[str, Any]


def build(bundle: Bundle, plan: Plan, precision: str = "float32") -> Any:
    """Build the network of a plan on Keras's backend.

    Returns:
        A functional `keras.Model` from RGB 0-255 to a dict of outputs.

    Raises:
        BundleError: The network has not what the plan asks for.
        UsageError: It has no such layer.
    """
    with building_defaults(precision) as keras:
        model = bundle.build(precision=precision)
        if plan["kind"] == "windows":
            return windows_model(keras, model, tuple(plan["steps"]), bundle.card.input.size)
        graph = trace(keras, model, bundle.card.input.size)
        if plan["kind"] == "class-maps":
            outputs = class_maps(keras, graph)
        else:
            found = [graph.layer(name).output for name in plan["layers"]]
            outputs = {
                str(number): as_float(keras, one, f"layer_{number}")
                for number, one in enumerate(found)
            }
        return keras.Model(graph.image, outputs, name=model.name)


def class_maps(keras: Any, graph: Graph) -> dict[str, Any]:
    """Return the scores, and the class maps where the head is pooled and linear.

    A place's share is its features times the weights of the class; the mean of the shares and
    the bias are the score. Where the head takes square roots, the weights are times their slopes.
    """
    outputs = {"scores": graph.output}
    head = find_head(keras, graph)
    if head.linear is not None:
        kernel = head.linear.kernel  # (channels, classes)
        if kernel.shape[1] == 1:  # one number: the second class against the first
            kernel = np.concatenate([-kernel, kernel], axis=1)
        share = keras.layers.Conv2D(kernel.shape[1], 1, use_bias=False, name=f"{OWN}class_maps")
        features = head.linear.features.output  # (batch, rows, columns, channels)
        if head.linear.root_offset is not None:
            average = keras.ops.mean(features, axis=(1, 2), keepdims=True)
            features = features * (0.5 / keras.ops.sqrt(average + head.linear.root_offset))
        maps = share(features)  # (batch, rows, columns, classes)
        share.set_weights([kernel[None, None]])
        outputs["maps"] = as_float(keras, maps, "maps")
    return outputs


def as_float(keras: Any, tensor: Any, name: str) -> Any:
    """Return a tensor in float32, whatever precision the layers compute in."""
    return keras.layers.Activation("linear", dtype="float32", name=f"{OWN}{name}")(tensor)


def perturbed(
    keras: Any, model: Any, size: tuple[int, int], layer: str | None
) -> tuple[Any, Graph, ClassifierHead]:
    """Return a network with a second input that is added to one layer's output.

    The gradient of a score by that input, at zero, is the gradient by the layer's output,
    whatever ways lead past the layer.

    Args:
        keras: The Keras module.
        model: With one image in and one output.
        size: Height and width of the image where the model leaves them open.
        layer: Its name; None: the last one with places before the scores.

    Returns:
        A model from [image, addition] to ``scores``, ``logits`` and ``activation``; the graph
        and the head of the unchanged network.
    """
    graph = trace(keras, model, size)
    head = find_head(keras, graph)
    step = graph.layer(layer) if layer is not None else head.features
    if len(step.output.shape) != 4:
        raise BundleError(f"{step.name} must give (height, width, channels) to be explained.")
    addition = keras.Input(step.output.shape[1:], name=f"{OWN}addition", dtype="float32")
    sums = []

    def call(name: str, operation: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call an operation, and add `addition` to the output of the step that is looked at."""
        output = operation(*arguments, **named)
        if name == step.name:
            output = keras.layers.Add(name=f"{OWN}sum")([output, addition])
            sums.append(output)
        return output

    changed = trace(keras, model, size, call=call)
    outputs = {
        "scores": changed.output,
        "logits": find_head(keras, changed).logits,
        "activation": sums[0],
    }
    outputs = {name: as_float(keras, tensor, name) for name, tensor in outputs.items()}
    return keras.Model([changed.image, addition], outputs), graph, head


def source(
    bundle: Bundle, plan: Plan, input_shape: tuple[int, int, int] | None = None
) -> ModelSource:
    """Return what the runtime needs to compile the network of a plan.

    Args:
        bundle: The model.
        plan: See the module.
        input_shape: Input shape of the plan's network; by default the bundle's own.
    """
    spec = bundle.card.input
    request = {"model": bundle.request, "plan": plan}
    return ModelSource(
        name=bundle.card.name,
        identity=json.dumps([bundle.identity, plan, code_hash()], sort_keys=True),
        input_shape=input_shape or (spec.height, spec.width, 3),
        build=lambda precision: build(bundle, plan, precision),
        conversion=["cnnkit.explanation.to_openvino", json.dumps(request)],
        without_int8=(
            "a network as its bundle holds it, not one that shows its layers",
            "Use `precision='float32'` or auto.",
        ),
    )


@cache
def code_hash() -> str:
    """Return a hash of this package's source: changed code makes other networks."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def describe(bundle: Bundle) -> tuple[Graph, ClassifierHead, dict[str, Any]]:
    """Return a bundle's graph, its head and the receptive field of every step, by name."""
    with building_defaults() as keras:
        graph = trace(keras, bundle.build(), bundle.card.input.size)
        return graph, find_head(keras, graph), fields_of(graph)
