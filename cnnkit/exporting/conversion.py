"""From a bundle's network to the model that is written, and the writing of it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from cnnkit.errors import OutputError
from cnnkit.exporting.formats import FORMATS
from cnnkit.exporting.networks import NetworkExport
from cnnkit.runtime import building_defaults
from cnnkit.runtime.process import (
    import_openvino_converter,
    silenced_standard_error,
    without_compiled_files,
)

# Errors that say nothing about the model: no room, no permission.
NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
# What the open axes of an ONNX file are called.
AXES = ("batch", "height", "width")


def deployable(network: Any, exported: NetworkExport) -> Any:
    """Put a network's two ends on: pixels as they are in, what a user wants out.

    Args:
        network: From `Bundle.build`.
        exported: What its ends are.

    Returns:
        A functional model that opens in plain Keras: its inputs by name, or its only one, to a
        dict of outputs.
    """
    with building_defaults() as keras:
        ends = {
            one.name: keras.Input(one.shape, exported.batch, one.dtype, name=one.name)
            for one in exported.inputs
        }
        numbers = {name: keras.ops.cast(end, "float32") for name, end in ends.items()}
        if len(ends) == 1:
            (given,), (inputs,) = numbers.values(), ends.values()
        else:
            given, inputs = [numbers[tensor.name] for tensor in network.inputs], ends
        # Without it a layer of random changes would stay one in the file.
        outputs = exported.ending(keras, network(given, training=False))
        return keras.Model(inputs, outputs, name=network.name)


def convert(model: Any, form: str, path: Path) -> None:
    """Write a `deployable` model.

    Raises:
        OutputError: The converter cannot.
    """
    with building_defaults() as keras:
        signature = _signature(keras, model)
    with building_defaults(), silenced_standard_error(), without_compiled_files():
        try:
            if form == "keras":
                model.save(path)
                return
            if form == "openvino":
                import_openvino_converter()  # in our way first: it would report its use to a server
            export_as = FORMATS[form].keras_name
            model.export(str(path), format=export_as, verbose=False, input_signature=signature)
            if form == "onnx":
                _name_open_axes(path)
        except Exception as error:  # converters raise whatever their own libraries do
            raise refusal(path, form, error) from error


def refusal(path: Path, form: str, error: Exception) -> OutputError:
    """Return the error for what a converter raised: the disk's, or the model's."""
    if isinstance(error, OSError) and error.errno in NO_PLACE:
        return OutputError(f"{path.name} cannot be written: {error.strerror}.")
    reason = first_line(error)
    return OutputError(f"{path.name} cannot be made, {form} refuses the model: {reason}")


def _signature(keras: Any, model: Any) -> list[Any]:
    """Return the one argument of a `deployable` model, its shapes as open as the model's."""
    specs = {
        tensor.name: keras.InputSpec(shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
        for tensor in model.inputs
    }
    return [specs] if len(specs) > 1 else list(specs.values())


def _name_open_axes(path: Path) -> None:
    """Call the open axes ``batch``, ``height`` and ``width``; hold the file to ONNX's own rules."""
    import onnx

    model = onnx.load(path)
    for values, suffix in ((model.graph.input, ""), (model.graph.output, "_out")):
        for value in values:
            for number, axis in enumerate(value.type.tensor_type.shape.dim):
                if not axis.dim_value:  # an output may have another height than the input
                    axis.dim_param = AXES[number] + suffix * (number > 0)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def first_line(error: Exception) -> str:
    """Return what an exception of somebody else's says, as one short sentence."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return f"{line.rstrip('.')}."
