"""The options of a detector as they are written in one line: on a command line, in a query."""

from __future__ import annotations

from collections.abc import Sequence

from cnnkit.errors import UsageError, broken_rule


def parts(values: Sequence[str], separator: str = ",") -> list[str]:
    """Return the parts of repeated options with separators."""
    return [part.strip() for value in values for part in value.split(separator) if part.strip()]


def confidence_of(values: Sequence[str]) -> dict[str, float] | None:
    """Return the minimum scores by class, "" for all others; None: the model's own.

    Raises:
        UsageError: One is not a number.
    """
    found = {}
    for part in parts(values):
        name, equals, value = part.rpartition("=")
        try:
            found[name.strip() or equals] = float(value)
        except ValueError:
            rule = "be a number, or CLASS=NUMBER"
            raise UsageError(broken_rule("`confidence`", rule, repr(part))) from None
    return found or None


def groups_of(value: str | None) -> bool | list[list[str]] | None:
    """Return the groups of classes that are written ``car+truck,cat+dog``, True for all."""
    if value is None:
        return None
    return [parts([group], "+") for group in parts([value])] or True
