"""The errors that cnnkit raises, and the one template of their messages.

Every error says the rule first, then what was received, then the fix, in one line. Parameters
are named as in Python and stand in backticks, with a value where that matters: `top_k`,
`overwrite=True`. The command line writes them as its own options.
"""

from __future__ import annotations

import re

_PARAMETER = re.compile(r"`(\w+)(?:=[^`]*)?`")


class BrokenRule(str):
    """A message made by `broken_rule`, with its parts.

    Attributes:
        parameter: The name of the parameter that the rule is about; None where it is about
            something else, such as a file.
        rule: What must hold, to be read after ``NAME must``.
        received: The value that was received.
    """

    parameter: str | None = None
    rule: str | None = None
    received: object = None


class CnnkitError(Exception):
    """Base of every error that cnnkit raises on purpose: the command could not run."""

    @property
    def parameter(self) -> str | None:
        """The name of the parameter whose rule is broken; None where there is none."""
        return getattr(self._message, "parameter", None)

    @property
    def rule(self) -> str | None:
        """What must hold, to be read after ``NAME must``; None where unknown."""
        return getattr(self._message, "rule", None)

    @property
    def received(self) -> object:
        """The value that was received; None where unknown."""
        return getattr(self._message, "received", None)

    @property
    def _message(self) -> object:
        return self.args[0] if self.args else None


class UsageError(CnnkitError):
    """An option or argument breaks a rule."""


class BundleError(CnnkitError):
    """A model bundle, card or weight file cannot be opened, or must not be."""


class GalleryError(CnnkitError):
    """A face gallery cannot be opened, or must not be."""


class OutputError(CnnkitError):
    """A result cannot be written where it was asked for."""


class RuntimeUnavailableError(CnnkitError):
    """The asked device, runtime or precision is not to be had on this machine."""


class ImageError(CnnkitError):
    """One image cannot be read; it becomes one ``error`` row.

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
    )

    def __init__(self, kind: str, message: str) -> None:
        if kind not in self.KINDS:
            raise ValueError(f"`kind` must be one of {self.KINDS}. Received: kind={kind!r}.")
        super().__init__(message)
        self.kind = kind
        self.message = message


def broken_rule(name: str, rule: str, received: object, fix: str = "") -> BrokenRule:
    """Return one line: the rule, what was received, and how to mend it.

    Args:
        name: The parameter that the rule is about, in backticks, or a file or another thing.
        rule: What must hold, to be read after ``NAME must``, such as ``be at least 1``.
        received: The value that was received.
        fix: A sentence with the remedy, or "".

    Returns:
        For example "`top_k` must be at least 1. Received: 0. Use a whole number from 1 up."
    """
    message = BrokenRule(f"{name} must {rule}. Received: {received}.{' ' + fix if fix else ''}")
    message.parameter, message.rule, message.received = _parameter_of(name), rule, received
    return message


def requires(name: str, other: str, fix: str = "") -> BrokenRule:
    """Return "`name` requires `other`.", and how to mend it."""
    return _relation(name, f"{name} requires {other}.", f"go with {other}", fix)


def mutually_exclusive(name: str, other: str, fix: str = "") -> BrokenRule:
    """Return "`name` and `other` are mutually exclusive.", and how to mend it."""
    said = f"{name} and {other} are mutually exclusive."
    return _relation(name, said, f"go without {other}", fix)


def is_required(name: str, fix: str = "") -> BrokenRule:
    """Return "`name` is required.", and how to mend it."""
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

    close = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=3, cutoff=0.5)
    by_lower = {k.lower(): k for k in known}
    if not close:
        return ""
    return "Did you mean " + " or ".join(repr(by_lower[c]) for c in close) + "?"
