"""``cnnkit gallery calibrate``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

if TYPE_CHECKING:
    from cnnkit.faces.gallery.calibrating import Calibrated

EXAMPLES = """\b
Examples:
  cnnkit gallery calibrate team.gallery people/
  cnnkit gallery calibrate team.gallery people/ --far 0.0001
  cnnkit gallery calibrate team.gallery people/ --dry-run --json
"""


@click.command("calibrate", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("data", metavar="DATA")
@click.option(
    "--far",
    type=float,
    default=0.001,
    show_default=True,
    metavar="P",
    help="Target false accept rate.",
)
@click.option("--dry-run", is_flag=True, help="Show the result without changing the gallery.")
@click.option(
    "--json", "as_json", is_flag=True, help="Write the result as JSON to standard output."
)
@click.option(
    "--faces",
    type=click.Choice(["one", "largest"]),
    default="one",
    show_default=True,
    help="For photos with several faces: one skips them, largest uses the largest face.",
)
@galleries.passphrase_options
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(
    gallery: str,
    data: str,
    far: float,
    dry_run: bool,
    as_json: bool,
    faces: str,
    passphrase_file: str | None,
    workers: int | None,
    quiet: bool,
    **of_embedder: Any,
) -> None:
    """Calibrate the threshold for a false accept rate on your own photos, and save it.

    DATA has one subfolder per person, preferably with other photos than those enrolled. Exit
    status: 1 if there are too few pairs to measure the rate; then the gallery is not changed.
    """
    from cnnkit.faces.gallery import Gallery
    from cnnkit.writers.terminal import printable

    with galleries.open_gallery(gallery, passphrase_file) as file:
        opened = Gallery(file, galleries.open_embedder(file, **of_embedder))
        found = opened.calibrate(data, far, faces=faces, dry_run=dry_run, workers=workers)
        people = len(opened.people())
    kept = found.enough and not dry_run
    if as_json:
        click.echo(json.dumps(found.to_dict() | {"kept": kept}))
    else:
        for line in lines(found, people, printable(gallery), kept):
            click.echo(line)
    click.get_current_context().exit(0 if found.enough else 1)


def lines(found: Calibrated, people: int, gallery: str, kept: bool) -> Iterator[str]:
    """Yield the result as lines of text."""
    from cnnkit.names import counted

    yield (
        f"{counted(found.photos, 'photo')} of {counted(found.people, 'person')}: "
        f"{counted(found.same_pairs, 'same-person pair')}, "
        f"{counted(found.different_pairs, 'different-person pair')}"
    )
    wrong, right = found.false_accepts, found.true_accepts
    yield (
        f"threshold {found.threshold:.4f} for a false accept rate of {found.far:g} "
        f"(95% CI over people: {found.threshold_low:.4f} to {found.threshold_high:.4f})"
    )
    yield f"  false accept rate {wrong.share:.4%} (95% CI {wrong.low:.4%} to {wrong.high:.4%})"
    yield f"  true accept rate {right.share:.2%} (95% CI {right.low:.2%} to {right.high:.2%})"
    yield "  The intervals assume independent pairs; pairs share people, so they are too narrow."
    if people > 1:
        chance, most = (1 - (1 - rate) ** people for rate in (wrong.share, wrong.high))
        yield (
            f"  A stranger is accepted as one of {people:,} enrolled people in about "
            f"{chance:.1%} of cases, or up to {most:.1%}."
        )
    if not found.enough:
        least = rounded_up(found.lowest_rate)
        other = f", or --far {least:g} or higher" if least < 1 else ""
        yield (
            f"Too few pairs: {found.different_pairs:,} different-person pairs cannot measure a "
            f"rate below {least:g}. Nothing was saved. Use photos of more people{other}."
        )
    else:
        yield f"{gallery}: {'threshold saved' if kept else 'unchanged (--dry-run)'}"


def rounded_up(rate: float) -> float:
    """Return a rate with two digits that is not below it: the one that is advised must do."""
    exact = Decimal(str(rate))
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), ROUND_CEILING))
