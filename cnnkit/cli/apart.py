"""The check that every command makes first: none of its outputs is one of its inputs.

It knows the parameters of all commands by their names, which are the same everywhere; a test
goes through all commands and finds the ones that it does not know.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

# Parameters that name files or folders to write, each a file unless it is among the next ones.
OUTPUTS = (
    *("output", "outputs", "target", "report", "embeddings", "counts", "diagram", "json_file"),
    *("contact_sheet", "annotate", "crops", "overlays", "maps", "sheets", "sort_into"),
    "tensorboard",
)
# Folders that get a file for each picture: never the pictures' own.
PICTURE_FOLDERS = ("--crops", "--overlays", "--maps", "--sheets")
# These two may share a folder: their files end differently.
SHARING = ("--overlays", "--maps")
# Parameters that name what is read.
INPUTS = (
    *("inputs", "pictures", "photos", "data", "source", "validation_data", "styles", "mask"),
    *("start", "labels", "matrix", "kernel", "against", "learn_from", "pairs", "gallery"),
    *("passphrase_file", "reference", "boxes", "recipe", "augment", "split_file", "check_on"),
)
MODELS = ("model", "weights", "embedder", "detector", "backbone", "name")
# Folders that names are relative to: results may well be written into them.
ROOTS = ("root", "pictures")
TRAININGS = ("transfer-learn", "train-detector", "train-face", "train-style")
CHANGES_GALLERY = ("enroll", "calibrate", "forget")
MODEL_FILES = ("card.json", "labels.txt", "weights.safetensors", "model.keras")
_FORM = re.compile(r"(coco|voc|yolo):(?=.)", re.IGNORECASE)

Command = Callable[..., Any]
Named = tuple[str, str]


def keeps_inputs(function: Command) -> Command:
    """Make a command refuse outputs that are among its inputs, before it does anything."""

    @functools.wraps(function)
    def checked(*arguments: Any, **options: Any) -> Any:
        check(click.get_current_context())
        return function(*arguments, **options)

    checked.keeps_inputs = True  # type: ignore[attr-defined]
    return checked


def check(context: click.Context, listed: Iterable[str] = ()) -> None:
    """Refuse outputs that are inputs, each other, or in the way of inputs.

    Args:
        context: Of the command, its parameters read.
        listed: Inputs that came as a list on standard input.

    Raises:
        UsageError: Names both.
    """
    from cnnkit.writers import apart

    outputs = list(outputs_of(context))
    folders = [one for one in outputs if _is_picture_folder(context, *one)]
    outputs = [one for one in outputs if one not in folders]
    apart.check_places_differ(one for one in (*outputs, *folders) if one[0] not in SHARING)
    pictures = [path for name, path in inputs_of(context) if name == "the input"]
    pictures = [path for path in pictures if path != "-"] + list(listed)
    if _may_replace(context):
        _check_folders(folders, pictures)
    else:  # a file that exists, and a folder that holds any, are refused by the command itself
        outputs = [one for one in outputs if not os.path.isfile(one[1])]
    if context.command.name in TRAININGS:
        _check_outside(context, outputs)
    inputs = [*inputs_of(context), *(("the input", path) for path in listed)]
    apart.check_apart([*outputs, *_derived(outputs, folders)], inputs)
    if context.command.name in (*TRAININGS, "export"):
        for option, path in outputs:
            apart.check_replaced_folder(option, path, inputs)
    _check_files(outputs, pictures)


def _may_replace(context: click.Context) -> bool:
    """Return whether the command may write over what exists."""
    flags = ("overwrite", "resume")
    known = any(parameter.name in flags for parameter in context.command.params)
    return not known or any(context.params.get(flag) for flag in flags)


def outputs_of(context: click.Context) -> Iterator[Named]:
    """Yield what the options name to be written, each with its option."""
    changed = ("gallery",) if context.command.name in CHANGES_GALLERY else ()
    for parameter in context.command.params:
        if parameter.name in (*OUTPUTS, *changed):
            for value in _values(context, parameter):
                yield _spelled(parameter), _FORM.sub("", value, count=1)


def inputs_of(context: click.Context) -> Iterator[Named]:
    """Yield the files and folders that the command reads, each with what it is."""
    changed = ("gallery",) if context.command.name in CHANGES_GALLERY else ()
    for parameter in context.command.params:
        name = parameter.name
        if name in changed or (name in ROOTS and isinstance(parameter, click.Option)):
            continue
        if name not in (*INPUTS, *MODELS):
            continue
        for value in _values(context, parameter):
            path = _FORM.sub("", value, count=1)
            if name == "source" and os.path.isdir(path):
                continue  # annotations of another form may well lie beside: the command looks
            yield _spelled(parameter), path
            if name in MODELS and os.path.isdir(value):
                for file in MODEL_FILES:
                    yield _spelled(parameter), os.path.join(value, file)


def _values(context: click.Context, parameter: click.Parameter) -> list[str]:
    """Return the texts that a parameter has."""
    value = context.params.get(str(parameter.name))
    values = value if isinstance(value, tuple | list) else [value]
    return [one for one in values if isinstance(one, str) and one]


def _spelled(parameter: click.Parameter) -> str:
    """Return how a message calls a parameter."""
    if isinstance(parameter, click.Option):
        return parameter.opts[0]
    return "TO" if parameter.name == "target" else "the input"


def _derived(outputs: Iterable[Named], folders: Iterable[Named]) -> Iterator[Named]:
    """Yield what is written beside an output: journals, sidecars, class lists, weights."""
    for option, path in (*outputs, *folders):
        if os.path.isdir(path):
            names = ("rows.jsonl", "rows.jsonl.part", "plan.jsonl", "classes.txt", "data.yaml")
            yield from ((option, os.path.join(path, name)) for name in names)
            continue
        yield from ((option, f"{path}{suffix}") for suffix in (".part", ".json"))
        stem, suffix = os.path.splitext(path)
        if suffix.lower() == ".xml":
            yield option, f"{stem}.bin"


def _check_outside(context: click.Context, outputs: Iterable[Named]) -> None:
    """Refuse a model that would lie among the training data: it would be a class next time."""
    from cnnkit.errors import UsageError, broken_rule
    from cnnkit.writers import apart

    folders = {
        apart.identity(path): path
        for name, path in inputs_of(context)
        if name in ("the input", "--validation-data") and os.path.isdir(path)
    }
    for option, path in outputs:
        for one in apart.above(path):
            if one in folders:
                fix = "Choose a folder beside it."
                rule = "lie outside DATA"
                received = f"{path}, in {folders[one]}"
                raise UsageError(broken_rule(option, rule, received, fix))


def _check_files(outputs: Iterable[Named], pictures: list[str]) -> None:
    """Look through folders and patterns, if an output exists that could be found in them."""
    from cnnkit.images import Finder
    from cnnkit.writers import apart

    files = [(option, path) for option, path in outputs if _is_picture(path)]
    if files and pictures:
        apart.check_apart(files, (("the input", one.path) for one in Finder(pictures)))


def _check_folders(folders: list[Named], pictures: list[str]) -> None:
    """Refuse folders of results that are those of inputs, wherever a pattern finds these."""
    from cnnkit.images import Finder
    from cnnkit.writers import apart

    apart.check_not_beside(folders, pictures)
    exclude = [path for _, path in folders]
    if folders and pictures:
        found = (one.path for one in Finder(pictures, exclude=exclude) if one.failure is None)
        apart.check_not_beside(folders, found)


def _is_picture(path: str) -> bool:
    """Return whether there is a file that a scan of its folder would take for an image."""
    from cnnkit.images import has_picture_suffix, is_image_header
    from cnnkit.images.files import read_header
    from cnnkit.images.sniff import HEADER_BYTES

    if not os.path.isfile(path):
        return False
    return has_picture_suffix(path) or is_image_header(read_header(path, HEADER_BYTES))


def _is_picture_folder(context: click.Context, option: str, path: str) -> bool:
    """Return whether there is a folder that gets files named by the command, not by the user."""
    named = option in PICTURE_FOLDERS or context.command.name in ("detect", "activations")
    return named and os.path.isdir(path)
