"""``cnnkit doctor``."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared

if TYPE_CHECKING:
    from cnnkit.diagnosis.boxes import BoxExamination
    from cnnkit.diagnosis.classes import Examination
    from cnnkit.diagnosis.findings import Finding, Place

COLORS = {"error": "red", "warning": "yellow", "note": "blue"}
MARGIN = 9
FILES_SHOWN = 4
CLASSES_SHOWN = 6

EXAMPLES = """\b
Examples:
  cnnkit doctor photos/
  cnnkit doctor labels.csv --root images/ --report doctor.html
  cnnkit doctor coco:instances.json --pictures images/
  cnnkit doctor photos/ --json | python -m json.tool
"""


@click.command("doctor", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@shared.csv_root_option
@click.option(
    "--images",
    "--pictures",
    "images",
    metavar="DIR",
    help="Folder of the annotated images.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", "classify", "detect"]),
    default="auto",
    show_default=True,
    help="Task of the dataset: classify for class folders or a CSV, detect for boxes.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Write all findings as JSON to standard output."
)
@click.option("--report", metavar="FILE.html", help="HTML report with thumbnails.")
@click.option("--overwrite", is_flag=True, help="Overwrite an existing report.")
@shared.max_pixels_option("Count larger images as unreadable.  [default: about 179 million]")
@shared.workers_option("Threads that read images.  [default: number of CPUs]")
@shared.verbosity_options
def command(quiet: bool, as_json: bool, **options: Any) -> None:
    """Find problems in a dataset before training.

    DATA is a folder with one subfolder per class; or a folder with train/ and val/ (and test/)
    of that form; or a CSV with the columns file, label, and optionally split.

    Reports unreadable files, exact and near duplicates (mirrored ones too), images shared
    between splits or classes, wrong file extensions, images rotated by EXIF, tiny and blank
    images, classes with too few images, class imbalance, and classes that differ between
    splits. No file is changed.

    DATA may also be images with boxes in COCO JSON, Pascal VOC XML, or YOLO text format; use the
    prefix coco:, voc:, or yolo: where the format is ambiguous. Reports boxes outside the image,
    empty, inverted, duplicate, of unknown classes, or of missing images.

    Exit status: 1 if an error or a warning would hurt training, otherwise 0.
    """
    from cnnkit.cli.display import counting
    from cnnkit.commands.doctor import doctor

    started, count = time.monotonic(), 0
    with counting("doctor", quiet) as bar:

        def progress(done: int, total: int) -> None:
            nonlocal count
            count = total
            if bar is not None:
                bar(done, total)

        found = doctor(**options, progress=progress)
    seconds = time.monotonic() - started
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        for line in lines(found, shutil.get_terminal_size((100, 24)).columns):
            click.echo(line)
    if not quiet:
        click.echo(f"{count:,} images read in {seconds:.1f} s; no file was changed", err=True)
    click.get_current_context().exit(1 if found.hurts else 0)


def lines(found: Examination | BoxExamination, width: int) -> Iterator[str]:
    """Yield the examination as text, `width` columns wide."""
    yield _head(found)
    for finding in found.findings:
        yield from _finding_lines(finding, width)
    yield _verdict(found)


def _head(found: Examination | BoxExamination) -> str:
    """Return one line that summarizes the dataset."""
    from cnnkit.writers.terminal import printable

    content = found.to_dict()
    data, known = content["data"], content["classes"]
    noun = "boxes" if "boxes" in data else "pictures"
    classes = ", ".join(f"{printable(c['label'])} {c[noun]:,}" for c in known[:CLASSES_SHOWN])
    more = len(known) - CLASSES_SHOWN
    classes += f" and {more:,} more" if more > 0 else ""
    boxes = f" {data['boxes']:,} boxes," if "boxes" in data else ""
    head = f"{printable(data['path'])}: {data['pictures']:,} images,{boxes} {len(known):,}"
    return f"{head} class{'' if len(known) == 1 else 'es'} ({classes})"


def _finding_lines(finding: Finding, width: int) -> Iterator[str]:
    from cnnkit.writers.terminal import printable

    severity = click.style(f"{finding.severity:<{MARGIN}}", fg=COLORS[finding.severity], bold=True)
    code = click.style(f"  [{finding.code}]", dim=True)
    yield f"{severity}{printable(finding.message)}{code}"
    room = max(30, width - MARGIN - 2)
    for group in finding.groups[:FILES_SHOWN]:
        yield f"{'':{MARGIN}}  {_group_line(group, room)}"
    if len(finding.groups) > FILES_SHOWN:
        yield f"{'':{MARGIN}}  and {len(finding.groups) - FILES_SHOWN:,} more"
    yield click.style(f"{'':{MARGIN}}{printable(finding.fix)}", dim=True)


def _group_line(group: tuple[Place, ...], room: int) -> str:
    """Return one file with its detail, or copies side by side."""
    from cnnkit.writers.terminal import display_width, fitted, printable

    if len(group) > 1:
        paths = " = ".join(printable(place.path) for place in group)
        return fitted(paths, room).rstrip() if display_width(paths) > room else paths
    path, detail = printable(group[0].path), printable(group[0].detail)
    left = room - display_width(detail) - 2
    if left < 16:
        return fitted(f"{path}  {detail}", room).rstrip()
    shown = fitted(path, left, keep_end=True).rstrip() if display_width(path) > left else path
    return f"{shown}  {click.style(detail, dim=True)}" if detail else shown


def _verdict(found: Examination | BoxExamination) -> str:
    counts = found.to_dict()["summary"]
    parts = [
        f"{number} {name}{'' if number == 1 else 's'}" for name, number in counts.items() if number
    ]
    if found.hurts:
        return click.style(f"{', '.join(parts)}: fix before training.", bold=True)
    said = f"{', '.join(parts)}: nothing" if parts else "Found nothing"
    return click.style(f"{said} that would hurt training.", bold=True)
