"""``cnnkit export``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared

if TYPE_CHECKING:
    from cnnkit.exporting import Exported, Output

log = logging.getLogger("cnnkit")

EXAMPLES = """\b
Examples:
  cnnkit export efficientnet-lite0 -o lite0.onnx
  cnnkit export flowers --format saved-model -o flowers-served
  cnnkit export flowers -o flowers.tflite --batch 1 --check-on photos/
  cnnkit export yolov3-tiny -o detector.onnx
  cnnkit export mtcnn --format onnx -o face-finder
"""


class Batch(click.ParamType):
    """A number of images from 1 up, or ``dynamic``, which gives None."""

    name = "batch"

    def convert(self, value, param, ctx):
        if value == "dynamic":
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"must be a whole number from 1 up, or dynamic. Received: {value}.")
        return int(value)


class Size(click.ParamType):
    """A height and a width in pixels, as ``480x640``, or one number for both."""

    name = "size"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        sides = [side for side in value.lower().split("x") if side.isdecimal()]
        if len(sides) != value.lower().count("x") + 1 or len(sides) > 2:
            self.fail(f"must be HEIGHTxWIDTH or one number, in pixels. Received: {value}.")
        height, width = int(sides[0]), int(sides[-1])
        if not (1 <= height <= 4096 and 1 <= width <= 4096):
            self.fail(f"must have sides from 1 to 4096 pixels. Received: {value}.")
        return height, width


@click.command("export", epilog=EXAMPLES)
@click.argument("model", metavar="BUNDLE|NAME")
@click.option(
    "--format",
    type=click.Choice(["keras", "onnx", "openvino", "litert", "saved-model"]),
    help="Format of the export.  [default: by the suffix of -o]",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="PATH",
    help="A .keras, .onnx, .xml or .tflite file; a folder for saved-model or several networks.",
)
@click.option(
    "--batch",
    type=Batch(),
    default="dynamic",
    show_default=True,
    metavar="N|dynamic",
    help="Images per batch.",
)
@click.option(
    "--size",
    type=Size(),
    metavar="HEIGHTxWIDTH",
    help="Image size, for networks that take any.  [default: left open]",
)
@click.option(
    "--check-on", metavar="DIR", help="Images to check on.  [default: two photos, in parts]"
)
@click.option("--overwrite", is_flag=True, help="Overwrite an existing export.")
@click.option("--weights", metavar="FILE", help="Weights for keras:NAME, instead of a download.")
@click.option("--labels", metavar="FILE", help="One label a line, for a model without labels.")
@shared.verbosity_options
def command(quiet: bool, **options: Any) -> None:
    """Write a model for another engine, and check it by running it there.

    The export takes RGB pixels, uint8 (batch, height, width, 3), as `image`. A classifier gives
    calibrated `probabilities`, a detector decoded `boxes` and `scores` before suppression, a
    face embedder the `embedding` of an aligned face, a painter the `image`. A model of several
    networks (mtcnn, magenta-style) becomes a folder with a file each. PATH.json beside a file
    says how images are fitted and what comes out, and holds the labels.

    Before it gets its name the export is run on images beside the model itself. The exit
    status is 1 if they differ, and then nothing is left behind.
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
    """Return the line that says what was written, and how well it agrees."""
    from cnnkit.writers import printable

    plural = "" if exported.images == 1 else "s"
    found = [_agreement(*pair) for pair in exported.differences]
    found[0] = found[0].replace(" by ", " differs from the model's own by ", 1)
    return printable(
        f"{exported.path}: {exported.bytes / 1e6:,.1f} MB; on {exported.images} image{plural} "
        f"{', '.join(found)}"
    )


def _agreement(output: Output, difference: float) -> str:
    share_of = "it" if output.share_of.split()[-1] == output.noun else output.share_of
    return f"no {output.noun} by more than {difference:.0e} of {share_of}"
