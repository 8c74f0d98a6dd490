"""The library's parameters as the running command's options, in errors and in messages."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner

from cnnkit.cli import flags, group
from cnnkit.cli.options import verbosity_options

Run = Callable[..., subprocess.CompletedProcess[str]]


def leaves(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield names, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from leaves(below, *names, name)


COMMANDS = dict(leaves(group))


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("classify", "`top_k` must be at least 1.", "--top-k must be at least 1."),
        ("classify", "Use `overwrite=True`.", "Use --overwrite."),
        ("classify", "`output` must name a file.", "-o must name a file."),
        ("detect", "`output` must name a file.", "-o must name a file."),
        ("stylize", "`size=320`, or `tile='auto'`.", "--size 320, or --tile auto."),
        ("stylize", "`styles` is required.", "--style is required."),
        ("explain", "`class_name` or `classes`", "--class or `classes`"),
        ("export", "`format='onnx'` of `model`", "--format onnx of BUNDLE"),
        ("export", "`model='keras:NAME'` must", "keras:NAME must"),
        ("shapes", "`input_shape` must", "--input must"),
        ("train-detector", "`average=False`", "--no-average"),
        ("transfer-learn", "lie outside `data`", "lie outside DATA"),
        ("convert-boxes", "`source` and `target`", "FROM and TO"),
        ("gallery enroll", "`inputs` must", "PEOPLE must"),
        ("gallery forget", "`names` must", "NAME must"),
        ("classify", "`a b`, ``top_k`` and `TOP_K`", "`a b`, `--top-k` and `TOP_K`"),
    ],
)
def test_parameters_become_options(command: str, text: str, expected: str) -> None:
    assert flags.with_flags(text, COMMANDS[tuple(command.split())]) == expected


@pytest.mark.parametrize("command", COMMANDS.values(), ids=map(" ".join, COMMANDS))
def test_every_command_is_remembered(command: click.Command) -> None:
    assert {"quiet", "verbose"} <= {parameter.name for parameter in command.params}


def test_messages_of_all_threads_name_the_running_command_s_options() -> None:
    @click.command()
    @click.option("--how-many", "count")
    @verbosity_options
    def command(count: str | None, quiet: bool) -> None:
        message = "Give a larger %s."
        say = threading.Thread(
            target=lambda: logging.getLogger("cnnkit").warning(message, "`count`")
        )
        say.start()
        say.join()

    assert CliRunner().invoke(command, []).stderr == "cnnkit: Give a larger --how-many.\n"


def test_an_error_names_the_option(run_cnnkit: Run) -> None:
    done = run_cnnkit("classify", "x.jpg", "--model", "no-such-model")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cnnkit: error: --model must name an embedded model")
