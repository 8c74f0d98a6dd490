"""The exceptions that cnnkit raises, and the template of their messages.

Each message is one line: the rule, what was received, and how to fix it. Python parameters are
in backticks, with a value where it matters: `top_k`, `overwrite=True`. The command line replaces
them with its own options.
"""

from __future__ import annotations

import re

_PARAMETER = re.compile(r"`(\w+)(?:=[^`]*)?`")


class BrokenRule(str):
    """A message made by `broken_rule`, with its parts.

    Attributes:
        parameter: Name of the parameter that the rule is about; None if it is about something
            else, such as a file.
        rule: The rule, to be read after ``NAME must``.
        received: The value that was received.
    """

    parameter: str | None = None
    rule: str | None = None
    received: object = None

    def __reduce__(self) -> tuple[object, ...]:
        """Let an error pass to another process, whatever was received."""
        plain = self.received is None or isinstance(self.received, str | int | float)
        received = self.received if plain else repr(self.received)
        return _rebuilt_rule, (str(self), self.parameter, self.rule, received)


def _rebuilt_rule(
    text: str, parameter: str | None, rule: str | None, received: object
) -> BrokenRule:
    message = BrokenRule(text)
    message.parameter, message.rule, message.received = parameter, rule, received
    return message


class CnnkitError(Exception):
    """Base class of all errors that cnnkit raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        """Let an error pass to another process: those with attributes need more than a message."""
        return _rebuilt_error, (type(self), self.args, self.__dict__)

    @property
    def parameter(self) -> str | None:
        """Name of the parameter with the invalid value, if any."""
        return getattr(self._message, "parameter", None)

    @property
    def rule(self) -> str | None:
        """The violated rule, to be read after ``NAME must``, if known."""
        return getattr(self._message, "rule", None)

    @property
    def received(self) -> object:
        """The value that was received, if known."""
        return getattr(self._message, "received", None)

    @property
    def _message(self) -> object:
        return self.args[0] if self.args else None


def _rebuilt_error(
    kind: type[CnnkitError], arguments: tuple[object, ...], attributes: dict[str, object]
) -> CnnkitError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(attributes)
    return error


class UsageError(CnnkitError):
    """An argument is invalid."""


class BundleError(CnnkitError):
    """A model bundle, model card or weights file cannot be opened, or is unsafe to open."""


class GalleryError(CnnkitError):
    """A face gallery cannot be opened, or is unsafe to open."""


class OutputError(CnnkitError):
    """A result cannot be written."""


class RuntimeUnavailableError(CnnkitError):
    """The requested device, runtime or precision is not available on this machine."""


class ImageError(CnnkitError):
    """An image cannot be read or processed; it becomes one ``error`` row.

    Attributes:
        kind: Machine-readable reason, one of `ImageError.KINDS`.
        message: Human-readable reason, without the path.
    """

    KINDS = (
        "missing",  # no such file
        "unreadable",  # permission, input/output error, a folder or a device
        "empty",  # zero bytes
        "not-an-image",  # the content is no known image format
        "unsupported",  # an image format or mode that cannot be decoded here
        "truncated",  # the file ends early
        "corrupt",  # the content breaks its own format
        "too-large",  # more pixels than `max_pixels`
        "no-images",  # a folder or pattern without any image
        "no-face",  # no face was found in it
        "several-faces",  # more than one face was found and one is asked for
        "failed",  # the model or an output could not handle this image
        "crashed",  # the process that handled it died
    )

    def __init__(self, kind: str, message: str) -> None:
        if kind not in self.KINDS:
            raise ValueError(f"`kind` must be one of {self.KINDS}. Received: kind={kind!r}.")
        super().__init__(message)
        self.kind = kind
        self.message = message


def broken_rule(name: str, rule: str, received: object, fix: str = "") -> BrokenRule:
    """Return one line: the rule, what was received, and how to fix it.

    Args:
        name: The parameter that the rule is about, in backticks, or a file or another thing.
        rule: The rule, to be read after ``NAME must``, such as ``be at least 1``.
        received: The value that was received.
        fix: A sentence that says how to fix it, or "".

    Returns:
        For example "`top_k` must be at least 1. Received: 0. Use an integer from 1 up."
    """
    message = BrokenRule(f"{name} must {rule}. Received: {received}.{' ' + fix if fix else ''}")
    message.parameter, message.rule, message.received = _parameter_of(name), rule, received
    return message


def requires(name: str, other: str, fix: str = "") -> BrokenRule:
    """Return "`name` requires `other`.", and how to fix it."""
    return _relation(name, f"{name} requires {other}.", f"go with {other}", fix)


def mutually_exclusive(name: str, other: str, fix: str = "") -> BrokenRule:
    """Return "`name` and `other` are mutually exclusive.", and how to fix it."""
    said = f"{name} and {other} are mutually exclusive."
    return _relation(name, said, f"go without {other}", fix)


def is_required(name: str, fix: str = "") -> BrokenRule:
    """Return "`name` is required.", and how to fix it."""
    return _relation(name, f"{name} is required.", "be given", fix)


def _relation(name: str, said: str, rule: str, fix: str) -> BrokenRule:
    message = BrokenRule(f"{said} {fix}".rstrip())
    message.parameter, message.rule = _parameter_of(name), rule
    return message


def _parameter_of(name: str) -> str | None:
    found = _PARAMETER.fullmatch(name)
    return found[1] if found else None


def did_you_mean(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return ``Did you mean 'x'?`` for the closest known names, or ""."""
    import difflib

    by_lower = {k.lower(): k for k in known}  # a name may be known in two ways
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.5)
    if not close:
        return ""
    return "Did you mean " + " or ".join(repr(by_lower[c]) for c in close) + "?"
