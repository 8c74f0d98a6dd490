from __future__ import annotations

import numpy as np
import pytest

from cnnkit.errors import CnnkitError, RuntimeUnavailableError
from cnnkit.runtime.processes import WHOLE, Share, current_group, joined, place_of

ADDRESS = "node1:29500"


@pytest.mark.parametrize(
    ("given", "environment", "found"),
    [
        ((ADDRESS, 4, 3), {}, (4, 3)),
        ((ADDRESS, 4, 3), {"WORLD_SIZE": "2", "RANK": "1"}, (4, 3)),
        ((ADDRESS, None, None), {"SLURM_NTASKS": "8", "SLURM_PROCID": "5"}, (8, 5)),
        ((ADDRESS, None, None), {"WORLD_SIZE": "2", "RANK": "1", "SLURM_NTASKS": "8"}, (2, 1)),
        ((ADDRESS, 3, None), {"JOB_COMPLETION_INDEX": "2"}, (3, 2)),
    ],
)
def test_a_launcher_says_what_is_not_given(
    given: tuple, environment: dict[str, str], found: tuple[int, int]
) -> None:
    assert place_of(*given, environment) == (ADDRESS, *found)


@pytest.mark.parametrize(
    ("given", "environment", "told"),
    [
        ((None, 2, None), {}, "`processes` requires `coordinator`"),
        ((None, None, 1), {}, "`process_id` requires `coordinator`"),
        ((ADDRESS, None, None), {"SLURM_NTASKS": "8"}, "`processes` is required"),
        ((ADDRESS, 2, None), {}, "`process_id` is required"),
        ((ADDRESS, 0, 0), {}, "`processes` must be at least 1"),
        ((ADDRESS, 2, 2), {}, "`process_id` must be from 0 to 1"),
    ],
)
def test_what_is_missing_or_contradicts_is_refused(
    given: tuple, environment: dict[str, str], told: str
) -> None:
    with pytest.raises(CnnkitError, match=told):
        place_of(*given, environment)


def test_without_an_address_a_launchers_variables_count_for_nothing() -> None:
    assert place_of(None, None, None, {"SLURM_NTASKS": "8", "SLURM_PROCID": "5"}) is None
    with joined(None) as group:
        assert group is current_group()
        assert (group.rank, group.count, group.devices, group.leads) == (0, 1, 1, True)
        arrays = [np.arange(3), np.float32(2.5)]
        assert group.from_first(arrays) == arrays


def test_another_backend_than_jax_is_refused() -> None:
    pytest.importorskip("jax")
    with (
        pytest.raises(RuntimeUnavailableError, match="Set KERAS_BACKEND=jax before Keras"),
        joined("127.0.0.1:29500", 2, 0),
    ):
        pass


def test_shares_are_equal_parts_in_order() -> None:
    rows = np.arange(12)
    assert [rows[Share(part, 3).of(12)].tolist() for part in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]
    assert rows[WHOLE.of(12)].tolist() == rows.tolist()
