"""From a bundle's network to the model that is written, and the writing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnnkit.bundles import ModelCard
from cnnkit.errors import OutputError
from cnnkit.export.formats import FORMATS, INPUT, OUTPUT
from cnnkit.runtime import building_defaults
from cnnkit.runtime.process import import_openvino, silenced_standard_error

# The logarithm of nothing is that of the least float32 that is not subnormal.
LEAST = 1.2e-38


def deployable(network: Any, card: ModelCard, batch: int | None) -> Any:
    """Put the model's two ends on: pixels as they are in, calibrated probabilities out.

    Args:
        network: From `Bundle.build`.
        card: Its card.
        batch: Pictures per call; None: any number.

    Returns:
        A functional model from uint8 (batch, height, width, 3) to ``probabilities``, float32
        (batch, classes), that opens in plain Keras.
    """
    with building_defaults() as keras:
        image = keras.Input(
            (card.input.height, card.input.width, 3), batch_size=batch, dtype="uint8", name=INPUT
        )
        scores = network(keras.ops.cast(image, "float32"))["scores"]
        probabilities = _calibrated(keras, scores, card)  # (batch, classes)
        return keras.Model(image, {OUTPUT: probabilities}, name=network.name)


def _calibrated(keras: Any, scores: Any, card: ModelCard) -> Any:
    """Return the probabilities of the model's scores; the network ends in a Softmax layer.

    `cnnkit.bundles` reads off that layer what a bare ``.keras`` file gives.
    """
    if card.scores_kind == "probabilities":
        return scores
    if card.scores_kind == "probability":  # one sigmoid: the second of two classes
        both = keras.ops.concatenate([1.0 - scores, scores], axis=-1)
        scores = keras.ops.log(keras.ops.maximum(both, LEAST))
    elif card.temperature != 1.0:
        scores = keras.layers.Rescaling(1.0 / card.temperature, name="temperature")(scores)
    return keras.layers.Softmax(name=OUTPUT, dtype="float32")(scores)


def convert(model: Any, form: str, path: Path, batch: int | None) -> None:
    """Write a `deployable` model.

    Raises:
        OutputError: The converter cannot.
    """
    shape = (batch, *model.inputs[0].shape[1:])
    with building_defaults() as keras, silenced_standard_error():
        try:
            if form == "keras":
                model.save(path)
                return
            if form == "openvino":
                import_openvino()  # in our way first: it would report its use to a server
            signature = [keras.InputSpec(shape=shape, dtype="uint8", name=INPUT)]
            export_as = FORMATS[form].keras_name
            model.export(str(path), format=export_as, verbose=False, input_signature=signature)
            if form == "onnx":
                _name_batch_axis(path)
        except Exception as error:  # converters raise whatever their own libraries do
            raise OutputError(
                f"{path.name} cannot be made, {form} refuses the model: {first_line(error)}"
            ) from error


def _name_batch_axis(path: Path) -> None:
    """Call a dynamic batch axis ``batch`` and hold the file to ONNX's own rules."""
    import onnx

    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        axis = value.type.tensor_type.shape.dim[0]
        if not axis.dim_value:
            axis.dim_param = "batch"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def first_line(error: Exception) -> str:
    """Return what an exception of somebody else's says, as one short sentence."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return f"{line.rstrip('.')}."
