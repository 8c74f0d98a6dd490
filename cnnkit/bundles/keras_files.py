"""Opening a ``.keras`` file that anybody may have sent: read first, then built.

Keras's own safe mode refuses code, but still builds whatever the file describes. So the
description is read here first: only layers from an allow-list, bounded numbers, and no
more parameters than the file really holds weights for.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnkit.bundles import keras_objects
from cnnkit.bundles.score_kinds import ONE_NUMBER
from cnnkit.bundles.score_reading import Loss, as_functional, kind_of_scores, read_loss
from cnnkit.errors import BundleError, CnnkitError
from cnnkit.runtime import building_defaults, variables_without_memory

MAX_MEMBERS = 64
MAX_CONFIG_BYTES = 32 << 20
MAX_WEIGHTS_BYTES = 8 << 30
MAX_LAYERS = 5_000
MAX_DEPTH = 200
# One image's output of one layer: 2^28 numbers are a gibibyte in float32.
MAX_OUTPUT_ELEMENTS = 1 << 28
# The side of the images that a network of any size is tried on.
SAMPLE_SIDE = 224
IN_TRAINING = (
    "calls layers in training mode even for prediction: they run in inference mode, so that a "
    "result depends on the image alone."
)


class Description(NamedTuple):
    """What a ``.keras`` file says of its network, checked.

    Attributes:
        config: Keras's description of the network as it predicts, in float32.
        weight_bytes: Size of its weights in bytes.
        loss: What it was trained with.
        in_training: Some layer was called in training mode for good; here it is not.
    """

    config: dict[str, Any]
    weight_bytes: int
    loss: Loss
    in_training: bool


def read_description(path: Path) -> Description:
    """Read and check a ``.keras`` file's description without building anything.

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
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise BundleError(f"{path} must be a .keras file. Received: {error}.") from error
    if len(content) > MAX_CONFIG_BYTES:
        raise BundleError(f"{path}: config.json must have at most {MAX_CONFIG_BYTES:,} bytes.")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: config.json must be JSON. Received: {error}.") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path}: config.json must be an object. Received: {type(config)}.")
    loss = read_loss(config.get("compile_config"))
    _check_objects(path, config)
    in_training = keras_objects.for_prediction(config)
    return Description(config, members["model.weights.h5"].file_size, loss, in_training)


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
            value.pop("compile_config", None)  # optimizers and losses are never built
            if "class_name" in value:
                keras_objects.check_object(path, value)
                layers += str(value.get("module")).startswith(("keras.layers", "keras.src."))
            pending += [(child, depth + 1) for child in value.values()]
        elif isinstance(value, list):
            pending += [(child, depth + 1) for child in value]
    if layers > MAX_LAYERS:
        raise BundleError(f"{path} must have at most {MAX_LAYERS} layers. Received: {layers}.")


class Plan(NamedTuple):
    """What a ``.keras`` classifier takes and gives, known without allocating its weights.

    Attributes:
        input_shape: Height, width (None: any), channels.
        classes: Number of classes.
        scores_kind: One of `cnnkit.bundles.score_kinds.SCORE_KINDS`.
        notes: What the user should be told once.
    """

    input_shape: tuple[int | None, int | None, int]
    classes: int
    scores_kind: str
    notes: tuple[str, ...] = ()


def plan_keras_file(path: Path) -> Plan:
    """Read what a ``.keras`` classifier takes and gives.

    Raises:
        BundleError: The file must not be opened, or holds no classifier of images.
    """
    description = read_description(path)
    model = _planned(path, description)
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] not in (1, 3):
        raise BundleError(
            f"{path} must take one image (height, width, 1 or 3 channels). "
            f"Received: a network with the inputs {shapes}."
        )
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    numbers = numbers_of_a_row(outputs[0]) if len(outputs) == 1 else None
    if not numbers:
        raise BundleError(
            f"{path} must give one row of class scores. "
            f"Received: a network with the outputs {outputs}."
        )
    kind = kind_of_scores(
        model, numbers, description.loss, lambda: _sample_scores(path, description), str(path)
    )
    notes = (f"{path.name} {IN_TRAINING}",) if description.in_training else ()
    return Plan(shapes[0][1:], 2 if kind in ONE_NUMBER else numbers, kind, notes)


def numbers_of_a_row(shape: tuple[int | None, ...]) -> int | None:
    """Return how many numbers an output has for an image, or None if it is no row of them.

    Args:
        shape: With the batch: (batch, n), (batch, 1, 1, n), or (batch,) for one number.
    """
    sides = [side for side in shape[1:] if side is not None]
    if not shape or len(sides) < len(shape) - 1 or sum(side != 1 for side in sides) > 1:
        return None
    return math.prod(sides)


def _sample_scores(path: Path, description: Description) -> np.ndarray:
    """Return what the network gives for some images: gray, noise, white and black."""
    with building_defaults() as keras:
        model = _loaded(path, description)
        sides = [side or SAMPLE_SIDE for side in model.inputs[0].shape[1:3]]
        shape = (*sides, model.inputs[0].shape[3])
        noise = np.random.default_rng(0).integers(0, 256, shape)
        images = np.stack([np.full(shape, 128), noise, np.full(shape, 255), np.zeros(shape)])
        with _named_failures(path):
            batch = keras.ops.convert_to_tensor(images.astype(np.float32))
            found = keras.tree.flatten(model(batch, training=False))[0]
            return keras.ops.convert_to_numpy(found).reshape(len(images), -1)


def load_keras_file(path: Path) -> Any:
    """Open a ``.keras`` file as a `keras.Model` on Keras's backend, weights in place, float32.

    Raises:
        BundleError: The file is foreign, broken, hostile, or of another Keras.
    """
    description = read_description(path)
    _planned(path, description)
    return _loaded(path, description)


def _loaded(path: Path, description: Description) -> Any:
    """Build what was checked, and nothing that the file may say by now, with its weights."""
    with building_defaults() as keras, _named_failures(path):
        model = _built(keras, description)
        model.load_weights(path)
        return model


def _built(keras: Any, description: Description) -> Any:
    from keras.src.saving.serialization_lib import ObjectSharingScope

    # Building takes descriptions apart: a copy, so that it can be built again.
    with ObjectSharingScope():
        config = copy.deepcopy(description.config)
        return keras.saving.deserialize_keras_object(config, safe_mode=True)


def planned_keras_file(path: Path) -> Any:
    """Return the network with shapes but without memory, after every check."""
    return _planned(path, read_description(path))


def _planned(path: Path, description: Description) -> Any:
    # The size is known before it is taken.
    with _named_failures(path), building_defaults(), variables_without_memory() as keras:
        model = _built(keras, description)
        if not getattr(model, "inputs", None):
            raise BundleError(f"{path} must be a built functional or sequential model.")
        _check_size(path, model, description.weight_bytes)
    return model


@contextlib.contextmanager
def _named_failures(path: Path) -> Iterator[None]:
    """Turn whatever Keras raises over a file into one line that names the file."""
    try:
        yield
    except CnnkitError:
        raise
    except Exception as error:  # whatever Keras and its backend raise over a strange file
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines or [type(error).__name__])[0][:200]
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
    for name, shape in _output_shapes(model):
        elements = math.prod(side or 1 for side in shape)
        if elements > MAX_OUTPUT_ELEMENTS:
            raise BundleError(
                f"{path}: layer {name!r} must give at most {MAX_OUTPUT_ELEMENTS:,} numbers "
                f"an image. Received: {elements:,}."
            )


def _output_shapes(model: Any) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    """Yield the name and shape of what every layer and operation gives, nested models opened."""
    pending, seen = [model], set()
    while pending:
        functional = as_functional(pending.pop())
        for operation in getattr(functional, "operations", ()):
            if id(operation) in seen:
                continue
            seen.add(id(operation))
            pending.append(operation)
            for node in operation._inbound_nodes:
                for tensor in node.outputs:
                    yield operation.name, tuple(tensor.shape)
