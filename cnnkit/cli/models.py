"""``cnnkit models``: the embedded models, their cards, and the integrity of their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cnnkit.cli.flags import with_flags
from cnnkit.cli.options import verbosity_options

EXAMPLES = """\b
Examples:
  cnnkit models list
  cnnkit models show efficientnet-lite0
  cnnkit models verify
"""


@click.group("models", epilog=EXAMPLES)
def command() -> None:
    """List, show, and verify models: the embedded ones or your own bundles."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON Lines to standard output.")
@verbosity_options
def list_models(quiet: bool, as_json: bool) -> None:
    """List the embedded models."""
    from cnnkit.bundles import embedded_folder, embedded_names, read_card
    from cnnkit.writers.terminal import fitted

    for name in embedded_names():
        card = read_card(embedded_folder(name) / "card.json")
        if as_json:
            row = {"name": name, "task": card.task, "classes": card.classes}
            click.echo(json.dumps(row | {"license": card.content.get("license")}))
            continue
        parameters = card.weights.get("parameters", 0) / 1e6
        size = f"{card.input.width}x{card.input.height}"
        click.echo(
            f"{fitted(name, 20)} {fitted(card.task, 10)} {size:>9} {parameters:6.2f} M  "
            f"{card.description}"
        )


@command.command("show")
@click.argument("name", metavar="NAME|BUNDLE")
@click.option("--json", "as_json", is_flag=True, help="Write the card as JSON.")
@verbosity_options
def show_model(quiet: bool, name: str, as_json: bool) -> None:
    """Show a model card: input, classes, license, source, measured metrics."""
    from cnnkit.bundles import read_card

    card = read_card(_folder(name) / "card.json")
    if as_json:
        click.echo(json.dumps(card.content, indent=2, ensure_ascii=False))
        return
    for line in _lines(card.content):
        click.echo(line)


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME|BUNDLE]...")
@verbosity_options
def verify_models(quiet: bool, names: tuple[str, ...]) -> None:
    """Check that model files match their cards.

    Exit status: 0 if all files match, 1 if not.
    """
    from cnnkit.bundles import embedded_names, open_model
    from cnnkit.errors import CnnkitError

    failed = 0
    for name in names or embedded_names():
        try:
            open_model(name)
        except CnnkitError as error:
            failed += 1
            click.echo(f"{name}: {with_flags(str(error))}")
        else:
            click.echo(f"{name}: ok")
    click.get_current_context().exit(1 if failed else 0)


def _folder(name: str) -> Path:
    from cnnkit.bundles import embedded_folder, embedded_name, embedded_names
    from cnnkit.errors import UsageError, broken_rule, did_you_mean

    embedded = embedded_name(name)
    if embedded is not None:
        return embedded_folder(embedded)
    if Path(name).is_dir():
        return Path(name)
    fix = did_you_mean(name, embedded_names()) or f"Embedded: {', '.join(embedded_names())}."
    raise UsageError(broken_rule("NAME", "be an embedded model or a bundle folder", name, fix))


def _lines(content: Any, indent: str = "") -> list[str]:
    """Return a card as indented ``key: value`` lines."""
    from cnnkit.writers.terminal import printable

    lines: list[str] = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines += [f"{indent}{printable(key)}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{indent}{printable(key)}:")
            for item in value:
                text = ", ".join(f"{k} {v}" for k, v in item.items())
                lines.append(f"{indent}  - {printable(text)}")
        else:
            lines.append(f"{indent}{printable(key)}: {printable(str(value))}")
    return lines
