"""The model that the user names, opened for a command."""

from __future__ import annotations

import logging
import os

from cnnkit.bundles import Bundle, open_model
from cnnkit.commands.inputs import AnyPath, text_of

log = logging.getLogger("cnnkit")


def opened_bundle(
    model: AnyPath, weights: AnyPath | None = None, labels: AnyPath | None = None
) -> Bundle:
    """Open a model, and say once what the user should know of it; see `open_model`."""
    bundle = open_model(os.fspath(model), text_of(weights), text_of(labels))
    for note in bundle.notes:
        log.info(note)
    return bundle
