from __future__ import annotations

import numpy as np
import pytest

from cnnkit.style.state import OptimizationState, load_state, save_state

RUN = {"sha256": "abc", "settings": {"steps": 3, "alpha": 0.1}}


@pytest.fixture
def saved(tmp_path):
    random = np.random.default_rng(0)
    state = OptimizationState(*random.uniform(0, 255, (4, 4, 6, 3)).astype(np.float32))
    state.scale, state.step, state.count, state.average_weight = 1, 2, 7, 0.5
    state.curve = [[1, 0.5, 0.25, 0.125]]
    file = tmp_path / "state.safetensors"
    save_state(file, state, RUN)
    return file, state


def test_a_state_comes_back_as_it_was(saved):
    file, state = saved
    found = load_state(file, RUN, [(2, 3), (4, 6)])
    for name, value in vars(state).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_another_run_or_size_is_not_gone_on_with(saved):
    file, _ = saved
    assert load_state(file, RUN | {"sha256": "other"}, [(2, 3), (4, 6)]) is None
    assert load_state(file, RUN, [(2, 3), (4, 7)]) is None
    assert load_state(file, RUN, [(4, 6)]) is None


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100])
def test_a_torn_or_foreign_file_is_no_state(saved, content):
    file, _ = saved
    whole = file.read_bytes()
    for broken in (content, whole[: len(whole) // 2], whole[:-1], content + whole):
        if broken == whole:
            continue
        file.write_bytes(broken)
        assert load_state(file, RUN, [(2, 3), (4, 6)]) is None


def test_no_file_and_numbers_without_a_value_are_no_state(saved, tmp_path):
    file, state = saved
    assert load_state(tmp_path / "none", RUN, [(4, 6)]) is None
    state.pixels[0, 0, 0] = np.nan
    save_state(file, state, RUN)
    assert load_state(file, RUN, [(2, 3), (4, 6)]) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", -1),
        ("scale", 2),
        ("scale", 1.0),
        ("scale", True),
        ("step", "2"),
        ("step", -5),
        ("count", None),
        ("average_weight", float("inf")),
        ("average_weight", "much"),
        ("seconds", float("nan")),
        ("curve", 5),
        ("curve", [[1, 2]]),
        ("curve", [[1, 2, 3, "x"]]),
    ],
)
def test_facts_that_no_run_wrote_are_no_state(saved, name, value):
    """Anybody can send a state: what it says besides its numbers is checked as they are."""
    file, state = saved
    setattr(state, name, value)
    save_state(file, state, RUN)
    assert load_state(file, RUN, [(2, 3), (4, 6)]) is None
