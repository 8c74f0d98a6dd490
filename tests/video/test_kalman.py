from __future__ import annotations

import numpy as np
import pytest

from cnnkit.video.kalman import BoxFilter


def test_one_step_by_hand() -> None:
    """A box of height 100 at x = 0 is seen at x = 10 in the next frame.

    Variances of x: (2 * 100 / 20)^2 = 100 at first; of its velocity (10 * 100 / 160)^2 = 39.0625.
    Predicted: 100 + 39.0625 + (100 / 20)^2 = 164.0625, covariance of both 39.0625. With the noise
    of the measurement (100 / 20)^2 = 25: gains 164.0625 / 189.0625 and 39.0625 / 189.0625.
    """
    box = BoxFilter(np.array([0.0, 50.0, 0.5, 100.0]))
    box.predict()
    assert box.covariance[0, 0] == pytest.approx(164.0625)
    assert box.covariance[0, 4] == pytest.approx(39.0625)
    assert box.covariance[4, 4] == pytest.approx(39.0625 + (100 / 160) ** 2)
    box.update(np.array([10.0, 50.0, 0.5, 100.0]))
    assert box.mean[0] == pytest.approx(10 * 164.0625 / 189.0625)
    assert box.mean[4] == pytest.approx(10 * 39.0625 / 189.0625)
    assert box.covariance[0, 0] == pytest.approx(164.0625 - 164.0625**2 / 189.0625)
    assert box.mean[[1, 2, 3, 5, 6, 7]] == pytest.approx([50, 0.5, 100, 0, 0, 0])


def test_a_steady_motion_is_learned() -> None:
    box = BoxFilter(np.array([0.0, 0.0, 1.0, 40.0]))
    for step in range(1, 40):
        box.predict()
        box.update(np.array([3.0 * step, -2.0 * step, 1.0, 40.0]))
    box.predict()
    assert box.mean[:2] == pytest.approx([120, -80], abs=0.2)
    assert box.corners == pytest.approx([100, -100, 140, -60], abs=0.3)


def test_a_lost_box_stops_growing() -> None:
    box = BoxFilter(np.array([0.0, 0.0, 1.0, 40.0]))
    box.mean[7] = 2
    box.stop_growing()
    box.predict()
    assert box.mean[3] == 40
