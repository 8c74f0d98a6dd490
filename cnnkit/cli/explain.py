"""``cnnkit explain``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit explain photos/ --overlays heat/
  cnnkit explain photos/ -o rows.csv --overlays heat/ --report explained.html
  cnnkit explain cat.jpg --class tabby --method grad-cam++ --overlays heat/
  cnnkit explain street.jpg --method sliding --class minibus --overlays heat/
  cnnkit explain street.jpg --model nanodet-g --class car --overlays heat/
  cnnkit explain selfie.jpg --model dlib-face --with passport.jpg --overlays heat/
  cnnkit explain photos/ --model my-model/ --maps maps/ -o rows.jsonl --resume

\b
Methods:
  grad-cam     where the features of the last spatial layer support the class
  grad-cam++   the same, better for several objects of one class
  gradients    how much the score changes with each pixel
  smoothgrad   the same, averaged over noisy copies
  occlusion    how much the score drops when a patch is hidden
  sliding      the class score of every window of the whole image
"""


@click.command("explain", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@shared.model_options("efficientnet-lite0")
@click.option(
    "--method",
    metavar="METHOD",
    help="Method; see below.  [default: grad-cam; occlusion for detectors]",
)
@click.option(
    "--class",
    "class_name",
    metavar="NAME",
    help="Class to explain.  [default: the predicted class]",
)
@click.option(
    "--layer",
    metavar="NAME",
    help="Layer for grad-cam and grad-cam++.  [default: the last spatial layer]",
)
@click.option(
    "--scale",
    type=float,
    metavar="N",
    help="For sliding: image size as a multiple of the window.  [default: 2]",
)
@click.option(
    "--box-share",
    type=float,
    default=0.2,
    show_default=True,
    metavar="S",
    help="Heat threshold of the box, as a fraction of the maximum.",
)
@click.option(
    "--with", "reference", metavar="FILE", help="Image to compare with, for a face embedding model."
)
@click.option("--overlays", metavar="DIR", help="Folder for the images with the heat map overlaid.")
@click.option("--maps", metavar="DIR", help="Folder for the heat maps as .npy files.")
@click.option(
    "--size",
    type=click.IntRange(min=16),
    default=1024,
    show_default=True,
    metavar="N",
    help="Longest side of an overlay, in pixels.",
)
@shared.frame_options
@shared.output_options
@shared.format_option()
@click.option("--report", metavar="FILE.html", help="HTML report.")
@shared.column_option
@shared.shard_option
@shared.engine_options
@shared.null_separated_option
@shared.image_options
@shared.runtime_options_in(
    "auto|float32|bfloat16|int8", "int8: occlusion only, models with activation ranges."
)
@shared.verbosity_options
def command(
    inputs: tuple[str, ...], null_separated: bool, quiet: bool, form: str | None, **chosen: Any
) -> None:
    """Show which image regions drive a prediction: files, folders, patterns, or - for a list.

    Writes one row per input, in order: the class, its score, and the box around the heat. Exit
    status: 0 if all inputs succeeded, 1 if some failed, 2 if the command could not run.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.display import Display
    from cnnkit.commands.explain import explain
    from cnnkit.commands.frames import frame_table
    from cnnkit.explanation.folders import TABLE

    to_file = bool(chosen["output"])
    table = frame_table(TABLE, paths, chosen)
    with Display(form, to_file, quiet, table, "explain", ("BOX", _box)) as display:
        summary = explain(paths, emit=display.show, progress=display.progress, **chosen)
    display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)


def _box(row: dict[str, Any]) -> str:
    return "no heat" if row["box"] is None else ", ".join(map(str, row["box"]))
