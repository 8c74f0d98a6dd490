"""``cnnkit gallery audit``."""

from __future__ import annotations

import click

from cnnkit.cli import gallery_options
from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit gallery audit team.gallery
  cnnkit gallery audit team.gallery --threshold 0.5 --json
"""


@click.command("audit", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.option(
    "--threshold", type=float, metavar="D", help="What counts as near.  [default: the gallery's]"
)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines.")
@gallery_options.passphrase_options
@shared.verbosity_options
def command(gallery: str, quiet: bool, **chosen) -> None:
    """Look for photos under the wrong name, outliers, copies, and people too alike.

    The exit status is 1 if there is something to look at.
    """
    from cnnkit.cli.gallery_audit_run import run

    found = run(gallery, quiet=quiet, **chosen)
    click.get_current_context().exit(1 if found else 0)
