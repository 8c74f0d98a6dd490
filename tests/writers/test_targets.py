"""Files to write are checked before the work begins, alike for every command."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

import cnnkit
from cnnkit.detection.outputs import BoxOutputs
from cnnkit.errors import OutputError, UsageError
from cnnkit.sorting_plan import planned_folder
from cnnkit.writers import targets
from cnnkit.writers.claims import holding_claims
from cnnkit.writers.locking import locked_beside, locked_folder
from cnnkit.writers.targets import claimed_folders, target_file, target_page


def test_a_file_that_can_be_written_is_given_as_a_path(tmp_path: Path) -> None:
    assert target_file("`report`", None, overwrite=False) is None
    new, old = tmp_path / "new.csv", tmp_path / "old.HTML"
    old.touch()
    assert target_file("`counts`", str(new), (".csv",), overwrite=False) == new
    assert target_page(old, overwrite=True) == old
    assert not new.exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a.gif", r"`diagram` must end in \.svg or \.png. Received: .*a\.gif"),
        ("gone/a.svg", "`diagram` must be a file in an existing folder"),
        ("folder.svg", "`diagram` must be a file in an existing folder"),
        ("old.svg", "old.svg exists already. Use `overwrite=True`"),
    ],
)
def test_what_cannot_be_written_is_refused(given: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "old.svg").touch()
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(UsageError, match=told):
        target_file(
            "`diagram`",
            tmp_path / given,
            (".svg", ".png"),
            overwrite=False,
            endings=".svg or .png",
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            target_page(tmp_path / "a.html", overwrite=False)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["classify", "doctor", "evaluate", "explain"])
def test_a_report_is_checked_before_anything_is_read(name: str, tmp_path: Path) -> None:
    report = tmp_path / "gone" / "report.html"
    places = ("efficientnet-lite0", "no-such-folder") if name == "evaluate" else ("no-such-folder",)
    with pytest.raises(UsageError, match="`report` must be a file in an existing folder"):
        getattr(cnnkit, name)(*places, report=report)


def test_a_sheet_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`output` must be a file in an existing folder"):
        cnnkit.augment("no-such-image.jpg", tmp_path / "gone" / "sheet.png")


@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("a", "./a/"), ("a/b", "a"), ("a", "a/b"), ("a/b", "a/c", "a", "a-b")],
    ids=str,
)
def test_folders_of_one_run_may_be_the_same_or_lie_in_others(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in names]
    for _ in range(2):  # nothing is left of the first
        with claimed_folders(folders, replaces=False):
            assert all(folder.is_dir() for folder in folders)
            with (
                pytest.raises(UsageError, match="is being written by another run"),
                claimed_folders(folders[:1], replaces=True),
            ):
                raise AssertionError("two runs at once")
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").touch()
    with (
        pytest.raises(UsageError, match="has files already"),
        claimed_folders(folders, replaces=False),
    ):
        raise AssertionError("among files")


def test_a_folder_that_another_run_holds_stays(tmp_path: Path, monkeypatch) -> None:
    """The run that was refused removed it, as long as it was empty."""
    folder = tmp_path / "a"

    def made_and_taken(path: Path) -> None:
        path.mkdir()
        other.enter_context(locked_folder(path))

    with ExitStack() as other:
        monkeypatch.setattr(targets, "make_folder", made_and_taken)
        with (
            pytest.raises(UsageError, match="is being written by another run"),
            claimed_folders([folder], replaces=False),
        ):
            raise AssertionError("two runs at once")
        assert folder.is_dir()
    folder.rmdir()
    with planned_folder(folder, resume=False):
        with (
            pytest.raises(UsageError, match="is being written by another run"),
            planned_folder(folder, resume=False),
        ):
            raise AssertionError("two runs at once")
        assert folder.is_dir()
    assert not folder.exists()


def test_the_folder_of_a_shard_is_refused_with_what_shards_need(tmp_path: Path) -> None:
    advice = "Give each shard a folder of its own"
    with (
        claimed_folders([tmp_path / "a"], replaces=False, of_shard=True),
        pytest.raises(UsageError, match=f"written by another run. {advice}"),
        claimed_folders([tmp_path / "a"], replaces=False, of_shard=True),
    ):
        raise AssertionError("two shards at once")
    (tmp_path / "x.jpg").touch()
    for further in ({"annotate": tmp_path}, {"boxes": [f"yolo:{tmp_path}"]}):
        with pytest.raises(UsageError, match=f"has files already. {advice}"):
            BoxOutputs(**further, of_shard=True)


def test_a_file_that_another_run_is_to_write_is_refused(tmp_path: Path) -> None:
    """Both would find the name free, and the last to end replaced what the other had written."""
    page, long = tmp_path / "a.html", tmp_path / f"{'ä' * 125}.html"
    with holding_claims():
        assert [target_page(one, overwrite=False) for one in (page, page, long)][-1] == long
        with ThreadPoolExecutor(1) as elsewhere:  # with claims of its own
            for overwrite in (False, True):
                error = elsewhere.submit(_claimed, page, overwrite).exception()
                assert isinstance(error, UsageError)
                assert str(error).startswith(f"{page} is being written by another run. Wait ")
    assert list(tmp_path.iterdir()) == []
    assert _claimed(page, False) == page


def _claimed(page: Path, overwrite: bool) -> Path | None:
    with holding_claims():
        return target_page(page, overwrite=overwrite)


def test_a_file_that_the_run_before_has_just_written_is_kept(tmp_path: Path, monkeypatch) -> None:
    page = tmp_path / "a.html"
    monkeypatch.setattr(targets, "check_writable", lambda path: path.touch())  # just now
    with pytest.raises(UsageError, match="exists already"), holding_claims():
        target_page(page, overwrite=False)
    assert os.listdir(tmp_path) == ["a.html"]


@pytest.mark.parametrize("name", ["classify", "doctor", "dedupe", "detect", "explain"])
def test_of_two_commands_with_one_report_the_second_is_refused(name: str, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    with locked_beside(page), pytest.raises(UsageError, match=r"a\.html is being written"):
        getattr(cnnkit, name)(str(tmp_path), report=page)
