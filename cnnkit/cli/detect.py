"""``cnnkit detect``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared
from cnnkit.errors import UsageError, broken_rule

AGNOSTIC_HINT = "To suppress across all classes, put --agnostic after INPUT."

EXAMPLES = """\b
Examples:
  cnnkit detect photos/
  cnnkit detect photos/ -o rows.jsonl -o coco:found.json --annotate drawn/
  cnnkit detect photos/ --classes person,dog --confidence 0.3 --confidence dog=0.5
  cnnkit detect photos/ --where "person>=1 and not dog" --sort-into people/
  cnnkit detect aerial/ --tile --report found.html
  cnnkit detect clip.mp4 --track --counts counts.csv -o rows.jsonl
  cnnkit detect photos/ --agnostic=car+truck+bus --counts counts.csv
"""


@click.command("detect", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@shared.model_options("nanodet-g")
@click.option(
    "--confidence",
    multiple=True,
    metavar="P|CLASS=P",
    help="Minimum score, for all classes or for one.  [default: the model's own, or 0.25]",
)
@click.option(
    "--iou",
    type=float,
    metavar="P",
    help="IoU threshold of non-maximum suppression.  [default: the model's own, or 0.45]",
)
@click.option(
    "--classes",
    multiple=True,
    metavar="NAMES",
    help="Detect only these classes, such as person,dog.",
)
@click.option(
    "--agnostic",
    is_flag=False,
    flag_value="",
    metavar="[GROUPS]",
    help="Suppress overlapping boxes across classes: all, or groups such as car+truck,cat+dog.",
)
@click.option(
    "--tile",
    is_flag=False,
    flag_value="0",
    metavar="[PIXELS]",
    help="Also search overlapping tiles of this size.  [without PIXELS: the input size]",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help='Keep only images that match, such as "person>=1 and not dog".',
)
@click.option("--track", is_flag=True, help="Videos: number the objects, the same in every frame.")
@shared.frame_options
@shared.box_output_options
@shared.format_option()
@click.option(
    "--annotate",
    metavar="DIR|FILE.mp4",
    help="Folder for the images and videos with boxes drawn; FILE.mp4 for one video.",
)
@click.option(
    "--crops", metavar="DIR", help="Folder for the cropped objects, one subfolder per class."
)
@click.option(
    "--counts",
    metavar="FILE.csv",
    help="CSV of object counts per class, one line per image; with --track, per video.",
)
@click.option("--report", metavar="FILE.html", help="HTML report with thumbnails and boxes.")
@shared.sorting_options("Sort images into folders by the class with the highest score.")
@shared.column_option
@shared.shard_option
@shared.engine_options
@shared.null_separated_option
@lambda function: shared.image_options(function, fits="pad|stretch")
@shared.runtime_options
@shared.verbosity_options
def command(
    inputs: tuple[str, ...], null_separated: bool, quiet: bool, form: str | None, **chosen: Any
) -> None:
    """Detect objects in images: files, folders, patterns, or - for a list on standard input.

    Writes one row per input, in order, to standard output or to -o FILE. Exit status: 0 if all
    inputs succeeded, 1 if some failed, 2 if the command could not run.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.detection.written import confidence_of, groups_of, parts

    chosen |= {
        "confidence": confidence_of(chosen["confidence"]),
        # An empty list would mean all of them.
        "classes": parts(chosen["classes"]) or ([""] if chosen["classes"] else []),
        "agnostic": groups_of(chosen["agnostic"]),
        "tile": tile_of(chosen["tile"]),
    }
    from cnnkit.cli.display import DetectionLayout, Display
    from cnnkit.commands.detect import detect
    from cnnkit.commands.frames import frame_table
    from cnnkit.writers.row_tables import DetectionTable

    to_file = bool(chosen["output"])
    table = frame_table(DetectionTable(chosen["track"]), paths, chosen)
    with Display(form, to_file, quiet, table, task="detect", layout=DetectionLayout) as display:
        try:
            summary = detect(paths, emit=display.show, progress=display.progress, **chosen)
        except UsageError as error:
            if error.parameter != "agnostic":
                raise
            raise UsageError(f"{error} {AGNOSTIC_HINT}") from error
    display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)


def tile_of(value: str | None) -> int | None:
    """Return the side of the tiles, 0 for the network's own, None for no tiles.

    Raises:
        UsageError: It is not a number.
    """
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 7):
        fix = "To use the default size, put --tile after INPUT."
        raise UsageError(broken_rule("--tile", "be a number of pixels", repr(value), fix))
    return int(value)
