"""`build` and `load_keras`: plain Keras models, ready for ``fit``."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnkit import architectures
from cnnkit.argument_types import checks_types
from cnnkit.bundles import open_model
from cnnkit.commands.inputs import check_positive
from cnnkit.errors import UsageError, broken_rule
from cnnkit.runtime import building_defaults, built_if_accepted, import_keras
from cnnkit.runtime.memory import available_memory

if TYPE_CHECKING:
    import keras

WEIGHT_BYTES = 4  # float32
COPIES = 2  # of a variable, while random numbers for it are drawn and scaled


@checks_types
def build(
    architecture: str,
    *,
    input_shape: tuple[int | None, int | None, int] | None = None,
    classes: int | None = None,
    include_top: bool = True,
    arguments: Mapping[str, object] | None = None,
) -> keras.Model:
    """Build a network with random weights.

    Args:
        architecture: One of `cnnkit.architectures.BUILDERS` in any spelling, such as
            ``resnet-50`` or ``ResNet50``; ``cnnkit network --list`` shows them all.
        input_shape: Height, width and channels; the architecture's own by default.
        classes: Number of classes of the top; the architecture's own by default.
        include_top: Whether to include the classification head, or end with the last feature map.
        arguments: Additional arguments of the builder, such as ``{"dimensions": 64}``.

    Returns:
        A functional model from RGB pixels, 0 to 255, (batch, height, width, channels), which it
        normalizes itself. A classifier gives logits (batch, classes).

    Raises:
        UsageError: The architecture is unknown, does not accept an argument, or its weights do not
            fit into the available memory.
    """
    if architectures.builder_name(architecture) is not None:
        import_keras()  # quietly, before the builder's own file imports it
    builder = architectures.builder(architecture)
    wished: dict[str, Any] = dict(arguments or {})
    if input_shape is not None:
        wished["input_shape"] = tuple(input_shape)
    if classes is not None:
        check_positive(classes=classes)
        wished["classes"] = classes
    if not include_top:
        wished["include_top"] = False
    takes = inspect.signature(builder).parameters
    unknown = [name for name in wished if name not in takes and "arguments" not in takes]
    if unknown:
        known = ", ".join(takes) or "no arguments"
        raise UsageError(broken_rule(architecture, f"be built with {known}", ", ".join(unknown)))
    with building_defaults():
        try:
            if not wished.keys() - {"include_top"}:
                return builder(**wished)
            return built_if_accepted(
                lambda: builder(**wished), lambda model: _check_size(architecture, model)
            )
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(f"{architecture} cannot be built so: {reason}") from error


def _check_size(name: str, model: keras.Model) -> None:
    """Refuse a network whose weights would not fit; the system might end the process for them."""
    free = available_memory(swapping=True)  # slow is no reason to refuse
    largest = max((math.prod(variable.shape) for variable in model.variables), default=0)
    parameters = model.count_params()
    needed = (parameters + COPIES * largest) * WEIGHT_BYTES
    if free is not None and needed > free:
        received = f"{parameters:,} parameters, {needed / 1e9:,.1f} GB while they are made"
        fix = "Use a smaller `input_shape`, fewer `classes`, or smaller `arguments`."
        rule = f"fit into the available memory, {free / 1e9:,.1f} GB"
        raise UsageError(broken_rule(f"the weights of {name}", rule, received, fix))


@checks_types
def load_keras(
    model: str | os.PathLike[str],
    *,
    network: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
) -> keras.Model:
    """Return a model as a `keras.Model` with its weights, ready for ``fit``.

    Args:
        model: An embedded name, a bundle folder, a ``.keras`` file, ``keras:NAME`` or a ``.cfg``.
        network: Which network to return, for models with several such as ``mtcnn``.
        weights: Weights for ``keras:NAME`` or a ``.cfg``.
        labels: A file with one label per line, for a model without labels.

    Returns:
        The network as its builder or file defines it. The embedded classifiers return logits
        (batch, classes) for RGB pixels, 0 to 255. Weights are float32.

    Raises:
        UsageError: There is no such model, or no such network in it.
        BundleError: It exists but cannot be opened, or is unsafe to open.
    """
    bundle = open_model(
        os.fspath(model),
        None if weights is None else os.fspath(weights),
        None if labels is None else os.fspath(labels),
    )
    known = list(bundle.card.networks)
    if network is None and len(known) == 1:
        network = known[0]
    if (network is None and known) or (network is not None and network not in known):
        rule = f"be one of {', '.join(known)}" if known else "be omitted for this model"
        raise UsageError(broken_rule("`network`", rule, repr(network)))
    with building_defaults():
        return bundle.load() if network is None else bundle.load(network)
