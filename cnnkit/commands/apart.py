"""The check that every command makes first: its outputs and inputs are named and lie apart.

It knows the parameters of all commands by their names, which are the same everywhere; a test
goes through all commands and finds the ones that it does not know.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from cnnkit.argument_types import hold_to_types, is_unordered
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.storage.places import container_suffix, is_url, scheme_of, split_member
from cnnkit.storage.remote import has_magic, key_of, matches
from cnnkit.storage.writing import check_target
from cnnkit.writers import apart
from cnnkit.writers.claims import holding_claims
from cnnkit.writers.remote_files import RemoteFile, is_prefix, named_by_url, remote_files

P = ParamSpec("P")
R = TypeVar("R")

# Parameters that name files or folders to write, each a file unless it is among the next ones.
OUTPUTS = (
    *("output", "outputs", "target", "report", "embeddings", "counts", "diagram", "json_file"),
    *("contact_sheet", "annotate", "crops", "overlays", "maps", "sheets", "sort_into"),
    "tensorboard",
)
# Folders that get a file for each image: never the images' own.
IMAGE_FOLDERS = ("crops", "overlays", "maps", "sheets")
# These two may share a folder: their files end differently.
SHARING = ("overlays", "maps")
# Parameters that name what is read.
INPUTS = (
    *("inputs", "images", "photos", "data", "source", "validation_data", "styles", "mask"),
    *(
        "index",
        "update",
        "start",
        "labels",
        "examples",
        "matrix",
        "kernel",
        "against",
        "learn_from",
        "pairs",
        "gallery",
        "parts",
        "token_file",
    ),
    *("passphrase_file", "reference", "boxes", "recipe", "augment", "split_file", "check_on"),
)
# Those of them that are never read from an object store.
LOCAL_INPUTS = (
    *("data", "source", "validation_data", "index", "labels", "pairs", "gallery"),
    *("split_file", "boxes", "recipe"),
)
MODELS = ("model", "models", "weights", "embedder", "detector", "backbone", "name")
# Folders that names are relative to: results may well be written into them.
ROOTS = ("root", "images")
TRAININGS = ("transfer-learn", "train-detector", "train-face", "train-style")
CHANGES_GALLERY = ("enroll", "calibrate", "forget")
# Beside a file X they write X.json, which says how it was made.
DESCRIBING = ("stylize", "export")
# What may be an object instead of a file, by command.
REMOTE_OUTPUTS = {
    "classify": ("output", "embeddings", "report"),
    "detect": ("output", "report", "counts"),
    "explain": ("output",),
    "identify": ("output",),
    "merge": ("output",),
    "verify-face": ("output",),
    "verify-pairs": ("output",),
}
# Those that may leave the parts of a cluster's run in a prefix.
PREFIXED = ("classify", "detect", "explain", "identify")
MODEL_FILES = ("card.json", "labels.txt", "weights.safetensors", "model.keras")
INPUT = "the input"
# Arguments of which each gives a row, an empty one an error.
WITH_ROWS = ("inputs", "photos", "images")
SHOWN = 60  # characters of a name that no file can have
_FORM = re.compile(r"(coco|voc|yolo):(?=.)", re.IGNORECASE)
_FOLDER_FORM = re.compile(r"(voc|yolo):", re.IGNORECASE)


class GivenParameter(NamedTuple):
    """One parameter of a command and what it was given.

    Attributes:
        name: The parameter's name.
        value: A path, several in a list or tuple, or anything else, which names no file.
        said: What a message calls it.
        is_argument: It is given by its position, not by its name.
    """

    name: str
    value: Any
    said: str
    is_argument: bool = False

    def paths(self) -> list[str]:
        """Return the paths that the value names."""
        values = self.value if isinstance(self.value, tuple | list) else [self.value]
        return [os.fspath(one) for one in values if isinstance(one, str | os.PathLike) and one]

    def is_empty(self) -> bool:
        """Return whether the value, or one of several, is an empty name."""
        values = self.value if isinstance(self.value, tuple | list) else [self.value]
        return any(isinstance(one, str) and not one for one in values)


class NamedPath(NamedTuple):
    """A file or folder that a command writes or reads, and the parameter that names it."""

    name: str
    said: str
    path: str

    def named(self) -> apart.Named:
        """Return the place as the checks of `cnnkit.writers.apart` take it."""
        return self.said, self.path


def keeps_inputs(function: Callable[P, R]) -> Callable[P, R]:
    """Make a command's function refuse outputs that are among its inputs, before it does anything.

    So it does arguments of wrong types; see `cnnkit.argument_types`. Its first parameter may be
    any iterable of paths; the function gets it as a list. What it claims of its outputs is its own
    until it ends; see `cnnkit.writers.claims`.
    """
    signature = inspect.signature(function)
    command = function.__name__.replace("_", "-")

    @functools.wraps(function)
    def checked(*arguments: P.args, **keywords: P.kwargs) -> R:
        """Hold several paths that can be read only once, check, and call the function."""
        try:
            bound = signature.bind(*arguments, **keywords)
        except TypeError:  # missing or unknown: Python's own message names the function
            return function(*arguments, **keywords)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if name in (*OUTPUTS, *INPUTS):
                bound.arguments[name] = _held(value)
        hold_to_types(function, bound)
        given = [_given(signature.parameters[n], v) for n, v in bound.arguments.items()]
        with named_by_url(check(command, given)), holding_claims():
            return function(*bound.args, **bound.kwargs)

    checked.keeps_inputs = True  # type: ignore[attr-defined]
    return checked


def _held(value: Any) -> Any:
    """Return several paths as a list, so that they can be read twice; anything else as it is."""
    is_one = isinstance(value, str | bytes | bytearray | os.PathLike | Mapping | list | tuple)
    is_one = is_one or is_unordered(value) or hasattr(value, "shape")
    several = isinstance(value, Iterable) and not is_one
    return list(value) if several else value


def _given(parameter: inspect.Parameter, value: Any) -> GivenParameter:
    if parameter.name == "gallery":  # a path, or one that is loaded
        value = getattr(value, "path", value)
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        return GivenParameter(parameter.name, value, f"`{parameter.name}`")
    said = f"`{parameter.name}`" if parameter.name in OUTPUTS else INPUT
    return GivenParameter(parameter.name, value, said, is_argument=True)


def check(command: str, given: Sequence[GivenParameter]) -> tuple[RemoteFile, ...]:
    """Refuse outputs that are inputs, each other, or in the way of inputs.

    Args:
        command: The command's name.
        given: Its parameters.

    Returns:
        The outputs that are objects.

    Raises:
        UsageError: Names both, or what is empty.
    """
    _check_named(given)
    _check_local(given)
    outputs = list(outputs_of(command, given))
    objects = [one for one in outputs if is_url(one.path)]
    outputs = [one for one in outputs if not is_url(one.path)]
    if objects:
        _check_objects(command, given, objects)
    folders = [one for one in outputs if _is_image_folder(command, one)]
    outputs = [one for one in outputs if one not in folders]
    apart.check_places_differ(
        one.named() for one in (*outputs, *folders) if one.name not in SHARING
    )
    inputs = list(inputs_of(command, given))
    images = [one.path for one in inputs if one.said == INPUT and one.path != "-"]
    images = [path for path in images if not is_url(path)]  # no file here is one of those
    if _may_replace(given):
        _check_folders(folders, images)
    else:  # a file that exists, and a folder that holds any, are refused by the command itself
        outputs = [one for one in outputs if not os.path.isfile(one.path)]
    if command in TRAININGS:
        _check_outside(inputs, outputs)
    read = [one.named() for one in inputs]
    apart.check_apart(
        [one.named() for one in (*outputs, *_derived(command, outputs, folders))], read
    )
    if command in (*TRAININGS, "export"):
        for one in outputs:
            apart.check_replaced_folder(*one.named(), read)
    _check_files(outputs, images)
    return remote_files(*(one.path for one in objects))


def _check_named(given: Iterable[GivenParameter]) -> None:
    """Refuse names that no file or folder can have, such as a text in the place of its path.

    For an empty one, what it was for would be left out silently.
    """
    for one in given:
        if one.name not in (*OUTPUTS, *INPUTS, *MODELS, *ROOTS):
            continue
        if one.is_argument and one.name in WITH_ROWS:
            continue
        if one.is_empty():
            fix = "A variable of a shell that is not set gives an empty name."
            raise UsageError(broken_rule(one.said, "name a file or folder", "''", fix))
        for path in one.paths():
            if not is_url(path) and (reason := _impossible(path)):
                short = path if len(path) <= SHOWN else f"{path[:SHOWN]}..."
                received = f"{short!r}, {reason}"
                raise UsageError(broken_rule(one.said, "name a file or folder", received))


def _impossible(path: str) -> str:
    """Return why nothing can have a name, or ""."""
    try:
        os.lstat(path)
    except OSError as error:
        return "which is too long" if error.errno == errno.ENAMETOOLONG else ""
    except ValueError:  # a null byte, or half a character
        return "with a character that no name has"
    return ""


def _check_local(given: Iterable[GivenParameter]) -> None:
    """Refuse an object where only files are read: it would be said not to exist."""
    for one in given:
        for path in one.paths() if one.name in LOCAL_INPUTS else ():
            if is_url(path):
                rule, fix = "be a local file or folder", "Copy it here first."
                raise UsageError(broken_rule(one.said, rule, path, fix))


def _check_objects(
    command: str, given: Sequence[GivenParameter], objects: Sequence[NamedPath]
) -> None:
    """Refuse objects that a command cannot write, or that are each other or inputs.

    Raises:
        UsageError: Names what it is about.
    """
    given_paths = [path for one in given for path in one.paths()]
    folders = [_FORM.sub("", path, count=1) for path in given_paths if _FOLDER_FORM.match(path)]
    by_name = {one.name: one.paths() for one in given}
    met: set[str] = set()
    for one in objects:
        if one.name not in REMOTE_OUTPUTS.get(command, ()) or one.path in folders:
            fix = "Write it here, then copy it there."
            raise UsageError(broken_rule(one.said, "be a local file or folder", one.path, fix))
        # Of the outputs of `detect`, the first file of rows: it is what is resumed.
        rows = [path for path in by_name[one.name] if _FORM.match(path) is None]
        is_first = one.name == "output" and one.path in rows[:1]
        prefix = is_prefix(one.path) and is_first and command in PREFIXED
        check_target(one.said, one.path, prefix=prefix)
        if one.path in met:
            raise UsageError(broken_rule("outputs", "be different files and folders", one.path))
        met.add(one.path)
    for read in inputs_of(command, given):
        file = (split_member(read.path) or (read.path,))[0]
        for one in objects if is_url(file) else ():
            if _is_same_object(one.path, file):
                rule, fix = "not be an input", "Choose another place for the result."
                received = f"{one.path}, which is {read.said} {read.path}"
                raise UsageError(broken_rule(one.said, rule, received, fix))


def _is_same_object(output: str, given: str) -> bool:
    """Return whether an input, which may be a pattern, is or finds an object."""
    if key_of(output) == key_of(given):
        return scheme_of(output) == scheme_of(given)
    if not has_magic(given) or container_suffix(output) != container_suffix(given):
        return False  # a pattern finds images, and the containers that it ends in
    if container_suffix(output) is None:
        return False
    with contextlib.suppress(ImageError):  # the row of that input says what is wrong
        found = (one.url for one in matches(given) if not one.is_folder)
        return key_of(output) in map(key_of, found)
    return False


def _may_replace(given: Sequence[GivenParameter]) -> bool:
    """Return whether the command may write over what exists."""
    flags = [one.value for one in given if one.name in ("overwrite", "resume")]
    return not flags or any(flags)


def outputs_of(command: str, given: Iterable[GivenParameter]) -> Iterator[NamedPath]:
    """Yield what the parameters name to be written."""
    changed = ("gallery",) if command in CHANGES_GALLERY else ()
    for one in given:
        if one.name in (*OUTPUTS, *changed):
            for path in one.paths():
                yield NamedPath(one.name, one.said, _FORM.sub("", path, count=1))


def inputs_of(command: str, given: Iterable[GivenParameter]) -> Iterator[NamedPath]:
    """Yield the files and folders that the command reads."""
    changed = ("gallery",) if command in CHANGES_GALLERY else ()
    for one in given:
        if one.name in changed or (one.name in ROOTS and not one.is_argument):
            continue
        if one.name not in (*INPUTS, *MODELS):
            continue
        for value in one.paths():
            path = _FORM.sub("", value, count=1)
            if one.name == "source" and os.path.isdir(path):
                continue  # annotations of another form may well lie beside: the command looks
            yield NamedPath(one.name, one.said, path)
            if one.name in MODELS and os.path.isdir(value):
                for file in MODEL_FILES:
                    yield NamedPath(one.name, one.said, os.path.join(value, file))


def _derived(
    command: str, outputs: Iterable[NamedPath], folders: Iterable[NamedPath]
) -> Iterator[NamedPath]:
    """Yield what is written beside an output: journals, sidecars, class lists, weights."""
    if command in TRAININGS:
        return  # a bundle is a folder, and nothing lies beside it
    beside = (".part", ".json") if command in DESCRIBING else (".part",)
    for one in (*outputs, *folders):
        if one.name == "embeddings":
            yield one._replace(path=f"{one.path}.paths.jsonl")
        if os.path.isdir(one.path):
            names = ("rows.jsonl", "rows.jsonl.part", "plan.jsonl", "classes.txt", "data.yaml")
            yield from (one._replace(path=os.path.join(one.path, name)) for name in names)
            continue
        yield from (one._replace(path=f"{one.path}{suffix}") for suffix in beside)
        stem, suffix = os.path.splitext(one.path)
        if suffix.lower() == ".xml":
            yield one._replace(path=f"{stem}.bin")


def _check_outside(inputs: Iterable[NamedPath], outputs: Iterable[NamedPath]) -> None:
    """Refuse a model that would lie among the training data: it would be a class next time."""
    folders = {
        apart.identity(one.path): one.path
        for one in inputs
        if (one.said == INPUT or one.name == "validation_data") and os.path.isdir(one.path)
    }
    for output in outputs:
        for one in apart.above(output.path):
            if one in folders:
                fix = "Choose a folder beside it."
                rule = "lie outside DATA"
                received = f"{output.path}, in {folders[one]}"
                raise UsageError(broken_rule(output.said, rule, received, fix))


def _check_files(outputs: Iterable[NamedPath], images: list[str]) -> None:
    """Look through folders and patterns, if an output exists that could be found in them."""
    from cnnkit.images import Finder

    files = [one.named() for one in outputs if _is_image(one.path)]
    if files and images:
        apart.check_apart(files, ((INPUT, one.path) for one in Finder(images)))


def _check_folders(folders: Sequence[NamedPath], images: list[str]) -> None:
    """Refuse folders of results that are those of inputs, wherever a pattern finds these."""
    from cnnkit.images import Finder

    named = [one.named() for one in folders]
    apart.check_not_beside(named, images)
    exclude = [one.path for one in folders]
    if folders and images:
        found = (one.path for one in Finder(images, exclude=exclude) if one.failure is None)
        apart.check_not_beside(named, found)


def _is_image(path: str) -> bool:
    """Return whether there is a file that a scan of its folder would take for an image."""
    from cnnkit.images import has_image_suffix, is_image_header
    from cnnkit.images.files import read_header
    from cnnkit.images.sniff import HEADER_BYTES

    if not os.path.isfile(path):
        return False
    return has_image_suffix(path) or is_image_header(read_header(path, HEADER_BYTES))


def _is_image_folder(command: str, place: NamedPath) -> bool:
    """Return whether there is a folder that gets files named by the command, not by the user."""
    named = place.name in IMAGE_FOLDERS or command in ("detect", "visualize-activations")
    return named and os.path.isdir(place.path)
