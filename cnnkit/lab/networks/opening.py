"""Reads a network by its name: a builder, a bundle, a ``.keras`` file, or ``keras:NAME``.

Networks are built without memory for their weights, so that counting VGG-19 costs no more than
counting LeNet.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit import architectures
from cnnkit.bundles import embedded_name, embedded_names, keras_files, open_model
from cnnkit.bundles.applications import PREFIX, application_name
from cnnkit.bundles.graphs.scanning import form_of
from cnnkit.bundles.opening import graph_only
from cnnkit.errors import BundleError, UsageError, broken_rule, did_you_mean
from cnnkit.lab.arithmetic import CONVENTION
from cnnkit.lab.networks.catalog import CATALOG
from cnnkit.lab.networks.reading import LayerRow, read_network, totals
from cnnkit.runtime import import_keras, variables_without_memory

# What is counted, in sentences.
COUNTED = (
    f"{CONVENTION} Parameters are weights, biases, scales, and shifts; moving averages are counted "
    "separately."
)
LARGEST_SIDE = 8192
LARGEST_CHANNELS = 4
MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class DescribedNetwork:
    """One network, read.

    Attributes:
        name: Name of the network.
        variant: Which form of it, and where its counts come from; "" for the user's own.
        rows: Its layers, in the order of computation.
    """

    name: str
    variant: str
    rows: list[LayerRow]

    @property
    def totals(self) -> dict[str, Any]:
        """The sums over all layers: parameters, multiplies, bytes; see `reading.totals`."""
        return totals(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the network as JSON values, as ``cnnkit network --json`` does."""
        return {
            "name": self.name,
            "variant": self.variant,
            "convention": COUNTED,
            "layers": [row.to_dict() for row in self.rows],
            "totals": self.totals,
        }


@dataclass(frozen=True)
class Wish:
    """The input and classes that a network is to have.

    Attributes:
        shape: Height, width and channels; None for the network's own.
        classes: Number of classes of the top; None for the network's own.

    Raises:
        UsageError: A number is out of bounds.
    """

    shape: tuple[int, ...] | None = None
    classes: int | None = None

    def __post_init__(self) -> None:
        """Check the bounds."""
        shape = self.shape
        if shape and (max(shape[:2]) > LARGEST_SIDE or shape[2] > LARGEST_CHANNELS):
            rule = f"be at most {LARGEST_SIDE}x{LARGEST_SIDE}x{LARGEST_CHANNELS}"
            raise UsageError(broken_rule("`input_shape`", rule, "x".join(map(str, shape))))
        if self.classes is not None and not 1 <= self.classes <= MOST_CLASSES:
            rule = f"be between 1 and {MOST_CLASSES:,}"
            raise UsageError(broken_rule("`classes`", rule, self.classes))

    def arguments(self) -> dict[str, Any]:
        """Return them as arguments of a builder."""
        given = {"input_shape": self.shape, "classes": self.classes}
        return {name: value for name, value in given.items() if value is not None}


def describe(name: str, wish: Wish) -> Iterator[DescribedNetwork]:
    """Yield the network, or the networks, of a name.

    Args:
        name: A builder or an embedded model, in any spelling; a bundle folder, a ``.keras`` file
            or ``keras:NAME``.
        wish: The input shape and classes, where they differ from the network's own.

    Raises:
        UsageError: There is no such network, or it cannot be built in that form.
        BundleError: It exists but cannot be opened, or is unsafe to open.
    """
    if not os.path.exists(name):  # a path wins over all but an exact name
        name = architectures.builder_name(name) or embedded_name(name) or name
    if name in architectures.BUILDERS:
        entry = CATALOG.get(name)
        yield DescribedNetwork(
            name, entry.variant if entry else "", rows_of_builder(name, {}, wish)
        )
    elif name.startswith(PREFIX):
        yield rows_of_application(application_name(name), wish)
    elif Path(name).is_file() and name not in embedded_names():
        if wish.classes is not None:
            raise fixed_classes(name)
        if form_of(Path(name)):
            raise graph_only(name)
        model = keras_files.planned_keras_file(Path(name))
        yield DescribedNetwork(Path(name).name, "", read_network(model, _size(wish, model)))
    elif name in embedded_names() or Path(name).is_dir():
        yield from rows_of_bundle(name, wish)
    else:
        known = [*architectures.BUILDERS, *embedded_names()]
        fix = did_you_mean(name, known) or f"Builders: {', '.join(architectures.BUILDERS)}."
        rule = "name a network, a bundle folder, a .keras file or keras:NAME"
        raise UsageError(broken_rule("`name`", rule, repr(name), fix))


def rows_of_builder(name: str, arguments: dict[str, Any], wish: Wish) -> list[LayerRow]:
    """Return the layers that a builder makes."""
    import_keras()  # quietly, before the builder's own file does
    build = architectures.builder(name)
    takes = inspect.signature(build).parameters
    wished = {n: v for n, v in wish.arguments().items() if n in takes or "arguments" in takes}
    if wish.classes is not None and "classes" not in wished:
        raise UsageError(broken_rule("`classes`", "be used with a classifier or a detector", name))
    with variables_without_memory():
        try:
            model = build(**(arguments | wished))
        except (TypeError, ValueError) as error:
            raise _refused(name, error) from error
    entry = CATALOG.get(name)
    size = _size(wish, model)
    if size is None and entry and None in model.inputs[0].shape[1:3]:
        size = entry.input[:2]
    return read_network(model, size)


def _refused(name: str, error: Exception) -> UsageError:
    """Return one line for what Keras said in several, with colors."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception encountered")]
    reason = (said or [type(error).__name__])[0][:200]
    return UsageError(f"{name} cannot be built so: {reason}")


def rows_of_application(name: str, wish: Wish) -> DescribedNetwork:
    """Return the layers of a network of keras.applications, counted as Keras has it."""
    with variables_without_memory() as keras:
        try:
            model = getattr(keras.applications, name)(weights=None, **wish.arguments())
        except (TypeError, ValueError) as error:
            raise _refused(f"{PREFIX}{name}", error) from error
    return DescribedNetwork(f"{PREFIX}{name}", "as keras.applications has it", read_network(model))


def rows_of_bundle(name: str, wish: Wish) -> Iterator[DescribedNetwork]:
    """Yield the networks of a bundle, as its card describes them."""
    bundle = open_model(name)
    card = bundle.card
    networks = card.networks or {}
    if card.builder:
        yield DescribedNetwork(
            card.name, "", rows_of_builder(card.builder, dict(card.arguments), wish)
        )
    elif not networks:
        if wish.classes is not None:
            raise fixed_classes(name)
        model = bundle.load()
        yield DescribedNetwork(card.name, "", read_network(model, _size(wish, model)))
    for part, network in networks.items():
        if network.builder is None:
            raise BundleError(f"{card.name}: the network {part} has no builder to describe.")
        title = card.name if len(networks) == 1 else f"{card.name}: {part}"
        rows = rows_of_builder(network.builder, dict(network.arguments), wish)
        yield DescribedNetwork(title, "", rows)


def fixed_classes(name: str) -> UsageError:
    """Return the error for another class count than a finished network's."""
    fix = f"Only a builder makes another top: {', '.join(architectures.BUILDERS)}."
    return UsageError(broken_rule("`classes`", "be used with a builder's name", name, fix))


def _size(wish: Wish, model: Any) -> tuple[int, int] | None:
    """Return the wished size where the model leaves its own open or is the same."""
    if wish.shape is None:
        return None
    channels = model.inputs[0].shape[-1]
    if channels is not None and channels != wish.shape[2]:
        rule = f"have {channels} channels for this model"
        raise UsageError(broken_rule("`input_shape`", rule, wish.shape[2]))
    return wish.shape[0], wish.shape[1]
