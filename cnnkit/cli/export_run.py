"""What ``cnnkit export`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from cnnkit.bundles import open_model
from cnnkit.errors import UsageError, broken_rule
from cnnkit.export import (
    FORMATS,
    CheckFailedError,
    Exported,
    export_model,
    form_of_suffix,
    read_pictures,
)
from cnnkit.writers import printable

log = logging.getLogger("cnnkit")


def run(
    model: str,
    *,
    quiet: bool,
    form: str | None,
    output: str,
    batch: int | None,
    check_on: str | None,
    overwrite: bool,
    weights: str | None,
    labels: str | None,
) -> bool:
    """Export, say what came of it, and return whether the check failed."""
    form, output = form_and_path(form, output)
    bundle = open_model(model, weights, labels)
    for note in bundle.notes:
        log.info(note)
    pictures = read_pictures(check_on, bundle.card.input) if check_on else None
    try:
        exported = export_model(
            bundle, form, output, batch=batch, pictures=pictures, overwrite=overwrite
        )
    except CheckFailedError as error:
        log.error(str(error))
        return True
    if not quiet:
        click.echo(summary(exported, own=check_on is not None))
    return False


def form_and_path(form: str | None, output: str) -> tuple[str, str]:
    """Return the form, by the suffix if none is named, and the path, with a suffix if it has none.

    Raises:
        UsageError: Neither says what to write.
    """
    if form is None:
        form = form_of_suffix(output)
    elif form in FORMATS and not Path(output).suffix:
        output += FORMATS[form].suffix
    if form is None:
        rule = "end in .keras, .onnx, .xml or .tflite, or go with --format"
        raise UsageError(broken_rule("-o", rule, output))
    return form, output


def summary(exported: Exported, own: bool) -> str:
    """Return the line that says what was written, and how well it agrees."""
    kind = "" if own else "synthetic "
    plural = "" if exported.pictures == 1 else "s"
    return printable(
        f"{exported.path}: {exported.bytes / 1e6:,.1f} MB; on {exported.pictures} {kind}picture"
        f"{plural} no probability differs from the model's own by more than "
        f"{exported.difference:.0e} of it"
    )
