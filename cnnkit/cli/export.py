"""``cnnkit export``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit export efficientnet-lite0 -o lite0.onnx
  cnnkit export flowers --format saved-model -o flowers-served
  cnnkit export flowers -o flowers.tflite --batch 1 --check-on photos/
"""


class Batch(click.ParamType):
    """A number of pictures from 1 up, or ``dynamic``, which gives None."""

    name = "batch"

    def convert(self, value, param, ctx):
        if value == "dynamic":
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"must be a whole number from 1 up, or dynamic. Received: {value}.")
        return int(value)


@click.command("export", epilog=EXAMPLES)
@click.argument("model", metavar="BUNDLE|NAME")
@click.option(
    "--format",
    "form",
    type=click.Choice(["keras", "onnx", "openvino", "litert", "saved-model"]),
    help="Of the export.  [default: by the suffix of -o]",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="PATH",
    help="A .keras, .onnx, .xml or .tflite file; a folder for saved-model.",
)
@click.option(
    "--batch",
    type=Batch(),
    default="dynamic",
    show_default=True,
    metavar="N|dynamic",
    help="Pictures a call.",
)
@click.option(
    "--check-on", metavar="DIR", help="Check on your pictures.  [default: synthetic ones]"
)
@click.option("--overwrite", is_flag=True, help="Make an existing export anew.")
@click.option("--weights", metavar="FILE", help="Weights for keras:NAME, instead of a download.")
@click.option("--labels", metavar="FILE", help="One label a line, for a model without labels.")
@shared.verbosity_options
def command(model: str, quiet: bool, **chosen) -> None:
    """Write a model for another engine, and check it by running it there.

    The export takes RGB pixels, uint8 (batch, height, width, 3), as `image`, and gives class
    probabilities, calibrated, as `probabilities`. PATH.json beside it says how pictures are
    fitted, and holds the labels.

    Before it gets its name the export is run on pictures beside the model itself. The exit
    status is 1 if they differ, and then nothing is left behind.
    """
    from cnnkit.cli.export_run import run

    failed = run(model, quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)
