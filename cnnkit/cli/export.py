"""``cnnkit export``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared

if TYPE_CHECKING:
    from cnnkit.exporting import Exported, Int8Output, Output

log = logging.getLogger("cnnkit")

EXAMPLES = """\b
Examples:
  cnnkit export efficientnet-lite0 -o lite0.onnx
  cnnkit export flowers --format saved-model -o flowers-served
  cnnkit export flowers -o flowers.tflite --batch 1 --check-on photos/
  cnnkit export yolov3-tiny -o detector.onnx
  cnnkit export nanodet-g -o detector.xml --precision int8
  cnnkit export mtcnn --format onnx -o face-finder
"""


class BatchSize(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.5 only
    """A number of images from 1 up, or ``dynamic``, which gives None."""

    name = "batch"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        if value == "dynamic":
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"must be a positive integer or dynamic. Received: {value}.")
        return int(value)


@click.command("export", epilog=EXAMPLES)
@click.argument("model", metavar="BUNDLE|NAME")
@click.option(
    "--format",
    type=click.Choice(["keras", "onnx", "openvino", "litert", "saved-model"]),
    help="Export format.  [default: by the suffix of -o]",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="PATH",
    help="Output .keras, .onnx, .xml, or .tflite file, or folder (saved-model, several networks).",
)
@click.option(
    "--batch",
    type=BatchSize(),
    default="dynamic",
    show_default=True,
    metavar="N|dynamic",
    help="Images per batch.",
)
@click.option(
    "--size",
    type=shared.Size(),
    metavar="HEIGHTxWIDTH",
    help="Input size, for networks that accept any.  [default: dynamic]",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    show_default=True,
    help="Arithmetic of the export; int8: openvino and onnx, models with activation ranges.",
)
@click.option(
    "--check-on",
    metavar="DIR",
    help="Folder of images to verify on.  [default: crops of two photos]",
)
@click.option("--overwrite", is_flag=True, help="Overwrite an existing export.")
@click.option(
    "--weights", metavar="FILE", help="Weights file for keras:NAME, instead of a download."
)
@click.option(
    "--labels",
    metavar="FILE",
    help="Text file with one label per line, for a model without labels.",
)
@shared.verbosity_options
def command(quiet: bool, **options: Any) -> None:
    """Export a model to another format and verify it by running it.

    The input of the export is `image`: RGB pixels, uint8 (batch, height, width, 3). A classifier
    returns calibrated `probabilities`; a detector, decoded `boxes` and `scores` before
    non-maximum suppression; a face embedding model, the `embedding` of an aligned face; a style
    model, the `image`. A model of several networks (mtcnn, magenta-style) becomes a folder with
    one file per network. PATH.json describes the preprocessing and the outputs, and holds the
    labels.

    The export is first compared with the model on images. Exit status: 1 if they differ; then
    nothing is written.
    """
    from cnnkit.commands.export import export
    from cnnkit.exporting import CheckFailedError

    try:
        exported = export(**options)
    except CheckFailedError as error:
        log.error(str(error))
        click.get_current_context().exit(1)
    if not quiet:
        click.echo(summary(exported))


def summary(exported: Exported) -> str:
    """Return a line that says what was written and how closely it agrees."""
    from cnnkit.writers import printable

    plural = "" if exported.images == 1 else "s"
    if exported.int8:
        closeness = "; ".join(_closeness(one) for one in exported.int8)
        return printable(
            f"{exported.path}: {exported.bytes / 1e6:,.1f} MB; int8 against float32 on "
            f"{exported.images} image{plural}: {closeness}"
        )
    found = [_agreement(*pair) for pair in exported.differences]
    found[0] = found[0].replace(" by ", " differs from the model's own by ", 1)
    return printable(
        f"{exported.path}: {exported.bytes / 1e6:,.1f} MB; on {exported.images} image{plural} "
        f"{', '.join(found)}"
    )


def _agreement(output: Output, difference: float) -> str:
    share_of = "it" if output.share_of.split()[-1] == output.noun else output.share_of
    return f"no {output.noun} by more than {difference:.0e} of {share_of}"


def _closeness(one: Int8Output) -> str:
    export, own = one.export, one.own
    unit = f" of {one.output.unit_name}" if one.output.unit_name else ""
    text = (
        f"{one.output.noun} off by {export.mean:.1e}{unit} on average, {export.largest:.1e} at "
        f"most (the model's own int8: {own.mean:.1e}, {own.largest:.1e})"
    )
    if export.same_first is None or own.same_first is None:
        return text
    return f"{text}, same top-1 in {export.same_first:.0%} (own int8: {own.same_first:.0%})"
