"""What mkdocs does besides: the home page is README.md, the references list what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import cnnkit
from cnnkit.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Add README.md as the home page, its links as they are from there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=readme.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Write the entries of the two references, so that none can be forgotten."""
    if page.file.src_uri == "api.md":
        return markdown + "".join(f"\n::: cnnkit.{name}\n" for name in public_names())
    if page.file.src_uri == "commands.md":
        return markdown + "".join(map(command_entry, COMMANDS))
    return markdown.replace("](../README.md", "](index.md")


def public_names() -> list[str]:
    """Return every public name of `cnnkit`, classes and functions alike, by the alphabet."""
    names = [name for name in cnnkit.__all__ if not re.fullmatch("__.*__", name)]
    return sorted(names, key=str.lower)


def command_entry(name: str) -> str:
    """Return the directive that shows a command, and a group's own commands below it."""
    module, _ = COMMANDS[name]
    lines = [f":module: {module}", ":command: command", f":prog_name: cnnkit {name}"]
    lines += [":depth: 1", ":style: table", ":list_subcommands: true"]
    return "\n::: mkdocs-click\n" + "".join(f"    {line}\n" for line in lines)
