"""`list_models`, `model_card` and `verify_models`: what is known about models, and their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cnnkit.argument_types import checks_types
from cnnkit.bundles import (
    embedded_folder,
    embedded_name,
    embedded_names,
    open_model,
    read_card,
)
from cnnkit.bundles.card import CARD, ModelCard
from cnnkit.commands.inputs import AnyPath, path_list
from cnnkit.errors import CnnkitError, UsageError, broken_rule, did_you_mean


def list_models() -> dict[str, ModelCard]:
    """Return the cards of the embedded models by name.

    Returns:
        Each card has ``.task``, ``.classes``, ``.description``, ``.input`` (the size and how an
        image is fitted to it), and ``.content``, the whole card as a dictionary.

    Raises:
        BundleError: A card cannot be read.
    """
    return {name: read_card(embedded_folder(name) / CARD) for name in embedded_names()}


@checks_types
def model_card(name: AnyPath) -> ModelCard:
    """Return the card of a model: input, classes, license, source, measured metrics.

    Args:
        name: An embedded model in any spelling, or a bundle folder.

    Returns:
        The card; ``.content`` is the whole of it as a dictionary.

    Raises:
        UsageError: There is no such model.
        BundleError: The card cannot be read, or breaks a rule.
    """
    given = os.fspath(name)
    embedded = embedded_name(given)
    if embedded is not None:
        return read_card(embedded_folder(embedded) / CARD)
    if Path(given).is_dir():
        return read_card(Path(given) / CARD)
    fix = did_you_mean(given, embedded_names()) or f"Embedded: {', '.join(embedded_names())}."
    raise UsageError(broken_rule("`name`", "be an embedded model or a bundle folder", given, fix))


@checks_types
def verify_models(
    names: AnyPath | Sequence[AnyPath] | None = None,
) -> dict[str, CnnkitError | None]:
    """Check that the files of models match the hashes in their cards.

    Args:
        names: Embedded models and bundle folders; all embedded models by default.

    Returns:
        By name, None if all files match, otherwise the error that opening the model raises.

    Raises:
        UsageError: `names` are no names.
    """
    return {name: _error_of(name) for name in path_list(names) or embedded_names()}


def _error_of(name: str) -> CnnkitError | None:
    try:
        open_model(name)
    except CnnkitError as error:
        return error
    return None
