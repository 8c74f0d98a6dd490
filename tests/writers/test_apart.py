"""Outputs are told from inputs by the files themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cnnkit.errors import UsageError
from cnnkit.writers.apart import (
    check_apart,
    check_not_beside,
    check_places_differ,
    check_replaced_folder,
    identity,
    name_key,
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    return tmp_path


def linked(path: str) -> str:
    os.symlink(path, "link")
    return "link"


def hard_linked(path: str) -> str:
    os.link(path, "hard")
    return "hard"


NAMES = [
    str,
    lambda path: f"./in/../{path}",
    os.path.abspath,
    linked,
    hard_linked,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_the_same_under_every_name(name):
    with pytest.raises(UsageError, match=r"`output` must not be an input.*a\.png"):
        check_apart(
            [("`output`", name("in/a.png"))], [("`styles`", "b.png"), ("`mask`", "in/a.png")]
        )


def test_what_differs_or_does_not_exist_is_allowed():
    inputs = [("the input", path) for path in ("in", "in/a.png", "gone", "b\0ad")]
    check_apart(
        [
            ("`output`", "b.png"),
            ("`output`", "new.png"),
            ("`output`", "gone"),
            ("`output`", "b\0ad"),
        ],
        inputs,
    )


def test_inputs_are_not_gone_through_where_no_output_exists():
    check_apart([("`output`", "new.png")], (1 / 0 for _ in "x"))
    check_not_beside([("`output`", "new")], (1 / 0 for _ in "x"))


def test_a_folder_of_results_is_no_folder_of_inputs(here):
    os.symlink("in", "also")
    for folder, given in (("in", "in"), ("also", "in/a.png"), ("in", "also"), (".", "b.png")):
        with pytest.raises(UsageError, match="must differ from the folders of the inputs"):
            check_not_beside([("`crops`", folder)], [given])
    check_not_beside([("`crops`", "in")], ["b.png"])


def test_a_replaced_folder_holds_no_input():
    with pytest.raises(UsageError, match=r"the folder of `split_file` in/a\.png"):
        check_replaced_folder("`output`", "in", [("`split_file`", "in/a.png")])
    check_replaced_folder("`output`", "in", [("`split_file`", "b.png")])
    check_replaced_folder("`output`", "new", [("`split_file`", "in/a.png")])


@pytest.mark.parametrize(
    "names",
    [
        ("x.csv", "./x.csv"),
        ("X.csv", "x.CSV"),
        ("e\u0301.csv", "\u00e9.csv"),
        ("b.png", "in/../b.png"),
    ],
)
def test_two_outputs_of_one_place_are_refused(names):
    with pytest.raises(UsageError, match="outputs must be different files and folders"):
        check_places_differ([("`output`", name) for name in names])


def test_two_outputs_of_two_places():
    check_places_differ([("`output`", "x.csv"), ("`output`", "in/x.csv"), ("`output`", "y.csv")])


def test_identity_and_names():
    status = os.stat("b.png")
    assert identity("b.png") == (status.st_dev, status.st_ino)
    assert identity("gone") is None and identity("gone/..") == identity(".")
    assert name_key("Stra\u00dfe") == name_key("STRASSE") and name_key("a") != name_key("b")
