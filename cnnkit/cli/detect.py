"""``cnnkit detect``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

EXAMPLES = """\b
Examples:
  cnnkit detect photos/
  cnnkit detect photos/ -o rows.jsonl -o coco:found.json --annotate drawn/
  cnnkit detect photos/ --classes person,dog --confidence 0.3 --confidence dog=0.5
  cnnkit detect photos/ --where "person>=1 and not dog" --sort-into people/
  cnnkit detect aerial/ --tile --report found.html
  cnnkit detect photos/ --agnostic=car+truck+bus --counts counts.csv
"""


@click.command("detect", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@shared.model_options("yolov3-tiny")
@click.option(
    "--confidence",
    multiple=True,
    metavar="P|CLASS=P",
    help="Lowest score, of all classes or of one.  [default: the model's own, 0.25]",
)
@click.option("--iou", type=float, metavar="P", help="Overlap of two objects.  [default: 0.45]")
@click.option("--classes", multiple=True, metavar="NAMES", help="Only these, as in person,dog.")
@click.option(
    "--agnostic",
    is_flag=False,
    flag_value="",
    metavar="[GROUPS]",
    help="One box an object, whatever its class; or within groups, as in car+truck,cat+dog.",
)
@click.option(
    "--tile",
    is_flag=False,
    flag_value="0",
    metavar="[PIXELS]",
    help="Overlapping tiles as well as the whole.  [tiles of the network's own size]",
)
@click.option("--where", metavar="CONDITION", help='Only pictures like "person>=1 and not dog".')
@shared.box_output_options
@shared.format_option()
@click.option("--annotate", metavar="DIR", help="The pictures with boxes drawn.")
@click.option("--crops", metavar="DIR", help="Each object cut out, in a folder by class.")
@click.option("--counts", metavar="FILE.csv", help="How many of each class, a line a picture.")
@click.option("--report", metavar="FILE.html", help="A page with thumbnails and boxes.")
@shared.sorting_options("Put pictures into folders by surest class.")
@shared.null_separated_option
@lambda function: shared.picture_options(function, fits="pad|stretch")
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(inputs: tuple[str, ...], null_separated: bool, quiet: bool, **chosen) -> None:
    """Find the objects in pictures: files, folders, patterns, or - for a list.

    Rows go to standard output, or to -o FILE: one for each input, in order, `ok` or `error`.
    The exit status is 0 if all are ok, 1 if some failed, 2 if nothing could run.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.detect_run import run

    failed = run(paths, quiet=quiet, **chosen)
    click.get_current_context().exit(1 if failed else 0)
