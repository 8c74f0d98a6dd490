"""What ``cnnkit export`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from cnnkit.bundles import Bundle, open_model
from cnnkit.errors import UsageError, broken_rule
from cnnkit.exporting import (
    FORMATS,
    CheckFailedError,
    Exported,
    NetworkExport,
    Output,
    Request,
    export_model,
    form_of_suffix,
    pictures_in,
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
    size: tuple[int, int] | None,
    check_on: str | None,
    overwrite: bool,
    weights: str | None,
    labels: str | None,
) -> bool:
    """Export, say what came of it, and return whether the check failed."""
    bundle = open_model(model, weights, labels)
    several = len(bundle.card.networks) > 1
    form, output = form_and_path(form, output, several)
    for note in bundle.notes:
        log.info(note)
    pictures = pictures_in(check_on) if check_on else None
    networks = networks_of(bundle, Request(form, batch, size, pictures))
    for note in (note for network in networks for note in network.notes):
        log.warning(note)
    try:
        exported = export_model(bundle, networks, form, output, overwrite=overwrite)
    except CheckFailedError as error:
        log.error(str(error))
        return True
    if not quiet:
        click.echo(summary(exported))
    return False


def networks_of(bundle: Bundle, request: Request) -> tuple[NetworkExport, ...]:
    """Return the networks of a bundle as its task describes them.

    Raises:
        UsageError: They cannot be had as asked for.
        BundleError: The card breaks a rule of its task.
    """
    task = bundle.card.task
    if task == "detect":
        from cnnkit.detection.exporting import detector_networks as describe
    elif task == "embed-face":
        from cnnkit.faces.exporting import embedder_networks as describe
    elif task == "find-face":
        from cnnkit.faces.exporting import finder_networks as describe
    elif task == "stylize":
        from cnnkit.style.exporting import painter_networks as describe
    else:
        from cnnkit.exporting import classifier_networks as describe
    return describe(bundle, request)


def form_and_path(form: str | None, output: str, several: bool = False) -> tuple[str, str]:
    """Return the form, by the suffix if none is named, and the path, with a suffix if it has none.

    Args:
        form: As asked for.
        output: Likewise.
        several: Whether the path is that of a folder of several networks.

    Raises:
        UsageError: Neither says what to write.
    """
    if form is None:
        form = form_of_suffix(output)
    elif form in FORMATS and not Path(output).suffix and not several:
        output += FORMATS[form].suffix
    if form is None:
        rule = "end in .keras, .onnx, .xml or .tflite, or go with --format"
        if several:
            rule = "go with --format: the model has several networks, a file each in a folder"
        raise UsageError(broken_rule("-o", rule, output))
    return form, output


def summary(exported: Exported) -> str:
    """Return the line that says what was written, and how well it agrees."""
    plural = "" if exported.pictures == 1 else "s"
    found = [_agreement(*pair) for pair in exported.differences]
    found[0] = found[0].replace(" by ", " differs from the model's own by ", 1)
    return printable(
        f"{exported.path}: {exported.bytes / 1e6:,.1f} MB; on {exported.pictures} picture{plural} "
        f"{', '.join(found)}"
    )


def _agreement(output: Output, difference: float) -> str:
    share_of = "it" if output.share_of.split()[-1] == output.noun else output.share_of
    return f"no {output.noun} by more than {difference:.0e} of {share_of}"
