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
  cnnkit explain street.jpg --model yolov3-tiny --class car --overlays heat/
  cnnkit explain selfie.jpg --model dlib-face --with passport.jpg --overlays heat/
  cnnkit explain photos/ --model my-model/ --maps maps/ -o rows.jsonl --resume

\b
Methods:
  grad-cam     where the features speak for the class; a map of the last layer's places
  grad-cam++   the same, fairer to several things of one class
  gradients    how much the score moves with every pixel
  smoothgrad   the same, averaged under noise
  occlusion    how much the score drops where a patch is hidden
  sliding      the class's score in every window of the whole image
"""


@click.command("explain", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@shared.model_options("efficientnet-lite0")
@click.option(
    "--method", metavar="METHOD", help="See below.  [default: grad-cam; of detectors, occlusion]"
)
@click.option("--class", "class_name", metavar="NAME", help="Explain it.  [default: the predicted]")
@click.option(
    "--layer", metavar="NAME", help="For grad-cam and grad-cam++.  [default: the last with places]"
)
@click.option(
    "--scale", type=float, metavar="N", help="For sliding: image over window.  [default: 2]"
)
@click.option(
    "--box-share",
    type=float,
    default=0.2,
    show_default=True,
    metavar="S",
    help="The box encloses this share of the highest heat, and more.",
)
@click.option("--with", "reference", metavar="FILE", help="For faces: the image to compare with.")
@click.option("--overlays", metavar="DIR", help="The images with the heat over them.")
@click.option("--maps", metavar="DIR", help="The heat maps, .npy.")
@click.option(
    "--size",
    type=click.IntRange(min=16),
    default=1024,
    show_default=True,
    metavar="N",
    help="Longest side of an overlay.",
)
@shared.output_options
@shared.format_option()
@click.option("--report", metavar="FILE.html", help="A page to browse.")
@shared.null_separated_option
@shared.image_options
@shared.runtime_options
@shared.verbosity_options
def command(
    inputs: tuple[str, ...], null_separated: bool, quiet: bool, form: str | None, **chosen
) -> None:
    """Show what in an image speaks for its class: files, folders, patterns, or - for a list.

    One row for each input, in order: the class, its score, and the box around the heat. The exit
    status is 0 if all are ok, 1 if some failed, 2 if nothing could run.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.display import Display
    from cnnkit.commands.explain import explain
    from cnnkit.explanation.folders import TABLE

    to_file = bool(chosen["output"])
    with Display(form, to_file, quiet, TABLE, "explain", ("BOX", _box)) as display:
        summary = explain(paths, emit=display.show, progress=display.progress, **chosen)
    display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)


def _box(row: dict[str, Any]) -> str:
    return "no heat" if row["box"] is None else ", ".join(map(str, row["box"]))
