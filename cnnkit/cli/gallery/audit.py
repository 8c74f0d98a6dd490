"""``cnnkit gallery audit``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared

# Seconds between two lines of progress where there is no terminal.
PAUSE = 20.0

EXAMPLES = """\b
Examples:
  cnnkit gallery audit team.gallery
  cnnkit gallery audit team.gallery --threshold 0.5 --json
"""


@click.command("audit", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.option(
    "--threshold",
    type=float,
    metavar="D",
    help="Distance below which faces count as similar.  [default: the gallery's]",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON Lines to standard output.")
@galleries.passphrase_options
@shared.verbosity_options
def command(
    gallery: str, threshold: float | None, as_json: bool, passphrase_file: str | None, quiet: bool
) -> None:
    """Find mislabeled photos, outliers, duplicates, and people who are too similar.

    Exit status: 1 if there are findings.
    """
    from cnnkit.faces.gallery.audit import audit
    from cnnkit.names import counted
    from cnnkit.writers.row_files import json_line
    from cnnkit.writers.terminal import printable

    with galleries.open_gallery(gallery, passphrase_file) as file:
        settings = file.settings.deciding(threshold, None)
        with progress("reading", sum(file.people().values()), quiet) as advance:
            photos = file.photos(advance)
    with progress("comparing", len(photos), quiet) as advance:
        findings = audit(photos, settings, advance)
    for finding in findings:
        if as_json:
            click.echo(json_line(finding.to_dict()), nl=False)
        else:
            click.echo(f"{finding.kind + ':':<13} {printable(finding.message)}")
    if not quiet and not as_json:
        verdict = counted(len(findings), "finding") if findings else "no findings"
        click.echo(f"{printable(gallery)}: {counted(len(photos), 'photo')}, {verdict}", err=True)
    click.get_current_context().exit(1 if findings else 0)


@contextmanager
def progress(name: str, count: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show the progress of a stage: a bar in a terminal, occasional lines elsewhere.

    Args:
        name: Name of the stage.
        count: Total number of photos.
        quiet: Nothing is shown.

    Yields:
        A function of the number of photos finished since the last call.
    """
    watched = sys.stderr.isatty()
    started = told = time.monotonic()
    done = 0
    with click.progressbar(
        length=count,
        label=f"{name:<10}",
        file=sys.stderr,
        hidden=not watched or quiet,
        show_pos=True,
    ) as bar:

        def advance(more: int) -> None:
            nonlocal done, told
            done += more
            bar.update(more)
            now = time.monotonic()
            if not watched and not quiet and now - told >= PAUSE:
                told = now
                left = (now - started) / max(1, done) * (count - done)
                line = f"{name}: {done:,} of {count:,} photos, about {left:,.0f} s left"
                click.echo(line, err=True)

        yield advance
