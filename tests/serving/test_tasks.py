"""Options of a task: made from a function, read from a query."""

from __future__ import annotations

import pytest

import cnnkit
from cnnkit.errors import UsageError
from cnnkit.serving.tasks import (
    Answer,
    ServedModel,
    ServedTask,
    descriptions,
    in_query_words,
    options_of,
)


def sample(inputs: str, *, top_k: int = 5, share: float | None = None, deep: bool = False) -> None:
    """Do something.

    Args:
        inputs: Not offered.
        top_k: How many,
            at least 1.
        share: From 0 to 1.
        deep: Look ``closer``.

    Returns:
        Nothing: at all.
    """


def task() -> ServedTask:
    models = [
        ServedModel(name, {}, {}, lambda images, values: Answer({})) for name in ("one", "two")
    ]
    return ServedTask("sample", "", models, options_of(sample, ("top_k", "share", "deep")))


def test_options_are_those_of_the_function():
    found = [(o.flag, o.kind, o.default, o.description) for o in task().options]
    assert found == [
        ("top-k", "integer", 5, "How many, at least 1."),
        ("share", "number", None, "From 0 to 1."),
        ("deep", "boolean", False, "Look closer."),
    ]
    assert set(descriptions(sample)) == {"inputs", "top_k", "share", "deep"}
    assert "minimum" in descriptions(cnnkit.detect)["confidence"].lower()


def test_a_query_is_read_in_both_spellings():
    ours = task()
    model, values = ours.read([("top-k", "3"), ("share", "0.5"), ("deep", ""), ("model", "two")])
    assert (model.name, values) == ("two", {"top_k": 3, "share": 0.5, "deep": True})
    assert ours.read([("top_k", "3"), ("deep", "False")])[1] == {"top_k": 3, "deep": False}
    assert ours.read([])[0].name == "one"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ([("topk", "3")], "Received: 'topk'. Did you mean 'top-k'?"),
        ([("zzz", "3")], "It has: model, top-k, share, deep."),
        ([("top-k", "many")], "`top_k` must be a whole number. Received: 'many'."),
        ([("share", "a lot")], "`share` must be a number"),
        ([("deep", "perhaps")], "`deep` must be true or false"),
        ([("deep", "1"), ("deep", "0")], "each option must be given once. Received: 'deep'."),
        ([("model", "tow")], "Did you mean 'two'?"),
    ],
)
def test_what_is_wrong_with_a_query_is_said_in_one_line(query, said):
    with pytest.raises(UsageError) as caught:
        task().read(query)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_messages_of_the_library_name_the_options_of_the_query():
    assert in_query_words("`top_k` must be 1; see `x=2`.") == "top-k must be 1; see x."
