from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from cnnkit.errors import UsageError
from cnnkit.video.selecting import Chooser, FrameSelection

TICK = Fraction(1, 100)


def taken(selection: FrameSelection, ticks: list[int]) -> list[int]:
    chooser = Chooser(selection, TICK)
    return [n for n, tick in enumerate(ticks) if chooser.takes(n, tick, n % 5 == 0)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"every": "4f"}, [0, 4, 8]),
        ({"every": "key"}, [0, 5]),
        ({"every": "0.25s"}, [0, 3, 5, 8]),  # at 0, 0.25, 0.5, 0.75: the next one
        ({"every": "2s"}, [0]),
        ({"every": "4f", "from_time": 0.15}, [2, 6]),
        ({"every": "0.3s", "from_time": "0.15"}, [2, 5, 8]),
        ({"from_time": 0.3, "to_time": "0:00.5"}, [3, 4]),
        ({"from_time": 7}, []),
    ],
)
def test_which_frames_are_taken(arguments: dict[str, Any], expected: list[int]) -> None:
    assert taken(FrameSelection(**arguments), list(range(0, 100, 10))) == expected


def test_a_gap_is_passed_over_once() -> None:
    # Frames at 0, 0.1, 3, 3.1, 3.2: the moments within the gap give one frame, not one each.
    assert taken(FrameSelection("0.2s"), [0, 10, 300, 310, 320]) == [0, 2, 4]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("12.5s", Fraction(25, 2)), ("1:30", 90), ("1:02:03.5", Fraction(7447, 2))],
)
def test_times(text: str, seconds: Fraction) -> None:
    assert FrameSelection(from_time=text).start == seconds


@pytest.mark.parametrize("time", [0.1 * 3, 1e-05, 2, 1234567.25, -0.0])
def test_a_time_may_be_any_number_that_a_program_has(time: float) -> None:
    """0.1 * 3 was refused for its 17 decimals, and 0.00001 for its exponent."""
    found = FrameSelection(from_time=time, to_time=time + 1)
    assert float(found.start) == pytest.approx(time, abs=1e-9)
    assert float(found.end or 0) == pytest.approx(time + 1, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"every": "0s"}, "`every`"),
        ({"every": "0.5f"}, "`every`"),
        ({"every": "5"}, "10f, or key"),
        ({"every": "-1s"}, "`every`"),
        ({"every": "9" * 40 + "s"}, "`every`"),
        ({"from_time": "soon"}, "`from_time`"),
        ({"to_time": float("nan")}, "`to_time`"),
        ({"from_time": 5, "to_time": 5}, "after `from_time`"),
        ({"to_time": 0}, "after `from_time`"),
    ],
)
def test_what_is_no_selection(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        FrameSelection(**arguments)
