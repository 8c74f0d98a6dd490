"""Every command is the projection of a public function: the same parameters, the same defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest

import cnnkit
from cnnkit.cli import group

# Each command and its functions in `cnnkit`, one for each way to use the command.
FUNCTIONS = {
    "classify": ("classify",),
    "detect": ("detect",),
    "stylize": ("stylize",),
    "explain": ("explain",),
    "verify-face": ("verify_images", "verify_claim", "verify_pairs"),
    "gallery identify": ("identify",),
    "gallery cluster": ("cluster_faces",),
    "transfer-learn": ("transfer_learn",),
    "train-style": ("train_style",),
    "train-detector": ("train_detector",),
    "train-face": ("train_face",),
    "evaluate": ("evaluate",),
    "export": ("export",),
    "doctor": ("doctor",),
    "dedupe": ("dedupe",),
    "augment": ("augment",),
    "convert-boxes": ("convert_boxes",),
    "merge": ("merge",),
    "visualize filters": ("visualize_filters",),
    "visualize activations": ("visualize_activations",),
    "visualize patches": ("visualize_patches",),
    "visualize dream": ("visualize_dream",),
    "experiment residual": ("experiment_residual",),
    "convolve": ("convolve", "convolve_matrix", "compare_matrices", "learn_filter"),
    "network": ("network", "list_networks"),
    "search": ("search",),
    "serve": ("serve",),
    "shapes": ("shapes",),
    "models import": ("import_model",),
    "models list": ("list_models",),
    "models show": ("model_card",),
    "models verify": ("verify_models",),
}
# Commands whose Python side is the methods of `cnnkit.Gallery`.
WITHOUT_FUNCTION = {
    *("gallery enroll", "gallery list", "gallery forget", "gallery rename"),
    *("gallery calibrate", "gallery audit"),
}
# What concerns standard input, standard output, messages and the exit status only.
OF_THE_TERMINAL = {
    *("quiet", "as_json", "form", "null_separated", "brief", "everything", "listed"),
    *("assert_accuracy", "assert_macro_f1", "assert_ap50", "assert_auc"),
}
# What a program gives in the place of a terminal.
OF_A_PROGRAM = {"emit", "progress", "watch"}
# What the command does besides: these are parameters of `cnnkit.Gallery.load`.
BESIDES = {
    "serve": {"passphrase_file"},
    "verify-face": {"passphrase_file"},
    "gallery identify": {
        *("passphrase_file", "threshold", "margin", "faces", "embedder", "detector", "min_face"),
        *("min_score", "mirror", "max_pixels", "device", "runtime", "precision", "threads"),
    },
}
# A function has no default before a parameter that is required; its command may have one.
REQUIRED_IN_PYTHON = {
    *(("evaluate", "model"), ("network", "name")),
    *(("verify-face", name) for name in ("pairs", "claimed", "gallery")),
    *(("convolve", name) for name in ("output", "matrix", "against", "learn_from")),
}


def commands(of: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield the full name of every command that is no group."""
    for name in of.list_commands(click.Context(of)):
        command = of.get_command(click.Context(of), name)
        assert command is not None
        if isinstance(command, click.Group) and f"{above}{name}" not in WITHOUT_FUNCTION:
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


COMMANDS = dict(commands(group))
PROJECTIONS = sorted(FUNCTIONS)
PUBLIC = [name for name in cnnkit.__all__ if inspect.isfunction(getattr(cnnkit, name))]


def functions_of(name: str) -> list[Callable[..., Any]]:
    """Return the functions that a command projects."""
    return [getattr(cnnkit, one) for one in FUNCTIONS.get(name, ())]


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def default_of(command: click.Command, parameter: click.Parameter) -> object:
    """Return what a command's function is given where the user says nothing."""
    context = click.Context(command)
    value = parameter.get_default(context)
    if value is None or type(value).__name__ == "Sentinel":  # how click 8.3 says that it has none
        return None
    return parameter.type_cast_value(context, value)


def test_every_command_is_accounted_for() -> None:
    assert set(COMMANDS) == {*FUNCTIONS} | WITHOUT_FUNCTION
    assert {name for names in FUNCTIONS.values() for name in names} <= set(cnnkit.__all__)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_command_has_the_parameters_of_its_functions(name: str) -> None:
    known = {str(p.name): p for p in COMMANDS[name].params}
    known.pop("verbose", None)
    of_functions = set().union(*(parameters(one) for one in functions_of(name)))
    besides = OF_THE_TERMINAL | BESIDES.get(name, set())
    assert set(known) - besides == of_functions - OF_A_PROGRAM


@pytest.mark.parametrize(
    ("name", "function"), [(name, one) for name in PROJECTIONS for one in functions_of(name)]
)
def test_a_command_has_the_defaults_of_its_function(
    name: str, function: Callable[..., Any]
) -> None:
    command = COMMANDS[name]
    for parameter in command.params:
        if (own := parameters(function).get(str(parameter.name))) is None:
            continue
        if own.default is inspect.Parameter.empty:
            if (name, own.name) not in REQUIRED_IN_PYTHON:
                assert parameter.required or parameter.nargs == -1, own.name
        elif getattr(parameter, "multiple", False):  # which click gives as an empty tuple
            assert own.default in (None, ()), own.name
        else:
            assert (own.name, default_of(command, parameter)) == (own.name, own.default)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_function_is_typed_and_takes_no_nameless_arguments(name: str) -> None:
    function = getattr(cnnkit, name)
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty
    for parameter in parameters(function).values():
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        assert parameter.annotation not in (inspect.Parameter.empty, "Any"), parameter.name
        if parameter.name in OF_A_PROGRAM:
            assert parameter.default is None
