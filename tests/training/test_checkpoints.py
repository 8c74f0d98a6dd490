from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import OutputError, UsageError
from cnnkit.training.checkpoints import Checkpoints
from cnnkit.training.stepper import Snapshot


def snapshot(value: float) -> Snapshot:
    return Snapshot(
        [np.full((2, 3), value, np.float32), np.array([7, 2**40], np.int64)],
        [np.array(3, np.int32), np.zeros((0, 2), np.float32)],
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "new" / "state")
    assert checkpoints.load() is None
    checkpoints.save_best(1, snapshot(0.1).model)
    checkpoints.save(1, {"best_epoch": 1, "more": [1]}, snapshot(0.3))
    state, numbers, best = Checkpoints(tmp_path / "new" / "state").load()
    assert state["more"] == [1]
    for found, expected in ((numbers.model, snapshot(0.3).model), (best, snapshot(0.1).model)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    assert numbers.optimizer[0].shape == () and numbers.optimizer[1].shape == (0, 2)


def test_two_are_kept_and_the_best_files_that_they_name(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for epoch, best in enumerate((None, 1, 2, 2, 4)):
        if best == epoch:
            checkpoints.save_best(epoch, snapshot(epoch).model)
        checkpoints.save(epoch, {"best_epoch": best}, snapshot(epoch))
    expected = ["best-00002.safetensors", "best-00004.safetensors", "epoch-00003", "epoch-00004"]
    assert names(tmp_path) == expected
    checkpoints.clear()
    assert names(tmp_path) == []


DAMAGES = ["state.json", "model.safetensors", "optimizer.safetensors"]


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, name: str, damage: str
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for epoch in (1, 2):
        checkpoints.save(epoch, {"best_epoch": None}, snapshot(epoch))
    file = tmp_path / "epoch-00002" / name
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-5] if damage == "cut" else b"[]" + content[2:])
    assert Checkpoints(tmp_path).load()[1].model[0][0, 0] == 1
    # The damaged one is written again when the run comes to it.
    Checkpoints(tmp_path).save(2, {"best_epoch": None}, snapshot(5))
    assert Checkpoints(tmp_path).load()[1].model[0][0, 0] == 5


@pytest.mark.parametrize("resumed", [False, True])
def test_a_best_epoch_that_was_changed_is_not_taken(tmp_path: Path, resumed: bool) -> None:
    """It had no hash: other numbers of the same shapes became the trained model."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_best(1, snapshot(0.1).model)
    checkpoints.save(1, {"best_epoch": 1}, snapshot(1))
    if resumed:
        checkpoints = Checkpoints(tmp_path)
        assert checkpoints.load() is not None
        checkpoints.save(2, {"best_epoch": 1}, snapshot(2))
    assert Checkpoints(tmp_path).load() is not None
    best = tmp_path / "best-00001.safetensors"
    content = bytearray(best.read_bytes())
    content[-1] ^= 1
    best.write_bytes(content)
    with pytest.raises(UsageError, match="only damaged ones"):
        Checkpoints(tmp_path).load()


def test_only_damaged_ones_are_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, {"best_epoch": None}, snapshot(1))
    (tmp_path / "epoch-00001" / "state.json").write_text("{}")
    with pytest.raises(UsageError, match="must hold a whole checkpoint to resume from"):
        Checkpoints(tmp_path).load()


def test_what_a_killed_write_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".part-0123").mkdir()
    (tmp_path / ".part-0123" / "model.safetensors").write_bytes(b"half")
    assert Checkpoints(tmp_path).load() is None
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Checkpoints(tmp_path / "file")


def rewritten(folder: Path, **changes: object) -> None:
    """Change what a checkpoint's state says, as anybody can who sends one."""
    path = folder / "epoch-00001" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"../../secret": "0"}},
        {"files": 5},
        {"best_epoch": "../../secret"},
        {"best_epoch": 9},
        {"best_epoch": True},
        {"schema_version": 99},
    ],
)
def test_a_crafted_state_is_no_checkpoint(tmp_path: Path, changes: dict) -> None:
    Checkpoints(tmp_path).save(1, {"best_epoch": None}, snapshot(1))
    rewritten(tmp_path, **changes)
    with pytest.raises(UsageError, match="must hold a whole checkpoint to resume from"):
        Checkpoints(tmp_path).load(snapshot(0))


@pytest.mark.parametrize("text", ["[" * 100_000, "null", "[]", '{"schema_version": []}'])
def test_a_state_that_is_none_is_no_checkpoint(tmp_path: Path, text: str) -> None:
    Checkpoints(tmp_path).save(1, {"best_epoch": None}, snapshot(1))
    (tmp_path / "epoch-00001" / "state.json").write_text(text)
    with pytest.raises(UsageError, match="must hold a whole checkpoint to resume from"):
        Checkpoints(tmp_path).load()


def test_numbers_of_another_shape_or_type_are_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_best(1, [np.zeros(3, np.float32)])
    checkpoints.save(1, {"best_epoch": 1}, snapshot(1))
    with pytest.raises(UsageError, match="whole checkpoint"):
        checkpoints.load(snapshot(0))  # the best file's
    rewritten(tmp_path, best_epoch=None)
    assert checkpoints.load(snapshot(0)) is not None
    others = (
        Snapshot(snapshot(0).model[:1], snapshot(0).optimizer),
        Snapshot([np.zeros((3, 2), np.float32), snapshot(0).model[1]], snapshot(0).optimizer),
        Snapshot(snapshot(0).model, [np.array(3, np.int64), snapshot(0).optimizer[1]]),
    )
    for like in others:
        with pytest.raises(UsageError, match="whole checkpoint"):
            checkpoints.load(like)


def test_a_file_larger_than_its_numbers_is_not_read(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, {"best_epoch": None}, snapshot(1))
    with (tmp_path / "epoch-00001" / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 40)  # without a block on the disk
    with pytest.raises(UsageError, match="whole checkpoint"):
        Checkpoints(tmp_path).load(snapshot(0))


@pytest.mark.parametrize("name", ["epoch-00001", "epoch-00001/model.safetensors"])
def test_a_link_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    Checkpoints(tmp_path).save(1, {"best_epoch": None}, snapshot(1))
    (tmp_path / name).rename(tmp_path / "elsewhere")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="whole checkpoint"):
        Checkpoints(tmp_path).load(snapshot(0))


def test_another_runs_state_is_refused_before_its_numbers_are_read(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, {"best_epoch": None}, snapshot(1))
    (tmp_path / "epoch-00001" / "model.safetensors").unlink()

    def check(state: dict) -> None:
        raise UsageError("another run")

    with pytest.raises(UsageError, match="another run"):
        Checkpoints(tmp_path).load(snapshot(0), check)
