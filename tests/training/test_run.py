"""The frame of a training run: its places, its identity, its history."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import OutputError, UsageError
from cnnkit.runtime import seed_everything
from cnnkit.training.run import TrainingRun, identity_of, write_history


def bundle(folder: Path) -> Path:
    """Make what counts as a bundle."""
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    return folder


def test_a_run_that_ends_well_leaves_no_state(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path / "model")
    with run.claimed():
        (run.state_folder / "epoch-00001").mkdir()
    assert not (tmp_path / "model.part").exists()


def test_the_program_draws_its_own_random_numbers_after_a_run(tmp_path: Path) -> None:
    """It drew the same after every training: a search at random tried one learning rate only."""
    random.seed(7)
    np.random.seed(7)
    expected = [(random.random(), np.random.random()) for _ in range(2)]
    random.seed(7)
    np.random.seed(7)
    drawn = []
    for number in range(2):
        drawn.append((random.random(), np.random.random()))
        with TrainingRun(tmp_path / str(number)).claimed():
            seed_everything(0)
    assert drawn == expected


def test_a_run_that_fails_leaves_its_state_for_resume(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path / "model")
    with pytest.raises(KeyboardInterrupt), run.claimed():
        (run.state_folder / "epoch-00001").mkdir()
        raise KeyboardInterrupt
    with (
        pytest.raises(UsageError, match="unfinished run"),
        TrainingRun(tmp_path / "model").claimed(),
    ):
        pass
    with TrainingRun(tmp_path / "model", resume=True).claimed():
        assert (run.state_folder / "epoch-00001").is_dir()


def test_a_bundle_is_replaced_only_where_that_was_asked_for(tmp_path: Path) -> None:
    output = bundle(tmp_path / "model")
    for resume in (False, True):
        run = TrainingRun(output, resume=resume)
        with pytest.raises(OutputError, match="exists already"), run.claimed():
            pass
    with pytest.raises(KeyboardInterrupt), TrainingRun(output, overwrite=True).claimed():
        (tmp_path / "model.part" / "epoch-00001").mkdir()
        raise KeyboardInterrupt
    # That run was to replace the bundle: so is the one that continues it.
    assert TrainingRun(output, resume=True).may_replace
    assert not TrainingRun(output).may_replace


def test_an_empty_state_folder_gives_no_leave_to_replace(tmp_path: Path) -> None:
    output = bundle(tmp_path / "model")
    (tmp_path / "model.part").mkdir()
    assert not TrainingRun(output, resume=True).may_replace


def test_the_identity_depends_on_all_values_and_not_on_their_order() -> None:
    known = {"data": ["a", "\udcff"], "rate": 0.1}
    assert identity_of(known) == identity_of(dict(reversed(known.items())))
    assert identity_of(known) != identity_of(known | {"rate": 0.2})


def test_what_a_history_lacks_is_an_empty_cell(tmp_path: Path) -> None:
    rows = [{"epoch": 0, "loss": math.nan, "other": 1}, {"epoch": 1, "loss": 0.123456789}]
    write_history(tmp_path, ("epoch", "loss", "best"), rows)
    with (tmp_path / "history.csv").open() as file:
        found = list(csv.DictReader(file))
    assert found == [
        {"epoch": "0", "loss": "", "best": ""},
        {"epoch": "1", "loss": "0.12345679", "best": ""},
    ]
