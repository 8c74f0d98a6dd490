"""`export`: exports a model to another engine and verifies the result there."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from cnnkit.bundles import Bundle
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.opened import opened_bundle
from cnnkit.errors import UsageError, broken_rule, is_required
from cnnkit.exporting import (
    FORMATS,
    Exported,
    NetworkExport,
    Request,
    export_model,
    form_of_suffix,
    images_in,
)
from cnnkit.writers.row_files import encodable

log = logging.getLogger("cnnkit")

# The function of each task that describes a bundle's networks for an export.
DESCRIPTIONS = {
    "classify": "cnnkit.exporting:classifier_networks",
    "detect": "cnnkit.detection.exporting:detector_networks",
    "embed-face": "cnnkit.faces.exporting:embedder_networks",
    "find-face": "cnnkit.faces.exporting:finder_networks",
    "stylize": "cnnkit.style.exporting:painter_networks",
}


@keeps_inputs
def export(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    format: str | None = None,
    *,
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    precision: str = "float32",
    check_on: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    weights: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
) -> Exported:
    """Export a model to another engine, and verify it by running it there.

    The export takes RGB pixels, uint8 (batch, height, width, 3), as ``image``. A classifier gives
    calibrated ``probabilities``, a detector decoded ``boxes`` and ``scores`` before suppression,
    a face embedder the ``embedding`` of an aligned face, a style model the ``image``. A JSON
    file beside it describes the preprocessing and the outputs, and holds the labels.

    Args:
        model: An embedded name, a bundle folder, a ``.keras`` file, ``keras:NAME`` or a ``.cfg``.
        output: The file to write, or the folder for ``saved-model`` and models of several
            networks (``mtcnn``, ``magenta-style``). The form's suffix is added if it has none.
        format: ``keras``, ``onnx``, ``openvino``, ``litert`` or ``saved-model``; by default by
            the suffix of the output.
        batch: Fixed batch size; None for any.
        size: Height and width of the images in pixels, for networks that accept any; None leaves
            them open.
        precision: ``float32``, or ``int8``: 8-bit integers, for ``openvino`` and ``onnx``, of a
            model whose card holds activation ranges.
        check_on: A folder of images to verify with; crops of two photos by default.
        overwrite: Overwrite an existing export.
        weights: Weights for ``keras:NAME`` or a ``.cfg``.
        labels: A file with one label per line, for a model without labels.

    Returns:
        The location and size of the export, and how closely it matches the model.

    Raises:
        UsageError: An argument is invalid, or the output already exists.
        BundleError: The model cannot be opened, or is unsafe to open.
        RuntimeUnavailableError: A library that the format requires is not installed, or the model
            has no activation ranges for int8.
        OutputError: The model cannot be converted, or the file cannot be written.
        CheckFailedError: The export's results differ from the model's; it was deleted.
    """
    bundle = opened_bundle(model, weights, labels)
    form, target = form_and_path(format, os.fspath(output), len(bundle.card.networks) > 1)
    images = images_in(os.fspath(check_on)) if check_on else None
    networks = networks_of(bundle, Request(form, batch, size, images))
    for note in (note for network in networks for note in network.notes):
        log.warning(note)
    return export_model(bundle, networks, form, target, overwrite=overwrite, precision=precision)


def networks_of(bundle: Bundle, request: Request) -> tuple[NetworkExport, ...]:
    """Return the networks of a bundle as its task describes them.

    Raises:
        UsageError: They cannot be exported as requested.
        BundleError: The card breaks a rule of its task.
    """
    module, _, name = DESCRIPTIONS.get(bundle.card.task, DESCRIPTIONS["classify"]).partition(":")
    describe: Callable[[Bundle, Request], tuple[NetworkExport, ...]]
    describe = getattr(import_module(module), name)
    return describe(bundle, request)


def form_and_path(form: str | None, output: str, several: bool = False) -> tuple[str, str]:
    """Return the form, by the suffix if none is named, and the path, with a suffix if it has none.

    Args:
        form: As asked for.
        output: The path as requested.
        several: Whether the path is that of a folder of several networks.

    Raises:
        UsageError: Neither says what to write, or no library could write a file of that name.
    """
    if encodable(output) != output:
        rule = "have a name that is valid Unicode"
        raise UsageError(broken_rule("`output`", rule, encodable(output)))
    if form is None:
        form = form_of_suffix(output)
    elif form in FORMATS and not Path(output).suffix and not several:
        output += FORMATS[form].suffix
    if form is None:
        rule = "end in .keras, .onnx, .xml, or .tflite unless `format` is given"
        if several:
            fix = "The model has several networks, so `output` is a folder with one file for each."
            raise UsageError(is_required("`format`", fix))
        raise UsageError(broken_rule("`output`", rule, output))
    return form, output
