"""Opening a ``.keras`` file that anybody may have sent: read first, then built.

Keras's own safe mode refuses code, but still builds whatever the file describes. So the
description is read here first: only layers from an allow-list, bounded numbers, and no
more parameters than the file really holds weights for.
"""

from __future__ import annotations

import contextlib
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.errors import BundleError
from cnnkit.runtime import import_keras, variables_without_memory

MAX_MEMBERS = 64
MAX_CONFIG_BYTES = 32 << 20
MAX_WEIGHTS_BYTES = 8 << 30
MAX_LAYERS = 5_000
MAX_DEPTH = 200
# One picture's output of one layer: 2^28 numbers are a gibibyte in float32.
MAX_OUTPUT_ELEMENTS = 1 << 28
LAYERS = frozenset(
    """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization CenterCrop Concatenate
    Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D
    Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten
    GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization GroupQueryAttention Identity InputLayer LayerNormalization LeakyReLU
    Maximum MaxPooling1D MaxPooling2D MaxPooling3D Minimum MultiHeadAttention Multiply
    Normalization PReLU Permute RMSNormalization RandomBrightness RandomContrast RandomCrop
    RandomFlip RandomRotation RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape
    Resizing SeparableConv1D SeparableConv2D Softmax SpatialDropout1D SpatialDropout2D
    SpatialDropout3D SpectralNormalization Subtract UnitNormalization UpSampling1D UpSampling2D
    UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()
)
MODELS = frozenset({"Functional", "Sequential", "Model"})
MODEL_MODULES = ("keras", "keras.models", "keras.src.models.functional", "keras.src.models.model")
PLAIN_MODULES = ("keras.initializers", "keras.regularizers", "keras.constraints")
VALUE_CLASSES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__ellipsis__"}
)


def read_description(path: Path) -> tuple[dict[str, Any], int]:
    """Read and check a ``.keras`` file's description without building anything.

    Returns:
        The model's configuration without its training part, and the bytes of its weights.

    Raises:
        BundleError: The file is no ``.keras`` file, or describes what must not be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            _check_members(path, members)
            with archive.open("config.json") as file:
                content = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise BundleError(f"{path} must be a .keras file. Received: {error}.") from error
    if len(content) > MAX_CONFIG_BYTES:
        raise BundleError(f"{path}: config.json must have at most {MAX_CONFIG_BYTES:,} bytes.")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: config.json must be JSON. Received: {error}.") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path}: config.json must be an object. Received: {type(config)}.")
    config.pop("compile_config", None)
    _check_objects(path, config)
    return config, members["model.weights.h5"].file_size


def _check_members(path: Path, members: dict[str, zipfile.ZipInfo]) -> None:
    for name in ("config.json", "model.weights.h5"):
        if name not in members:
            raise BundleError(f"{path} must be a .keras file. Received: an archive without {name}.")
    if len(members) > MAX_MEMBERS:
        raise BundleError(
            f"{path} must have at most {MAX_MEMBERS} members. Received: {len(members)}."
        )
    total = sum(info.file_size for info in members.values())
    # Weights hardly compress: a member that grows a hundredfold is a bomb.
    stored = max(1, sum(info.compress_size for info in members.values()))
    if total > MAX_WEIGHTS_BYTES or total > 100 * stored + MAX_CONFIG_BYTES:
        raise BundleError(
            f"{path} must unpack to at most {MAX_WEIGHTS_BYTES:,} bytes and 100 times its size. "
            f"Received: {total:,} bytes from {stored:,}."
        )


def _check_objects(path: Path, config: Any) -> None:
    """Walk the description: every named class must be on a list, every depth bounded."""
    pending = [(config, 0)]
    layers = 0
    while pending:
        value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise BundleError(f"{path}: config.json must nest at most {MAX_DEPTH} deep.")
        if isinstance(value, dict):
            if "class_name" in value:
                _check_class(path, value)
                layers += value.get("module") == "keras.layers"
            pending += [(child, depth + 1) for child in value.values()]
        elif isinstance(value, list):
            pending += [(child, depth + 1) for child in value]
    if layers > MAX_LAYERS:
        raise BundleError(f"{path} must have at most {MAX_LAYERS} layers. Received: {layers}.")


def _check_class(path: Path, value: dict[str, Any]) -> None:
    name, module = value["class_name"], value.get("module")
    registered = value.get("registered_name")
    known = False
    if isinstance(name, str) and isinstance(module, str | None):
        known = (
            (module == "keras.layers" and name in LAYERS)
            or (module in MODEL_MODULES and name in MODELS)
            or (module == "keras" and name == "DTypePolicy")
            or module in PLAIN_MODULES
            or (module is None and name in VALUE_CLASSES)
            or (str(module).startswith("keras.src.ops.") and name.isidentifier())
        )
    if not known:
        raise BundleError(
            f"{path} must hold only Keras's own layers, without code. "
            f"Received: class {str(name)[:60]!r} of module {str(module)[:60]!r}."
        )
    if registered not in (None, "", name):
        raise BundleError(f"{path} must hold no custom object. Received: {str(registered)[:60]!r}.")


class Plan(NamedTuple):
    """What a ``.keras`` classifier takes and gives, known without allocating its weights.

    Attributes:
        input_shape: Height, width (None: any), channels.
        classes: How many.
        scores_kind: ``logits``, ``probabilities``, or ``probability`` of the second of two.
    """

    input_shape: tuple[int | None, int | None, int]
    classes: int
    scores_kind: str


def plan_keras_file(path: Path) -> Plan:
    """Read what a ``.keras`` classifier takes and gives.

    Raises:
        BundleError: The file must not be opened, or holds no classifier of pictures.
    """
    model = planned_keras_file(path)
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] not in (1, 3):
        raise BundleError(
            f"{path} must take one picture (height, width, 1 or 3 channels). "
            f"Received: a network with the inputs {shapes}."
        )
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    if len(outputs) != 1 or len(outputs[0]) != 2 or not outputs[0][1]:
        raise BundleError(
            f"{path} must give one row of class scores. "
            f"Received: a network with the outputs {outputs}."
        )
    classes, activation = outputs[0][1], final_activation(model)
    if classes == 1:
        return Plan(shapes[0][1:], 2, "probability")
    kind = "probabilities" if activation in ("softmax", "sigmoid") else "logits"
    return Plan(shapes[0][1:], classes, kind)


def final_activation(model: Any) -> str:
    """Return the name of the activation that a network ends in, ``linear`` if none."""
    last = model.layers[-1]
    if hasattr(last, "layers"):
        return final_activation(last)
    if type(last).__name__ == "Softmax":
        return "softmax"
    return getattr(getattr(last, "activation", None), "__name__", "linear")


def load_keras_file(path: Path) -> Any:
    """Open a ``.keras`` file as a `keras.Model` on Keras's backend, weights in place.

    Raises:
        BundleError: The file is foreign, broken, hostile, or of another Keras.
    """
    planned_keras_file(path)
    keras = import_keras()
    with _named_failures(path):
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def planned_keras_file(path: Path) -> Any:
    """Return the network with shapes but without memory, after every check."""
    config, weight_bytes = read_description(path)
    # The size is known before it is taken.
    with _named_failures(path), variables_without_memory() as keras:
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if not getattr(model, "inputs", None):
            raise BundleError(f"{path} must be a built functional or sequential model.")
        _check_size(path, model, weight_bytes)
    return model


@contextlib.contextmanager
def _named_failures(path: Path) -> Iterator[None]:
    """Turn whatever Keras raises over a file into one line that names the file."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise BundleError(f"{path} cannot be opened as a Keras model: {reason}") from error


def _check_size(path: Path, model: Any, weight_bytes: int) -> None:
    """Refuse a description that would allocate more than the file has weights for."""
    parameters = sum(math.prod(variable.shape) for variable in model.variables)
    # Float16 weights are the smallest that Keras stores.
    if 2 * parameters > weight_bytes + (1 << 20):
        raise BundleError(
            f"{path} must hold the weights that it describes. Received: {parameters:,} "
            f"parameters and {weight_bytes:,} bytes."
        )
    for layer in model.layers:
        shape = getattr(getattr(layer, "output", None), "shape", None) or ()
        elements = math.prod(side or 1 for side in shape)
        if elements > MAX_OUTPUT_ELEMENTS:
            raise BundleError(
                f"{path}: layer {layer.name!r} must give at most {MAX_OUTPUT_ELEMENTS:,} numbers "
                f"a picture. Received: {elements:,}."
            )
