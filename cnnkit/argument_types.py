"""One check for the arguments of every public function: each is of the type it is annotated with.

Without it a wrong type surfaces late, as an error of another library that names no parameter, or
never: a ``top_k`` of 2.5 was taken, ``classes="dog"`` meant d, o, and g, and a threshold of NaN
let everything pass. The annotations are the only source, so that a checked function cannot accept
what a type checker refuses. numpy's scalars count as the numbers that they are.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence, Set
from typing import Any, NamedTuple, ParamSpec, TypeVar

from cnnkit.errors import BrokenRule, UsageError, broken_rule

P = ParamSpec("P")
R = TypeVar("R")

_SHOWN = 80  # characters of a value in a message
_ONE_PATH = (str, os.PathLike)
_NOT_SEVERAL = (str, bytes, bytearray, memoryview, os.PathLike)
# The least and the greatest value of the counts that mean the same in every function. No machine
# has more processors; OpenVINO would start as many threads as it is told to.
_LIMITS = {
    **dict.fromkeys(("max_pixels", "batch_size", "preview"), (1, math.inf)),
    "workers": (1, 4096),
    "threads": (0, 4096),
    "expected": (0, math.inf),
    "seed": (0, 2**32 - 1),  # what every generator takes
}
# Streams of these have a result for each item, for a wrong one a `Failure`.
_WITH_FAILURES = {"Found", "FacePair"}
# Their values are not shown, and not kept in an error.
_SECRETS = {"passphrase", "token"}
# What libraries in C take for an integer.
_INT64 = 2**63
_NUMBERS_OF_ITEMS = {2: "two", 3: "three", 4: "four"}


class _Mismatch(Exception):
    """A value is not of a kind.

    Attributes:
        value: It. It is shown only in an error: of a list of photos that takes longer than to
            read one, and most of them are what the next part of a union takes.
        fix: How to mend it, or "".
        where: Where it is in the argument, or "".
    """

    def __init__(self, value: Any, fix: str = "", where: str = "") -> None:
        super().__init__()
        self.value = value
        self.fix = fix
        self.where = where

    def received(self) -> str:
        """Return what to show of the value."""
        return f"{_shown(self.value)} {self.where}".rstrip()


class ArgumentKind(NamedTuple):
    """A type as arguments are held to it.

    Attributes:
        said: What it is, to be read after "must be", "" for what need not be said.
        plural: Several of them.
        take: Returns a value as the function gets it; raises `_Mismatch`.
    """

    said: str
    plural: str
    take: Callable[[Any], Any]


def checks_types(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function or method refuse arguments that are not of their annotated types.

    The function raises a `UsageError` that names the parameter, before it does anything.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*arguments: P.args, **keywords: P.kwargs) -> R:
        """Hold the arguments to their types, and call the function."""
        try:
            bound = signature.bind(*arguments, **keywords)
        except TypeError:  # missing or unknown: Python's own message names the function
            return function(*arguments, **keywords)
        hold_to_types(function, bound)
        return function(*bound.args, **bound.kwargs)

    checked.checks_types = True  # type: ignore[attr-defined]
    return checked


def hold_to_types(function: Callable[..., Any], bound: inspect.BoundArguments) -> None:
    """Replace numpy's numbers by Python's in the arguments of a call, and refuse wrong types.

    Args:
        function: The function, with annotations.
        bound: Its arguments, changed in place.

    Raises:
        UsageError: Names the first parameter whose argument is of another type.
    """
    kinds = _kinds_of(function)
    for name, value in bound.arguments.items():
        kind = kinds[name]
        if kind is None:
            continue
        default = bound.signature.parameters[name].default
        if value is default:  # the function's own
            continue
        try:
            bound.arguments[name] = kind.take(value)
        except _Mismatch as wrong:
            message = _message(name, kind, wrong, default)
            if name not in _SECRETS:
                message.received = value
            raise UsageError(message) from None
        if name in _LIMITS:
            _check_limits(name, bound.arguments[name])


def _check_limits(name: str, value: Any) -> None:
    least, most = _LIMITS[name]
    if value is None or least <= value <= most:
        return
    rule = f"be at least {least}" if value < least else f"be at most {most:,}"
    fix = "" if name in ("max_pixels", "seed") else "Leave it out for what suits the machine."
    raise UsageError(broken_rule(f"`{name}`", rule, value, fix))


def _message(name: str, kind: ArgumentKind, wrong: _Mismatch, default: Any) -> BrokenRule:
    fix = wrong.fix
    if not fix:
        has_default = default is not inspect.Parameter.empty
        fix = f"The default is {default!r}." if has_default else f"Give {kind.said}."
    received = f"a {type(wrong.value).__name__}" if name in _SECRETS else wrong.received()
    return broken_rule(f"`{name}`", f"be {kind.said}", received, fix)


@functools.cache
def _kinds_of(function: Callable[..., Any]) -> dict[str, ArgumentKind | None]:
    """Return the kind of every parameter of a function; None: anything."""
    names = _Names(getattr(function, "__globals__", {}))
    kinds: dict[str, ArgumentKind | None] = {}
    for parameter in inspect.signature(function).parameters.values():
        written = parameter.annotation
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if several or written is parameter.empty:
            kinds[parameter.name] = None
            continue
        annotation = eval(written, {}, names) if isinstance(written, str) else written
        kinds[parameter.name] = kind_of(annotation)
    return kinds


class _Names(dict[str, Any]):
    """The names that an annotation may use; what only a type checker imports is anything."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Any)


def kind_of(annotation: Any) -> ArgumentKind | None:
    """Return how values are held to a type, None if it says nothing about them."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return _any_of(parts)
    if origin is os.PathLike:
        return _PATH
    if origin is tuple:
        return _tuple_of(parts)
    if origin in (Sequence, Iterable, list):
        return _several(_kind_of_item(parts[0]), lazily=origin is Iterable)
    if origin in (Mapping, dict):
        return _mapping(*map(kind_of, parts))
    if origin is Callable:
        return _CALLABLE
    is_class = isinstance(annotation, type) and not getattr(annotation, "_is_protocol", False)
    return _instance(annotation) if is_class else None


def _kind_of_item(annotation: Any) -> ArgumentKind | None:
    names = {getattr(part, "__name__", "") for part in typing.get_args(annotation)}
    if names & _WITH_FAILURES:
        return None
    return _IMAGE if bytearray in typing.get_args(annotation) else kind_of(annotation)


# --- one value ---------------------------------------------------------------------------


def _shown(value: Any) -> str:
    """Describe a value and its type in a few words."""
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    if isinstance(shape, tuple) and shape:
        return f"{name} of shape {shape}"
    if value is None or isinstance(value, bool):
        return repr(value)
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001  # of a stranger's class
        return f"a value of the type {name}"
    short = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
    return f"{short} ({name})"


def _is_truth(value: Any) -> bool:
    """Return whether a value is a bool of Python or numpy, which is not to be imported here."""
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


def _plain(value: Any) -> Any:
    """Return the scalar in an array or tensor without axes, such as a mean; others as they are."""
    has_one = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if has_one and not isinstance(value, numbers.Number) else value


def _take_bool(value: Any) -> bool:
    value = _plain(value)
    if _is_truth(value):
        return bool(value)
    raise _Mismatch(value, "Use True or False.")


def _take_integer(value: Any) -> int:
    value = _plain(value)
    if isinstance(value, numbers.Integral) and not _is_truth(value):
        number = int(value)
        if -_INT64 <= number < _INT64:
            return number
        raise _Mismatch(value, "It must fit into 64 bits.")
    fix = ""
    if isinstance(value, str | float | numbers.Real) and not _is_truth(value):
        fix = "Convert it with int()."
    raise _Mismatch(value, fix)


def _is_real(value: Any) -> bool:
    """Return whether a value is a real number, as `decimal.Decimal` is, which is no `Real`."""
    is_number = isinstance(value, numbers.Number) and not isinstance(value, numbers.Complex)
    return isinstance(value, numbers.Real) or is_number


def _take_number(value: Any) -> float:
    value = _plain(value)
    if not _is_real(value) or _is_truth(value):
        fix = "Convert it with float()." if isinstance(value, str) else ""
        raise _Mismatch(value, fix)
    try:
        number = float(value)  # an integer too: Keras takes no other learning rate
        finite = math.isfinite(number)
    except (OverflowError, ValueError):  # ValueError: a signaling NaN of decimals
        finite = False
    if not finite:
        raise _Mismatch(value)
    return number


def _take_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _Mismatch(value, _decoding(value))


def _take_path(value: Any) -> Any:
    if not isinstance(value, _ONE_PATH):
        raise _Mismatch(value, _decoding(value))
    if not isinstance(os.fspath(value), str):  # of a path-like object that means bytes
        raise _Mismatch(value, "Convert it with os.fsdecode().")
    return value


def _decoding(value: Any) -> str:
    return "Convert it with os.fsdecode()." if isinstance(value, bytes | bytearray) else ""


def _take_none(value: Any) -> None:
    if value is not None:
        raise _Mismatch(value)


def _take_callable(value: Any) -> Any:
    if callable(value):
        return value
    raise _Mismatch(value, "Give a function, not its result.")


def _take_image(value: Any) -> Any:
    """Return what may be an image, whatever library made it."""
    is_plain = isinstance(value, str | bytes | bytearray | memoryview | os.PathLike)
    # Arrays and tensors, Pillow's images, and those that are decoded elsewhere.
    if is_plain or any(hasattr(value, n) for n in ("__array__", "__array_interface__", "decoded")):
        return value
    raise _Mismatch(value)


def _instance(wanted: type) -> ArgumentKind:
    def take(value: Any) -> Any:
        """Return an object of the class."""
        if isinstance(value, wanted):
            return value
        raise _Mismatch(value)

    name = wanted.__name__
    article = "an" if name[0] in "AEIOU" else "a"
    return ArgumentKind(f"{article} {name}", f"{name} objects", take)


_PATH = ArgumentKind("a path", "paths", _take_path)
_IMAGE = ArgumentKind("an image (a path, bytes, an array, or a PIL image)", "images", _take_image)
_CALLABLE = ArgumentKind("callable", "callables", _take_callable)
_PLAIN: dict[Any, ArgumentKind | None] = {
    bool: ArgumentKind("True or False", "True or False", _take_bool),
    int: ArgumentKind("an integer", "integers", _take_integer),
    float: ArgumentKind("a finite number", "finite numbers", _take_number),
    str: ArgumentKind("a string", "strings", _take_string),
    None: ArgumentKind("None", "None", _take_none),
    type(None): ArgumentKind("None", "None", _take_none),
    Any: None,
    object: None,
}


# --- several -----------------------------------------------------------------------------


def _any_of(parts: Sequence[Any]) -> ArgumentKind | None:
    """Return a union's kind: the first part that takes a value decides."""
    if any(typing.get_origin(part) is os.PathLike for part in parts):
        parts = [part for part in parts if part is not str]  # said, and taken, by the path
    if bytearray in parts:
        parts = _without_images(parts)
        if not parts:  # what reads the image refuses others, with an `ImageError`
            return None
        kinds = [_IMAGE, *map(kind_of, parts)]
    else:
        kinds = [kind_of(part) for part in parts]
    known = [kind for kind in kinds if kind is not None]
    if len(known) < len(kinds):
        return None

    def take(value: Any) -> Any:
        """Return what the first part makes of it; of all refusals the most telling one."""
        refusals = []
        try:
            for kind in known:
                try:
                    return kind.take(value)
                except _Mismatch as wrong:
                    refusals.append(wrong)
            raise max(refusals, key=lambda wrong: (bool(wrong.where), bool(wrong.fix)))
        finally:  # each holds this frame, and with it the value, until a collection of garbage
            refusals.clear()

    said = [kind.said for kind in known]
    return ArgumentKind(_or(said), _or([kind.plural for kind in known]), take)


def _without_images(parts: Sequence[Any]) -> list[Any]:
    """Return the parts of a union besides the forms of an image, of which a path is one."""
    return [
        part
        for part in parts
        if not isinstance(part, type) and typing.get_origin(part) is not os.PathLike
    ]


def _or(said: Sequence[str]) -> str:
    comma = "," if len(said) > 2 else ""
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])}{comma} or {said[-1]}"


def _taken(kind: ArgumentKind, value: Any, where: str) -> Any:
    try:
        return kind.take(value)
    except _Mismatch as wrong:
        raise _Mismatch(wrong.value, wrong.fix, f"{wrong.where} {where}".lstrip()) from None


def _items(values: Iterable[Any], kind: ArgumentKind) -> list[Any]:
    return [_taken(kind, value, f"as item {place}") for place, value in enumerate(values)]


def _is_listed(value: Any) -> bool:
    """Return whether a value is a sequence or an array with axes, rather than one thing."""
    if isinstance(value, _NOT_SEVERAL):
        return False
    return isinstance(value, Sequence) or bool(getattr(value, "shape", ()))


def is_unordered(value: Any) -> bool:
    """Return whether a value is a set; the keys of a dictionary are one, but in its order."""
    return isinstance(value, Set) and not isinstance(value, KeysView)


def _several(kind: ArgumentKind | None, *, lazily: bool) -> ArgumentKind:
    """Return the kind of a sequence, or of what can be iterated over, once perhaps.

    Args:
        kind: That of its items.
        lazily: Whether what is read only once stays as it is; else it becomes a list.
    """

    def take(value: Any) -> Any:
        """Check a sequence's items; those of anything else are not there yet."""
        if isinstance(value, str):
            raise _Mismatch(value, f"Put it into a list: [{value!r}].")
        if isinstance(value, Mapping) or is_unordered(value):
            raise _Mismatch(value, "Give a list, whose order is kept: list(...).")
        if isinstance(value, _NOT_SEVERAL):
            raise _Mismatch(value, _decoding(value))
        if _is_listed(value):
            items = value if kind is None else _items(value, kind)
            return tuple(items) if type(value) is tuple else items
        is_file = hasattr(value, "read")  # whose lines end in a line break
        is_scalar = getattr(value, "shape", None) == ()  # though numpy's have `__iter__`
        if not isinstance(value, Iterable) or is_scalar or (is_file and not lazily):
            raise _Mismatch(value)
        if lazily:
            return value
        return list(value) if kind is None else _items(value, kind)

    of = "values" if kind is None else kind.plural
    return ArgumentKind(f"a list of {of}", f"lists of {of}", take)


def _tuple_of(parts: Sequence[Any]) -> ArgumentKind:
    """Return the kind of a tuple, which may be given as another sequence."""
    if len(parts) == 2 and parts[1] is Ellipsis:
        listed = _several(kind_of(parts[0]), lazily=False)
        return listed._replace(take=lambda value: tuple(listed.take(value)))
    kinds = [kind_of(part) for part in parts]

    def take(value: Any) -> Any:
        """Check the number of the items, and each item."""
        if not _is_listed(value) or len(value) != len(kinds):
            raise _Mismatch(value)
        return tuple(
            one if kind is None else _taken(kind, one, f"as item {place}")
            for place, (one, kind) in enumerate(zip(value, kinds, strict=True))
        )

    number = _NUMBERS_OF_ITEMS.get(len(kinds), str(len(kinds)))
    plurals = {"values" if kind is None else kind.plural for kind in kinds}
    of = plurals.pop() if len(plurals) == 1 else "values"
    return ArgumentKind(f"{number} {of}", f"tuples of {number} {of}", take)


def _mapping(key: ArgumentKind | None, value: ArgumentKind | None) -> ArgumentKind:
    def take(given: Any) -> Any:
        """Check the keys and the values."""
        if not isinstance(given, Mapping):
            raise _Mismatch(given)
        keys = list(given) if key is None else _items(given, key)
        values = list(given.values())
        if value is not None:
            values = [_taken(value, one, f"for {_shown(name)}") for name, one in given.items()]
        return dict(zip(keys, values, strict=True))

    ofs = " to ".join("values" if kind is None else kind.plural for kind in (key, value))
    return ArgumentKind(f"a mapping of {ofs}", f"mappings of {ofs}", take)
