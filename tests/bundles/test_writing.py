"""A bundle appears whole, or not at all, and never in the place of anything else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cnnkit.bundles.writing import check_target, writing_bundle
from cnnkit.errors import OutputError


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def written(folder, text="new", overwrite=False):
    with writing_bundle(folder, overwrite) as fresh:
        assert not (folder / "card.json").exists() or (folder / "card.json").read_text() == "old"
        (fresh / "card.json").write_text(text)


def test_the_folder_appears_at_the_end(tmp_path):
    written(tmp_path / "b")
    assert left(tmp_path) == ["b"]
    assert (tmp_path / "b" / "card.json").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error), writing_bundle(tmp_path / "b") as fresh:
        (fresh / "card.json").write_text("half")
        raise error
    assert left(tmp_path) == []


def test_an_error_leaves_the_old_bundle(tmp_path):
    written(tmp_path / "b", "old")
    with pytest.raises(OutputError, match="cannot be written"):
        with writing_bundle(tmp_path / "b", overwrite=True):
            raise OSError(28, "No space left on device")
    assert (tmp_path / "b" / "card.json").read_text() == "old"
    assert left(tmp_path) == ["b"]


def test_a_bundle_is_replaced_only_if_asked(tmp_path):
    written(tmp_path / "b", "old")
    with pytest.raises(OutputError, match=r"exists already\. Use `overwrite=True`"):
        written(tmp_path / "b")
    written(tmp_path / "b", overwrite=True)
    assert (tmp_path / "b" / "card.json").read_text() == "new"
    assert left(tmp_path) == ["b"]


def test_nothing_but_a_bundle_is_ever_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("dear to me")
    (tmp_path / "file").write_text("a file")
    written(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("photos", "file", "link"):
        with pytest.raises(OutputError, match="must be a bundle to replace"):
            check_target(tmp_path / name, overwrite=True)
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "dear to me"


def test_what_appears_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(OutputError, match="exists already"):
        with writing_bundle(tmp_path / "b") as fresh:
            (fresh / "card.json").write_text("new")
            (tmp_path / "b").mkdir()
    assert left(tmp_path) == ["b"]
    assert left(tmp_path / "b") == []


def test_the_folder_above_must_exist(tmp_path):
    with pytest.raises(OutputError, match="must be in an existing folder"):
        check_target(tmp_path / "none" / "b", overwrite=False)


KILLED = """
import os, signal, sys
from pathlib import Path
from cnnkit.bundles.writing import writing_bundle
with writing_bundle(Path(sys.argv[1])) as fresh:
    (fresh / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="locks that end with their process")
def test_what_a_killed_run_left_goes_with_the_next_one_for_the_same_target(tmp_path):
    for name in ("b", "other"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)])
    similar = tmp_path / ".cnnkit-unfinished-mine"
    similar.mkdir()
    assert len(left(tmp_path)) == 3
    written(tmp_path / "b")
    names = left(tmp_path)
    assert len(names) == 3 and {"b", similar.name} < set(names)  # and what is left of "other"


@pytest.mark.skipif(os.name != "posix", reason="locks that end with their process")
def test_what_a_running_one_writes_stays(tmp_path):
    with writing_bundle(tmp_path / "b", overwrite=True) as first:
        (first / "card.json").write_text("first")
        written(tmp_path / "b")
        assert (first / "card.json").read_text() == "first"
    assert (tmp_path / "b" / "card.json").read_text() == "first"
    assert left(tmp_path) == ["b"]
