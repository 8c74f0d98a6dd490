"""The state folder of a training: one run at a time, and nothing of anybody else's removed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cnnkit.errors import UsageError
from cnnkit.training.state_folder import claimed, empty

STAGES = ("frozen", "whole")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state of an unfinished run."""
    folder = tmp_path / "out.part"
    (folder / "epoch-00003").mkdir(parents=True)
    (folder / "epoch-00003" / "state.json").write_text("{}")
    (folder / "best-00002.safetensors").write_text("")
    (folder / ".part-0123456789abcdef").mkdir()
    (folder / ".cnnkit-0123456789abcdef.part").write_text("")
    return folder


def test_a_claim_that_leaves_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with claimed(tmp_path / "out.part"):
        assert (tmp_path / "out.part").is_dir()
    assert not (tmp_path / "out.part").exists()


@pytest.mark.parametrize("flags", [{"overwrite": True}, {"resume": True}, {"used": False}, {}])
def test_a_second_run_touches_nothing_of_a_living_one(state: Path, flags: dict) -> None:
    before = sorted(state.rglob("*"))
    with claimed(state, resume=True):
        with (
            pytest.raises(UsageError, match=r"out\.part is being written by another run"),
            claimed(state, **flags),
        ):
            pass
        assert sorted(state.rglob("*")) == before


def test_the_empty_folder_of_another_run_stays(tmp_path: Path) -> None:
    """The run that was refused removed it: the first checkpoint of the other one failed."""
    folder = tmp_path / "new.part"
    with claimed(folder):
        with pytest.raises(UsageError, match="is being written by another run"), claimed(folder):
            pass
        assert folder.is_dir()
    assert not folder.exists()


def test_the_claim_ends_with_the_process(state: Path) -> None:
    code = (
        "import os, pathlib, sys; from cnnkit.training.state_folder import claimed\n"
        "with claimed(pathlib.Path(sys.argv[1]), resume=True): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, state], check=False).returncode == -9
    with claimed(state, resume=True):
        assert (state / "epoch-00003").is_dir()


def test_an_unfinished_run_is_gone_on_with_or_thrown_away_on_demand(state: Path) -> None:
    with pytest.raises(UsageError, match=r"out\.part holds an unfinished run\. Use `resume=True"):
        claimed(state).__enter__()
    with claimed(state, resume=True):
        assert len(list(state.iterdir())) == 4
    with claimed(state, overwrite=True):
        assert not list(state.iterdir())


@pytest.mark.parametrize("flags", [{"overwrite": True}, {"resume": True}, {}])
@pytest.mark.parametrize("name", ["thesis.txt", "epoch-1", "epoch-00001.txt", "best-00001", "x/y"])
def test_what_no_training_wrote_is_left_alone(state: Path, flags: dict, name: str) -> None:
    (state / name).parent.mkdir(exist_ok=True)
    (state / name).write_text("mine")
    with pytest.raises(UsageError, match="be free for checkpoints"):
        claimed(state, **flags).__enter__()
    assert (state / name).read_text() == "mine"
    empty(state)
    assert (state / name).read_text() == "mine"


@pytest.mark.parametrize("flags", [{"overwrite": True}, {"resume": True}])
def test_a_link_is_not_followed(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "mine" / "epoch-00001").mkdir(parents=True)
    (tmp_path / "mine" / "epoch-00001" / "state.json").write_text("mine")
    (tmp_path / "out.part").symlink_to(tmp_path / "mine")
    (tmp_path / "other.part").mkdir()
    (tmp_path / "other.part" / "epoch-00001").symlink_to(tmp_path / "mine" / "epoch-00001")
    for name in ("out.part", "other.part"):
        with pytest.raises(UsageError, match="be free for checkpoints"):
            claimed(tmp_path / name, **flags).__enter__()
    empty(tmp_path / "other.part")
    assert (tmp_path / "mine" / "epoch-00001" / "state.json").read_text() == "mine"


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.part").write_text("mine")
    with pytest.raises(UsageError, match="be free for checkpoints"):
        claimed(tmp_path / "out.part", overwrite=True).__enter__()


def test_stages_have_folders_of_their_own(state: Path, tmp_path: Path) -> None:
    whole = tmp_path / "staged.part"
    whole.mkdir()
    state.rename(whole / "whole")
    with claimed(whole, resume=True, stages=STAGES):
        assert (whole / "whole" / "epoch-00003").is_dir()
    with claimed(whole, overwrite=True, stages=STAGES):
        assert not list(whole.iterdir())
    (whole.parent / "staged.part" / "notes").mkdir(parents=True)
    with pytest.raises(UsageError, match="be free for checkpoints"):
        claimed(whole, overwrite=True, stages=STAGES).__enter__()
