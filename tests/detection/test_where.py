"""Conditions on what an image shows."""

from __future__ import annotations

import pytest

from cnnkit.detection.where import Where
from cnnkit.errors import UsageError

LABELS = ("person", "dog", "tv", "traffic light", "android", "any")


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("person", ["person"], True),
        ("person", ["dog"], False),
        ("person>=1 and not dog", ["person", "person"], True),
        ("person>=1 and not dog", ["person", "dog"], False),
        ("person >= 2", ["person"], False),
        ("person=1", ["person"], True),
        (
            "person == 1 and person != 2 and person <= 1 and person < 2 and person>0",
            ["person"],
            True,
        ),
        ("dog or person and tv", ["dog"], True),  # and binds closer
        ("(dog or person) and tv", ["dog"], False),
        ("not not dog", ["dog"], True),
        ("NOT dog AND Person", ["person"], True),
        ("traffic light>1", ["traffic light"] * 2, True),
        ("'traffic light' and \"dog\"", ["traffic light", "dog"], True),
        ("android", ["android"], True),  # begins like a word of the language
        ("tvmonitor", ["tv"], True),
        ("any>2", ["dog", "dog", "tv"], True),
        ("any=0", [], True),
        ("'any'", ["dog"], False),  # the class of that name
        ("not(dog)and(tv)", ["tv"], True),
    ],
)
def test_conditions(text: str, found: list[str], expected: bool) -> None:
    assert Where(text, LABELS).matches(found) is expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "say which class it is about"),
        ("dog and", "say which class it is about"),
        ("dog and or tv", "say which class it is about"),
        ("(dog", "say where a bracket ends"),
        ("dog)", "say 'and' or 'or' before ')'"),
        ("dog > 1 tv", "say 'and' or 'or' before 'tv'"),
        ("dog >", "say a whole number after a comparison"),
        ("dog > -1", "say a whole number after a comparison"),
        ("dog > 99999999999", "say a whole number"),
        ("dog > tv", "say a whole number"),
        ("dgo", "Did you mean 'dog'?"),
        ("'dog", 'say what "\'dog" means'),
        ("not " * 60 + "dog", "at most 50 brackets and nots"),
        ("(" * 60 + "dog" + ")" * 60, "at most 50 brackets and nots"),
        ("dog " * 1000, "have at most 2000 characters"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(UsageError, match="`where` must") as refused:
        Where(text, LABELS)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
