"""Every public callable refuses arguments of wrong types with an error that says what to do."""

from __future__ import annotations

import gc
import inspect
import os
import re
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnkit
from cnnkit.argument_types import checks_types
from cnnkit.errors import CnnkitError, UsageError

# What the library makes, not the user: frozen dataclasses, and the errors.
MADE = {
    *("Classification", "CnnkitError", "Detection", "Detections", "Explanation", "Face"),
    *("FaceMatch", "Failure", "Identification", "IdentifiedImage", "ImageError", "ImageFaces"),
    *("Prediction", "StylizedImage", "Summary", "TrainedModel"),
}
# Methods that take images of any kind, of which a wrong one is a `Failure` or an `ImageError`;
# those that get what another method made; and those without parameters.
OF_IMAGES = {"predict", "prepare", "find", "read"}
OF_INSIDE = {"interpret", "probabilities", "stream_finished", "add"}

SECRETS = {"passphrase", "token"}

NAN, INFINITY = float("nan"), float("inf")
# Each with the types that take it; nothing takes those with none.
VALUES: dict[str, tuple[Any, set[str]]] = {
    "an object": (object(), set()),
    "a complex number": (1j, set()),
    "bytes": (b"photos", {"bytes", "Images"}),
    "a list of objects": ([object()], set()),
    "a dictionary of objects": ({object(): object()}, set()),
    "a set": ({"photos"}, set()),
    "NaN": (NAN, set()),
    "infinity": (INFINITY, set()),
    "True": (True, {"bool"}),
    "a half": (2.5, {"float"}),
    "7": (7, {"int", "float"}),
    "text": ("7", {"str", "AnyPath", "Inputs", "Images", "ShardLike"}),
    "None": (None, {"None"}),
    "an array": (np.zeros((2, 2, 2)), {"np.ndarray", "Images"}),
}


def checked_callables() -> dict[str, Callable[..., Any]]:
    """Return every public function, and every method of the public classes, by its name."""
    found: dict[str, Callable[..., Any]] = {}
    for name in sorted(set(cnnkit.__all__) - MADE - {"__version__"}):
        value = getattr(cnnkit, name)
        if inspect.isfunction(value):
            found[name] = value
            continue
        for method, raw in vars(value).items():
            is_public = method == "__init__" or not method.startswith("_")
            if is_public and method not in OF_IMAGES | OF_INSIDE:
                own = getattr(raw, "__func__", raw)
                if inspect.isfunction(own):
                    found[f"{name}.{method}"] = own
    found["StylizedImage.save"] = cnnkit.StylizedImage.save
    return {name: own for name, own in found.items() if parameters(own)}


def parameters(function: Callable[..., Any]) -> dict[str, str]:
    """Return the annotation of each parameter, in the words of the source."""
    every = inspect.signature(function).parameters
    return {n: str(p.annotation) for n, p in every.items() if n not in ("self", "cls")}


# Of a stream each item has a result, for a wrong one a `Failure`.
ITEMS = {"a list of objects", "an array"}


def takes(annotation: str, accepted: set[str]) -> bool:
    """Return whether a type names one of those, outside of brackets unless it is one of a list."""
    outer = re.sub(r"\[[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*\]", "", annotation)
    if {part.strip() for part in outer.split("|")} & accepted:
        return True
    return "PathLike" in outer and "str" in accepted


def sound(annotation: str, function: Callable[..., Any]) -> Any:
    """Return something that a parameter takes."""
    outer = re.split(r"\[| \|", annotation)[0]
    known = inspect.unwrap(function).__globals__.get(outer)
    if isinstance(known, type) and known.__module__.startswith("cnnkit"):
        return object.__new__(known)
    values = {"int": 1, "float": 0.5, "bool": False, "bytes": b"", "np.ndarray": np.zeros(3)}
    lists = {"tuple": ("a", "b"), "Sequence": [], "Iterable": [], "dict": {}}
    return {**values, **lists}.get(outer, "a")


CALLABLES = checked_callables()


def test_every_public_name_is_held_to_its_types() -> None:
    met = {place.split(".")[0] for place in CALLABLES}
    without_parameters = {"__version__", "list_models", "list_networks"}
    assert set(cnnkit.__all__) - met == (MADE | without_parameters) - {"StylizedImage"}


@pytest.mark.parametrize("place", sorted(CALLABLES))
def test_wrong_types_are_refused_and_named(place: str) -> None:
    function = CALLABLES[place]
    every = parameters(function)
    needed = {
        name: sound(every[name], function)
        for name, own in inspect.signature(function).parameters.items()
        if own.default is own.empty and name in every
    }
    own = {n: None for n in ("self", "cls") if n in inspect.signature(function).parameters}
    wrong = []
    for name, annotation in every.items():
        for said, (value, accepted) in VALUES.items():
            if name == "compiled" or annotation == "ImageArgument":
                continue  # a protocol; refused by what reads images, with an `ImageError`
            gives_failures = place.endswith(".stream") and name in ("inputs", "pairs")
            if (gives_failures and said in ITEMS) or takes(annotation, accepted):
                continue
            problem = refusal_problem(function, own | needed | {name: value}, name)
            if problem:
                wrong.append(f"{name} ({annotation}) given {said}: {problem}")
    assert wrong == []


@pytest.mark.parametrize("place", sorted(CALLABLES))
def test_the_docstring_names_every_parameter_and_the_error(place: str) -> None:
    text = inspect.getdoc(CALLABLES[place]) or ""
    sections = {
        title: re.findall(r"^    (\w+):", body, re.MULTILINE)
        for title, body in re.findall(r"^(Args|Raises):\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    }
    if place.endswith("__init__") or ("see `" in text.lower() and not sections):
        return  # described where one makes such an object
    assert sections["Args"] == list(parameters(CALLABLES[place]))
    assert "UsageError" in sections["Raises"]


def refusal_problem(function: Callable[..., Any], arguments: dict[str, Any], name: str) -> str:
    """Return what is wrong with the error of a call, "" for nothing."""
    try:
        function(**arguments)
    except CnnkitError as error:
        text = str(error)
        _, _, rest = text.partition(" Received: ")
        if error.parameter != name or not text.startswith(f"`{name}` must be {error.rule[3:]}. "):
            return f"another error, of {error.parameter}: {text}"
        if error.received is not arguments[name] and name not in SECRETS:
            return f"what was received is {error.received!r}"
        if not rest.split(". ", 1)[-1].endswith(".") or len(text) > 400:
            return f"no fix, or long: {text}"
        return ""
    except Exception as error:  # noqa: BLE001  # what this test is about
        return f"{type(error).__name__}: {error}"
    return "taken"


# === The check itself ===


@checks_types
def example(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    count: int = 5,
    share: float | None = None,
    flag: bool = False,
    names: str | Sequence[str] = (),
    by_name: float | Mapping[str, float] | None = None,
    size: tuple[int, int] | None = None,
    max_pixels: int = 100,
    threads: int = 0,
    passphrase: str | None = None,
) -> dict[str, Any]:
    """Return the arguments."""
    return dict(locals())


@pytest.mark.parametrize(
    "given",
    [
        {"count": np.int64(3), "share": np.float32(0.5), "flag": np.bool_(True)},
        {"count": np.uint8(3), "share": np.float64(0.5), "flag": True},
        {"size": np.array([3, 4]), "by_name": {"cat": np.float16(0.5)}},
        {"size": [3, 4], "names": ("cat", "dog"), "share": 1},
        {"names": np.array(["cat", "dog"])},
        {"count": np.array(3), "share": np.array(0.5, np.float32), "flag": np.array(True)},
        {"share": Decimal("0.5"), "by_name": {"cat": Fraction(1, 2)}},
    ],
    ids=str,
)
def test_scalars_and_arrays_of_numpy_are_numbers_of_python(given: dict[str, Any]) -> None:
    got = example("photos", **given)
    for name, value in given.items():
        plain = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        assert list(got[name]) == list(plain) if name == "size" else got[name] == plain
        assert type(got[name]) in (bool, int, float, tuple, list, dict), name
    assert all(type(n) is int for n in got["size"] or ())
    assert all(type(n) is float for n in (got["by_name"] or {}).values())


def test_an_integer_is_a_number_too() -> None:
    got = example("a", share=1, by_name={"cat": 0})
    assert type(got["share"]) is float and type(got["by_name"]["cat"]) is float


def test_paths_come_as_they_were_given_and_a_generator_is_not_used_up() -> None:
    assert example(Path("a"))["paths"] == Path("a")
    assert example(["a", Path("b")])["paths"] == ["a", Path("b")]
    assert list(example(iter(["a", "b"]))["paths"]) == ["a", "b"]


def test_names_that_are_read_once_become_a_list() -> None:
    for given in ({"cat": 1, "dog": 2}, {1: "cat", 2: "dog"}.values(), map(str, ["cat", "dog"])):
        names = given.keys() if isinstance(given, dict) else given
        assert example("a", names=names)["names"] == ["cat", "dog"]
    with pytest.raises(UsageError, match=r"Received: 2 \(int\) as item 1."):
        example("a", names=(name for name in ["cat", 2]))  # type: ignore[misc]


def test_the_keys_of_a_dictionary_are_in_its_order() -> None:
    paths = {"b": 1, "a": 2}.keys()
    assert list(example(paths)["paths"]) == ["b", "a"]
    with pytest.raises(UsageError, match="whose order is kept"):
        example(frozenset(paths))


@pytest.mark.parametrize("given", [b"open sesame", bytearray(b"open sesame"), ["open sesame"]])
def test_a_secret_of_a_wrong_type_is_not_shown(given: Any) -> None:
    with pytest.raises(UsageError, match=r"`passphrase` must be a string or None. Rec") as caught:
        example("a", passphrase=given)
    assert "sesame" not in str(caught.value) and type(given).__name__ in str(caught.value)
    assert caught.value.received is not given


class Shown(list[str]):
    """A list that knows whether it was shown."""

    shown = False

    def __repr__(self) -> str:
        Shown.shown = True
        return "..."


def test_what_is_taken_is_not_shown_and_not_kept() -> None:
    """To show a list of photos takes longer than to read one; to keep it takes their memory."""
    given = Shown(["a", "b"])
    kept = weakref.ref(given)
    gc.disable()
    try:
        example(given)
        del given
        assert kept() is None and not Shown.shown
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"paths": [b"a"]}, "Received: b'a' (bytes) as item 0. Convert it with os.fsdecode()."),
        ({"paths": {"a"}}, "Give a list, whose order is kept: list(...)."),
        ({"paths": np.array("a")}, "must be a path or a list of paths. Received: array('a'"),
        ({"count": 2.5}, "must be an integer. Received: 2.5 (float). Convert it with int()."),
        ({"count": True}, "must be an integer. Received: True. The default is 5."),
        ({"count": 2**63}, "It must fit into 64 bits."),
        ({"share": "0.5"}, "a finite number or None. Received: '0.5' (str). Convert it with float"),
        ({"share": NAN}, "a finite number or None. Received: nan (float). The default is None."),
        ({"share": Decimal("sNaN")}, "must be a finite number or None."),
        ({"share": np.array(2j)}, "must be a finite number or None."),
        ({"count": np.array([3])}, "must be an integer. Received: ndarray of shape (1,)."),
        ({"share": 10**400}, "must be a finite number or None."),
        ({"flag": 1}, "must be True or False. Received: 1 (int)."),
        ({"by_name": {"cat": "x"}}, "Received: 'x' (str) for 'cat' (str). Convert it with float()"),
        ({"size": 3}, "must be two integers or None. Received: 3 (int)."),
        ({"size": (3, 4, 5)}, "must be two integers or None. Received: (3, 4, 5) (tuple)."),
        ({"size": (3, 4.5)}, "Received: 4.5 (float) as item 1. Convert it with int()."),
        ({"names": [["a"]]}, "must be a string or a list of strings. Received: ['a'] (list) as"),
        ({"max_pixels": 0}, "`max_pixels` must be at least 1. Received: 0."),
        ({"threads": 10**9}, "`threads` must be at most 4,096. Received: 1000000000."),
        ({"threads": -1}, "`threads` must be at least 0. Received: -1."),
    ],
    ids=str,
)
def test_an_error_says_the_rule_what_came_and_what_to_do(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        example(**{"paths": "a"} | given)
    assert said in str(caught.value)
    assert caught.value.parameter == next(iter(given))
    assert caught.value.received is given[caught.value.parameter]


def test_a_missing_and_an_unknown_argument_are_pythons_own_errors() -> None:
    with pytest.raises(TypeError, match=r"example\(\) missing 1 required positional argument"):
        example()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"classify\(\) got an unexpected keyword argument 'topk'"):
        cnnkit.classify("a", topk=3)  # type: ignore[call-arg]


def test_help_shows_the_function_itself() -> None:
    shown = inspect.signature(cnnkit.Classifier.load).parameters
    assert list(shown)[:2] == ["model", "weights"] and shown["top_k"].default == 5
    assert (cnnkit.Classifier.load.__doc__ or "").startswith("Open and compile a model.")
