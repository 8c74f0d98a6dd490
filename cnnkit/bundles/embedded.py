"""The models that ship with cnnkit, found without importing any framework."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from cnnkit.bundles.card import CARD
from cnnkit.errors import BundleError
from cnnkit.names import known_network


@cache
def store() -> Path:
    """Return the folder of the embedded models: the data package ``cnnkit_models``.

    Only an installation maps it. A checkout that runs where it lies has the same folder, as
    ``models``, beside the package.

    Raises:
        BundleError: There is neither.
    """
    try:
        import cnnkit_models
    except ModuleNotFoundError as error:
        folder = Path(__file__).resolve().parents[2] / "models"
        if not any(folder.glob(f"*/{CARD}")):
            raise BundleError(
                "cnnkit requires its embedded models. Received: an installation without the "
                "package cnnkit_models. Reinstall cnnkit."
            ) from error
        return folder
    return Path(cnnkit_models.__path__[0])


def embedded_names() -> list[str]:
    """Return the names of the embedded models, sorted."""
    return sorted(card.parent.name for card in store().glob(f"*/{CARD}"))


def embedded_name(name: str) -> str | None:
    """Return the embedded model that a name in any spelling means, None if none is meant.

    An embedded name wins over a folder of that name; in another spelling the folder wins.
    """
    known = embedded_names()
    if name in known:
        return name
    return None if os.path.exists(name) else known_network(name, known)


def embedded_folder(name: str) -> Path:
    """Return the bundle folder of an embedded model, whose name must exist."""
    return store() / name
