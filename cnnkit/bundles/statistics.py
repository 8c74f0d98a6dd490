"""Instance normalization cut open: what a network measures over an image, read or given.

A network that normalizes over the whole image cannot paint it piece by piece: each piece would
be normalized by itself, and the seams would show. So the statistics are measured first, and given
to the network that paints the pieces. Every architecture whose normalizations are
`cnnkit.architectures.blocks.instance_normalized` can be cut so.
"""

from __future__ import annotations

from typing import Any

from cnnkit.errors import BundleError, broken_rule

FORMS = ("measured", "given")
MEASURED_LAYERS = ("_mean", "_variance")


def with_statistics(keras: Any, model: Any, form: str) -> Any:
    """Return a network that gives, or takes, the statistics of all its normalizations.

    Args:
        keras: The Keras module.
        model: A functional model whose outputs are a dict.
        form: ``measured``: a further output ``statistics`` (batch, numbers); ``given``: a further
            input of that name and shape, the last one.

    Raises:
        BundleError: The network has no instance normalization.
    """
    layers = [layer for layer in model.layers if layer.name.endswith(MEASURED_LAYERS)]
    if not layers:
        rule = "have instance normalizations"
        raise BundleError(broken_rule(model.name, rule, "a network without"))
    tensors = [layer.output for layer in layers]  # each (batch, 1, 1, channels)
    if form == "measured":
        numbers = [keras.ops.reshape(t, (-1, t.shape[-1])) for t in tensors]
        outputs = model.output | {"statistics": keras.ops.concatenate(numbers, axis=-1)}
        inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
        return keras.Model(inputs, outputs, name=model.name)
    return _with_given(keras, model, tensors)


def _with_given(keras: Any, model: Any, tensors: list[Any]) -> Any:
    """Cut the network at the statistics, and feed the cuts from one input."""
    inner = keras.Model([*model.inputs, *tensors], model.output, name=f"{model.name}_cut")
    inputs = [keras.Input(t.shape[1:], name=t.name, dtype="float32") for t in model.inputs]
    width = sum(tensor.shape[-1] for tensor in tensors)
    statistics = keras.Input((width,), name="statistics", dtype="float32")
    pieces, start = [], 0
    for tensor in tensors:
        channels = tensor.shape[-1]
        piece = statistics[:, start : start + channels]
        pieces.append(keras.ops.reshape(piece, (-1, 1, 1, channels)))
        start += channels
    return keras.Model([*inputs, statistics], inner([*inputs, *pieces]), name=model.name)
