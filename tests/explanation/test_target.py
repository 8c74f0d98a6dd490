"""Which class ``--class`` names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cnnkit.errors import UsageError
from cnnkit.explanation.target import Target


def index(labels: tuple[str, ...], name: str) -> int | None:
    return Target.named(SimpleNamespace(labels=labels), name).index


@pytest.mark.parametrize(
    ("labels", "name", "expected"),
    [
        (("A", "a"), "a", 1),
        (("A", "a"), "A", 0),
        (("cat", "dog"), "DOG", 1),
        (("caf\u00e9", "tea"), "cafe\u0301", 0),
        (("cat", "dog"), "1", 1),
        (("2", "1", "0"), "1", 1),
        (("2", "1", "0"), "0", 2),
        (("cat", "dog"), " dog ", 1),
    ],
)
def test_a_name_means_one_class(labels, name, expected):
    assert index(labels, name) == expected


@pytest.mark.parametrize(
    ("labels", "name", "message"),
    [
        (("01", "02"), "1", r"Its labels are numbers themselves, such as 01, 02"),
        (("Aa", "aA"), "aa", r"name one class.*Use the same capitalization"),
        (("crane", "crane"), "crane", r"give the index"),
        (("cat", "dog"), "2", r"`class_name` must name a class of the model"),
        (("cat", "dog"), "tac", r"`class_name` must name a class of the model.*Received: 'tac'"),
    ],
)
def test_a_name_of_none_or_several_is_refused(labels, name, message):
    with pytest.raises(UsageError, match=message):
        index(labels, name)
