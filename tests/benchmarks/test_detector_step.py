"""benchmarks/detector_step.py compares only what agrees, and says when a goal is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.detector_step import agree, measure, report


class Side:
    """A contestant that answers with fixed figures."""

    def __init__(self, seconds: float = 1.0, **changed: Any) -> None:
        right = {"head": 0.5, "parts": [1.0, 2.0, 3.0], "losses": [6.0, 5.0], "averaged": 7.0}
        self.figures, self.seconds = right | changed, seconds

    def ask(self, do: str, **asked: Any) -> dict[str, Any]:
        if do == "look":
            np.savez(asked["file"], np.full((1, 2, 2, 45), self.figures["head"]))
            return {"parts": self.figures["parts"]}
        if do == "averaged":
            return {"averaged": self.figures["averaged"]}
        return {
            "losses": self.figures["losses"],
            "seconds": self.seconds * asked["steps"],
            "processor": 2 * self.seconds * asked["steps"],
        }


def test_sides_that_agree(tmp_path: Path) -> None:
    agree({"cnnkit": Side(), "PyTorch": Side(losses=[6.001, 5.01])}, tmp_path, 2, 1e-3)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "changed",
    [
        {"head": 0.6},
        {"head": np.nan},
        {"parts": [1.0, 2.1, 3.0]},
        {"losses": [6.0, 5.5]},
        {"averaged": 7.1},
    ],
)
def test_a_side_that_computes_something_else(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="PyTorch does not do what cnnkit does"):
        agree({"cnnkit": Side(), "PyTorch": Side(**changed)}, tmp_path, 2, 1e-3)  # type: ignore[dict-item]


def test_rates_are_images_a_second() -> None:
    sides: dict[str, Any] = {"cnnkit": Side(2.0), "PyTorch": Side(4.0)}
    assert measure(sides, 3, 5, 8, 1e-3) == {"cnnkit": [4.0, 2.0], "PyTorch": [2.0, 1.0]}


@pytest.mark.parametrize(
    ("peer", "loader", "status"), [(1.0, 50.0, 0), (2.1, 50.0, 1), (1.0, 1.9, 1)]
)
def test_a_missed_goal_is_status_1(
    capsys: pytest.CaptureFixture[str], peer: float, loader: float, status: int
) -> None:
    assert report({"cnnkit": [4.0, 2.0], "PyTorch": [2.0, peer]}, [50.0, loader]) == status
    assert "| PyTorch | 2.00 | 2.00 times |" in capsys.readouterr().out
