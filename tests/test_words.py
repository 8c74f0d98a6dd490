"""Words that must not come back: terms that the field does not use, and British spellings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from cnnkit.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
BANNED = (
    # one term for one thing
    r"pictures?",
    # as nobody says it
    r"a fault of cnnkit's own",
    r"must (?:not )?go with",
    r"pictures a call",
    r"on wish",
    r"guess(?:es|ed)?",
    r"anew",
    r"(?:go|goes|went|gone|going) on with",
    r"not to be had",
    r"came to",
    r"lost its way",
    r"does not suffice",
    r"images a call",
    r"told of",
    # American spelling
    r"learnt",
    r"(?:grey|colour)(?:s|ed|ing|scale)?",
    r"neighbour(?:s|ing|hood)?",
    r"enrol(?:s|ment)?",
    r"labell(?:ed|ing)",
    r"licence[sd]??",
    r"cent(?:re|res|red)",
    r"chequered",
    r"behaviour",
    r"artefacts?",
    r"favourite",
    r"analys(?:e|ed|ing)",
    r"(?:normal|optim|initial|general|serial|organ|recogn|visual|quant|minim|maxim|summar|special|"
    r"stabil|token|regular|parametr)is(?:e|es|ed|er|ers|ing|ation|ations)",
)
# A stored name is data: keys of files, option values, names of layers.
STORED = {"picture", "pictures", "normalise", "normalised", "optimisation", "--pictures"}
WORDS = re.compile(rf"(?<![\w|.-])(?:{'|'.join(BANNED)})(?![\w-])", re.IGNORECASE)
CODE = re.compile(r"`+[^`]*`+|\"pictures?\"")


def banned(text: str) -> list[str]:
    """Return the banned words of a text, each with what stands around it; but not in code."""
    text = " ".join(CODE.sub("``", text).split())
    return [text[max(0, m.start() - 30) : m.end() + 30] for m in WORDS.finditer(text)]


def pages() -> list[Path]:
    names = (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGES.md",
        "benchmarks/RESULTS.md",
        "examples/images/CREDITS.md",
    )
    return [*(ROOT / name for name in names), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_pages(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    assert banned(text) == []


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string of a module that is more than a stored name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value not in STORED:
                yield node.lineno, node.value


def modules() -> list[Path]:
    files = [*(ROOT / "cnnkit").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    return sorted([*files, *(ROOT / "docs").glob("*.py")])


def test_docstrings_and_messages() -> None:
    places = [
        (path, line, found)
        for path in modules()
        for line, text in texts_of(path)
        for found in banned(text)
    ]
    shown = [f"{path.relative_to(ROOT)}:{line}: {found}" for path, line, found in places]
    assert shown == []


def test_templates_of_reports() -> None:
    files = sorted((ROOT / "cnnkit" / "reports" / "templates").glob("*.jinja"))
    assert len(files) > 5
    texts = {p.name: re.sub(r"{{.*?}}|{%.*?%}", "", p.read_text(encoding="utf-8")) for p in files}
    shown = [f"{name}: {found}" for name, text in texts.items() for found in banned(text)]
    assert shown == []


def help_texts(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Yield each command's name and what its ``--help`` shows, those of a group included."""
    context = click.Context(command, info_name=name)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from help_texts(found, f"{name} {child}")


def test_help() -> None:
    commands = {name: import_module(module).command for name, (module, _) in COMMANDS.items()}
    texts = dict(pair for name, one in commands.items() for pair in help_texts(one, name))
    assert len(texts) > len(COMMANDS)
    assert {name: found for name, text in texts.items() if (found := banned(text))} == {}


@pytest.mark.parametrize("text", ["Two pictures.", "Made\nanew.", "COLOURS", "He went on with it"])
def test_what_is_banned_is_found(text: str) -> None:
    assert len(banned(text)) == 1


@pytest.mark.parametrize("text", ["The option `--pictures`.", "pictured", "a renewed center"])
def test_what_is_not_banned_is_left_alone(text: str) -> None:
    assert banned(text) == []
