"""What a ``.keras`` description may name: Keras's own layers and operations that hold no code.

The installed Keras decides what there is; only what holds code, or reads files, is named here.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from cnnkit.errors import BundleError
from cnnkit.runtime import import_keras

# These run what the file says.
CODE = frozenset("Lambda TFSMLayer JaxLayer FlaxLayer TorchModuleWrapper".split())
# These read a file that the description names, or are only meant to be derived from.
LEFT_OUT = frozenset("StringLookup IntegerLookup TextVectorization Layer Wrapper".split())
MODELS = frozenset({"Functional", "Sequential", "Model"})
MODEL_MODULES = ("keras", "keras.models", "keras.src.models.functional", "keras.src.models.model")
PLAIN_MODULES = ("keras.initializers", "keras.regularizers", "keras.constraints")
FUNCTION_MODULES = ("keras.activations", "keras.ops", "keras.ops.nn", "keras.ops.numpy")
LAYER_MODULES = ("keras.src.layers.", "keras.src.applications.")
OPERATION_MODULES = "keras.src.ops."
VALUE_CLASSES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__ellipsis__", "__slice__"}
)
FLOATS = frozenset("float16 bfloat16 float64 mixed_float16 mixed_bfloat16".split())


def check_object(path: Path, value: dict[str, Any]) -> None:
    """Refuse a named class that must not, or cannot, be built.

    Args:
        path: Path of the file, for the message.
        value: A part of its description with a ``class_name``.

    Raises:
        BundleError: It is foreign, holds code, or is not supported.
    """
    name, module = value["class_name"], value.get("module")
    if not isinstance(name, str) or not isinstance(module, str | None):
        raise _holds_code(path, name, module)
    if "Quantized" in name or name == "DTypePolicyMap":
        raise BundleError(
            f"{path} holds quantized weights ({name}), which are not supported. Save the model "
            "again before quantization."
        )
    if not _is_known(name, module, value.get("config")):
        # The name counts, not its result here: a hidden class of code stays one of code.
        if str(module).partition(".")[0] == "keras" and name not in CODE and name != "function":
            raise BundleError(
                f"{path}: the class {name[:60]!r} of {str(module)[:60]!r} is not supported."
            )
        raise _holds_code(path, name, module)
    registered = value.get("registered_name")
    if registered not in (None, "", name, value.get("config")):
        raise BundleError(f"{path} must hold no custom object. Received: {str(registered)[:60]!r}.")


def _holds_code(path: Path, name: Any, module: Any) -> BundleError:
    return BundleError(
        f"{path} must hold only Keras's own layers, without code. "
        f"Received: class {str(name)[:60]!r} of module {str(module)[:60]!r}."
    )


def _is_known(name: str, module: str | None, config: Any) -> bool:
    if module is None:
        return name in VALUE_CLASSES
    if module == "keras.layers":
        return _is_layer(getattr(import_keras().layers, name, None))
    if module.startswith(LAYER_MODULES):
        return _is_layer(_hidden(module, name))
    if module.startswith(OPERATION_MODULES):
        found = _hidden(module, name)
        operation = import_keras().Operation
        return inspect.isclass(found) and issubclass(found, operation) and not _is_layer(found)
    if name == "function":
        return module in FUNCTION_MODULES and _is_function(module, config)
    return (
        (module in MODEL_MODULES and name in MODELS)
        or (module == "keras" and name == "DTypePolicy")
        or module in PLAIN_MODULES
    )


def _hidden(module: str, name: str) -> Any:
    """Return what a module of Keras that is loaded already defines itself, or None."""
    found = getattr(sys.modules.get(module), name, None)
    return found if getattr(found, "__module__", None) == module else None


def _is_layer(found: Any) -> bool:
    """Return whether something is a layer that holds no code and is no model."""
    keras = import_keras()
    if not inspect.isclass(found) or not issubclass(found, keras.layers.Layer):
        return False
    if issubclass(found, keras.Model) or found.__name__ in LEFT_OUT:
        return False
    code = tuple(getattr(keras.layers, name) for name in CODE if hasattr(keras.layers, name))
    return not issubclass(found, code)


def _is_function(module: str, name: Any) -> bool:
    """Return whether a name is one of Keras's own functions of a tensor, such as an activation."""
    public: Any = import_keras()
    for part in module.split(".")[1:]:
        public = getattr(public, part)
    return isinstance(name, str) and inspect.isfunction(getattr(public, name, None))


def for_prediction(config: Any) -> bool:
    """Change a checked description, in place, to that of the network as it predicts: in float32.

    Weights are float32 in the file, whatever half precision they were trained in, and training's
    own settings go. A layer that is called in training mode for good (a dropout that stays on, a
    normalization by its batch) would answer by chance or by an image's neighbors.

    Returns:
        Whether a layer was called in training mode.
    """
    in_training = False
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            value.pop("compile_config", None)
            if value.get("class_name") == "DTypePolicy" and isinstance(value.get("config"), dict):
                _to_float32(value["config"], "name")
            _to_float32(value, "dtype")
            if value.get("unroll") is True:  # the same numbers by a loop: the graph stays small
                value["unroll"] = False
            if value.get("training") is True:
                value["training"], in_training = False, True
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return in_training


def _to_float32(value: dict[str, Any], key: str) -> None:
    # A list, for example, has no hash.
    if isinstance(value.get(key), str) and value[key] in FLOATS:
        value[key] = "float32"
