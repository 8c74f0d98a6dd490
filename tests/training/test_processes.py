"""Several processes learn what one does, and none is left waiting."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from tests.training.processes import ended, free_address, started
from tests.training.small import assert_same

pytestmark = pytest.mark.slow
pytest.importorskip("jax")


def weights(folder: Path, rank: int) -> list[np.ndarray]:
    with np.load(folder / f"weights-{rank}.npz") as found:
        return [found[name] for name in found.files]


def history(folder: Path, rank: int) -> list[list[float]]:
    return json.loads((folder / f"history-{rank}.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of two processes."""
    folder, address = tmp_path_factory.mktemp("two"), free_address()
    found = ended(*(started(folder, address, 2, rank) for rank in range(2)))
    assert [status for status, _, _ in found] == [0, 0], found
    # Only the first process tells of epochs, and nobody else has anything to say.
    assert [output.split() for _, output, _ in found] == [["0", "1", "2", "3", "4"], []]
    return folder


def test_two_processes_learn_what_one_does(undisturbed: Path, tmp_path: Path) -> None:
    [(status, _, errors)] = ended(started(tmp_path, "alone", 1, 0))
    assert status == 0, errors
    np.testing.assert_allclose(history(undisturbed, 0), history(tmp_path, 0), rtol=1e-5, atol=1e-6)
    for one, two in zip(weights(tmp_path, 0), weights(undisturbed, 0), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-4)


def test_both_processes_have_the_same_numbers_bit_for_bit(undisturbed: Path) -> None:
    assert history(undisturbed, 0) == history(undisturbed, 1)
    assert_same(weights(undisturbed, 0), weights(undisturbed, 1))


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_other_and_all_resume(
    undisturbed: Path, tmp_path: Path, lost: int
) -> None:
    address = free_address()
    both = [started(tmp_path, address, 2, rank, pause=1.0) for rank in range(2)]
    assert both[0].stdout is not None
    for epoch in range(3):
        assert both[0].stdout.readline().strip() == str(epoch)
    both[lost].kill()
    killed = time.monotonic()
    [(status, _, errors)] = ended(both[1 - lost])
    assert time.monotonic() - killed < 30
    assert status == 2
    told = [line for line in errors.splitlines() if "process" in line.lower()]
    assert told == [
        f"error: process {lost} of 2 was lost. Run the same commands again with `resume=True` to "
        "resume."
    ]
    assert "stack trace" not in errors
    ended(both[lost])
    address = free_address()
    found = ended(*(started(tmp_path, address, 2, rank, resume=True) for rank in range(2)))
    assert [status for status, _, _ in found] == [0, 0], found
    for rank in range(2):
        assert history(tmp_path, rank) == history(undisturbed, rank)
        assert_same(weights(tmp_path, rank), weights(undisturbed, rank))
