"""Converts a Keras model to OpenVINO, with or without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnkit.runtime.process import import_openvino, import_openvino_converter, root_logger_kept
from cnnkit.runtime.tracing import graph_function

# Prefix of the name of an input for a weight.
WEIGHT = "weight:"


def converted(
    model: Any, weights: Mapping[str, Any] | None = None, *, own_dtypes: bool = False
) -> Any:
    """Convert a Keras model, in float32.

    Args:
        model: A functional model on the TensorFlow backend whose outputs are a dict.
        weights: Variables of the model by name. Each is left out and becomes an input named
            `WEIGHT` plus its name, to be filled in by `with_weights`. None keeps all weights.
        own_dtypes: Whether the inputs have the dtypes that the model gives them, not float32.

    Returns:
        An `openvino.Model` with named inputs and outputs. A single input is called ``image``
        whatever its name in the network; several keep their names.
    """
    import tensorflow as tf

    ov = import_openvino_converter()
    left_out = dict(weights or {})
    names = ["image"] if len(model.inputs) == 1 else [tensor.name for tensor in model.inputs]
    specs = [
        tf.TensorSpec(
            (None, *tensor.shape[1:]), tensor.dtype if own_dtypes else tf.float32, name=name
        )
        for name, tensor in zip(names, model.inputs, strict=True)
    ]
    specs += [
        tf.TensorSpec(variable.shape, tf.float32, name=f"weight{number}")
        for number, variable in enumerate(left_out.values())
    ]

    def call(*tensors: Any) -> Any:
        inputs, values = list(tensors[: len(names)]), tensors[len(names) :]
        image = inputs if len(inputs) > 1 else inputs[0]
        if not values:
            return model(image, training=False)
        given = {id(v): value for v, value in zip(left_out.values(), values, strict=True)}
        trained, others = (
            [given.get(id(variable), variable.value) for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        )
        return model.stateless_call(trained, others, image, training=False)[0]

    function = graph_function(call)
    with root_logger_kept():  # OpenVINO leaves it silent where it cannot convert
        graph = ov.convert_model(function.get_concrete_function(*specs))
    names += [WEIGHT + name for name in left_out]
    for node in graph.get_ops():  # an internal name could become that of an output when compiled
        for output in node.outputs():
            output.get_tensor().set_names(set())
    for tensor, name in zip(graph.inputs, names, strict=True):
        tensor.get_tensor().set_names({name})
    for tensor, name in zip(graph.outputs, sorted(model.output), strict=True):
        tensor.get_tensor().set_names({name})
    return graph


def weight_names(graph: Any) -> list[str]:
    """Return the names of the weights that a graph lacks, in its order."""
    names = [tensor.get_any_name() for tensor in graph.inputs]
    return [name.removeprefix(WEIGHT) for name in names if name.startswith(WEIGHT)]


def with_weights(graph: Any, weights: Mapping[str, np.ndarray]) -> Any:
    """Put weights into a graph that lacks them, under the names of its inputs, and return it.

    Args:
        graph: Graph returned by `converted`; it is modified.
        weights: Float32 values of each of its `weight_names`, of the shapes of its inputs.
    """
    ov = import_openvino()
    for parameter in graph.get_parameters():
        name = parameter.output(0).get_any_name()
        if name.startswith(WEIGHT):
            constant = ov.op.Constant(weights[name.removeprefix(WEIGHT)])
            constant.set_friendly_name(name)
            parameter.output(0).replace(constant.output(0))
            graph.remove_parameter(parameter)
    graph.validate_nodes_and_infer_types()
    return graph


def named_graph(model: Any, weights: Mapping[str, Any], *, own_dtypes: bool = False) -> Any:
    """Convert a Keras model to an `openvino.Model` whose weights bear their names.

    Args:
        model: See `converted`.
        weights: Its variables by name.
        own_dtypes: See `converted`.
    """
    graph = converted(model, weights, own_dtypes=own_dtypes)
    values = {name: np.asarray(weights[name].numpy()) for name in weight_names(graph)}
    return with_weights(graph, values)
