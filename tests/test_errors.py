"""The parts of errors: the parameter's name, the rule and what was received."""

from __future__ import annotations

import pickle

import pytest

from cnnkit.errors import (
    CnnkitError,
    ImageError,
    UsageError,
    broken_rule,
    did_you_mean,
    is_required,
    mutually_exclusive,
    requires,
)
from cnnkit.exporting.checking import CheckFailedError
from cnnkit.lab.arithmetic.chain import ChainError


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("`top_k`", "top_k"),
        ("`method='sliding'`", "method"),
        ("a.csv", None),
        ("`a` and `b`", None),
    ],
)
def test_an_error_carries_its_parts(name: str, parameter: str | None) -> None:
    error = UsageError(broken_rule(name, "be at least 1", 0, "Use 1."))
    assert str(error) == f"{name} must be at least 1. Received: 0. Use 1."
    assert (error.parameter, error.rule, error.received) == (parameter, "be at least 1", 0)


def test_the_parts_outlive_a_change_of_process() -> None:
    error = pickle.loads(pickle.dumps(UsageError(broken_rule("`top_k`", "be at least 1", 0))))
    assert (error.parameter, error.rule, error.received) == ("top_k", "be at least 1", 0)


@pytest.mark.parametrize("error", [UsageError(), UsageError("Nothing."), ImageError("empty", "0")])
def test_other_errors_have_no_parts(error: UsageError) -> None:
    assert (error.parameter, error.rule, error.received) == (None, None, None)


def test_relations_of_parameters_have_one_phrasing_each() -> None:
    assert requires("`a`", "`b`") == "`a` requires `b`."
    assert mutually_exclusive("`a`", "`b`", "Drop one.") == (
        "`a` and `b` are mutually exclusive. Drop one."
    )
    error = UsageError(is_required("`a`", "Give it."))
    assert str(error) == "`a` is required. Give it."
    assert (error.parameter, error.rule, error.received) == ("a", "be given", None)


def test_a_name_that_is_known_twice_is_suggested_once() -> None:
    assert did_you_mean("lenet", ["lenet-5", "LeNet-5", "vgg"]) == "Did you mean 'LeNet-5'?"


@pytest.mark.parametrize(
    "error",
    [
        ImageError("empty", "the file has no content"),
        UsageError(broken_rule("`top_k`", "be at least 1", 0)),
        UsageError(broken_rule("`progress`", "be callable", lambda: None)),
        ChainError("a layer is wrong", 2, 3, 4),
        CheckFailedError("it differs", 0.5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_passes_to_another_process(error: CnnkitError) -> None:
    """A pool of processes whose worker raises what cannot be unpickled is broken for good."""
    got = pickle.loads(pickle.dumps(error))
    assert type(got) is type(error) and str(got) == str(error)
    assert (got.parameter, got.rule) == (error.parameter, error.rule)
    assert got.__dict__ == error.__dict__
