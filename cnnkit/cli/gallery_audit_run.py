"""What ``cnnkit gallery audit`` does once its options are read."""

from __future__ import annotations

import json
import sys

import click

from cnnkit.cli.gallery_run import open_gallery
from cnnkit.faces.gallery.audit import audit
from cnnkit.writers.terminal import printable


def run(
    path: str,
    *,
    quiet: bool,
    threshold: float | None,
    as_json: bool,
    passphrase_file: str | None,
) -> int:
    """Compare all photos, show the findings, and return how many there are."""
    with open_gallery(path, passphrase_file) as gallery:
        settings, photos = gallery.settings.deciding(threshold, None), gallery.photos()
    watched = sys.stderr.isatty() and not quiet
    with click.progressbar(
        length=len(photos), label="audit", file=sys.stderr, hidden=not watched
    ) as bar:
        findings = audit(photos, settings, bar.update)
    for finding in findings:
        if as_json:
            click.echo(json.dumps(finding.to_dict(), ensure_ascii=False))
        else:
            click.echo(f"{finding.kind + ':':<13} {printable(finding.message)}")
    if not quiet and not as_json:
        verdict = f"{len(findings):,} things to look at" if findings else "nothing to look at"
        click.echo(f"{printable(path)}: {len(photos):,} photos, {verdict}", err=True)
    return len(findings)
