"""Which layers learn: whole stages, distinguished by their layers' names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.training.plan import TrainingPlan

# Up to the first number: stage6_block1_expand_conv -> stage6, block_12_expand -> block_12.
STAGE = re.compile(r"(?:[a-z]+_)*?[a-z]+_?\d+", re.IGNORECASE)
# Names that Keras numbers by itself (batch_normalization_93) tell nothing about blocks.
NUMBERED = re.compile(r"(conv2d|depthwise_conv2d|separable_conv2d|batch_normalization)(_\d+)?$")


def leaf_layers(model: Any) -> list[Any]:
    """Return the layers that are no models themselves, those of inner models included, in order."""
    found = []
    for layer in model.layers:
        found += leaf_layers(layer) if hasattr(layer, "layers") else [layer]
    return found


def inner_models(model: Any) -> list[Any]:
    """Return the model and the models among its layers, outer ones first."""
    found = [model]
    for layer in model.layers:
        if hasattr(layer, "layers"):
            found += inner_models(layer)
    return found


def stage_names(model: Any, head_layers: tuple[str, ...] = ()) -> list[str]:
    """Return the names of a network's stages, from the input to the output.

    A stage is a run of layers whose names begin alike up to the first number. Layers with
    weights before, between and after the stages, such as ``stem_conv`` or ``head_conv``,
    belong to no stage.

    Args:
        model: A `keras.Model`.
        head_layers: Names of layers that are omitted.
    """
    names: list[str] = []
    for layer in leaf_layers(model):
        stage = _stage(layer.name)
        if layer.weights and layer.name not in head_layers and stage and stage not in names:
            names.append(stage)
    return names


def _stage(layer_name: str) -> str | None:
    found = None if NUMBERED.match(layer_name) else STAGE.match(layer_name)
    return found.group() if found else None


def layers_to_train(model: Any, plan: TrainingPlan) -> set[int]:
    """Return the ids of the layers that learn by a plan.

    Everything from the first layer of the last `plan.stages` stages to the output learns, and
    the head always; batch normalizations only with `plan.train_bn`.

    Raises:
        UsageError: The network has no such layer, or not so many stages.
    """
    layers = leaf_layers(model)
    _check_head(plan, [layer.name for layer in layers])
    head = [layer for layer in layers if layer.name in plan.head_layers]
    body = layers[_first_unfrozen(model, layers, plan) :]
    return {
        id(layer)
        for layer in [*body, *head]
        if plan.train_bn or type(layer).__name__ != "BatchNormalization"
    }


def _check_head(plan: TrainingPlan, names: list[str]) -> None:
    for name in plan.head_layers:
        if name not in names:
            fix = did_you_mean(name, names)
            raise UsageError(
                broken_rule("head_layers", "name layers of the network", repr(name), fix)
            )


def _first_unfrozen(model: Any, layers: list[Any], plan: TrainingPlan) -> int:
    """Return the place of the first layer that learns."""
    if plan.stages is None:
        return 0
    if plan.stages == 0:
        return len(layers)
    names = stage_names(model, plan.head_layers)
    if plan.stages > len(names):
        rule = f"be at most the {len(names)} stages of {model.name}"
        fix = "Leave it out to unfreeze the whole network."
        raise UsageError(broken_rule("`stages`", rule, plan.stages, fix))
    first = names[-plan.stages]
    return next(
        n for n, layer in enumerate(layers) if layer.weights and _stage(layer.name) == first
    )


@contextlib.contextmanager
def unfrozen(model: Any, plan: TrainingPlan) -> Iterator[None]:
    """Let only a plan's layers learn, and give the model its own flags back at the end.

    A batch normalization that does not learn also keeps its statistics.

    Raises:
        UsageError: See `layers_to_train`.
    """
    learning = layers_to_train(model, plan)
    containers, layers = inner_models(model), leaf_layers(model)
    before = [(part, part.trainable) for part in (*containers, *layers)]
    try:
        # Setting a container's flag sets those below it: outer ones first, layers last.
        for container in containers:
            container.trainable = True
        for layer in layers:
            layer.trainable = id(layer) in learning
        yield
    finally:
        for part, flag in before:
            part.trainable = flag
