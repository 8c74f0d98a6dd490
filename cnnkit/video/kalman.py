"""The Kalman filter of a box in pixels, constant velocity: the one of DeepSORT and ByteTrack.

The state is the center, the aspect ratio (width / height) and the height of the box, then the
change of each per frame; the measurement is the first four. Uncertainty grows with the height.
Wojke et al., "Simple Online and Realtime Tracking with a Deep Association Metric",
https://arxiv.org/abs/1703.07402.
"""

from __future__ import annotations

import numpy as np

# Standard deviations, as a share of the height.
POSITION, VELOCITY = 1 / 20, 1 / 160
# Of the aspect ratio and of its change: these do not depend on the size.
ASPECT, ASPECT_VELOCITY = 1e-2, 1e-5
MEASURED_ASPECT = 1e-1

_TRANSITION = np.eye(8) + np.eye(8, k=4)
_MEASUREMENT = np.eye(4, 8)


class BoxFilter:
    """The state of one box.

    Attributes:
        mean: float64 (8,).
        covariance: float64 (8, 8).
    """

    def __init__(self, measured: np.ndarray) -> None:
        """Start at a box.

        Args:
            measured: Center x, center y, aspect ratio, height, float (4,).
        """
        height = measured[3]
        self.mean = np.concatenate([measured, np.zeros(4)]).astype(np.float64)
        deviations = [
            *(2 * POSITION * height, 2 * POSITION * height, ASPECT, 2 * POSITION * height),
            *(10 * VELOCITY * height, 10 * VELOCITY * height, ASPECT_VELOCITY),
            10 * VELOCITY * height,
        ]
        self.covariance = np.diag(np.square(deviations))

    def predict(self) -> None:
        """Move to the next frame."""
        height = self.mean[3]
        position, velocity = POSITION * height, VELOCITY * height
        deviations = [position, position, ASPECT, position]
        deviations += [velocity, velocity, ASPECT_VELOCITY, velocity]
        self.mean = _TRANSITION @ self.mean
        self.covariance = _TRANSITION @ self.covariance @ _TRANSITION.T
        self.covariance += np.diag(np.square(deviations))

    def update(self, measured: np.ndarray) -> None:
        """Take in a measurement; see `__init__`."""
        position = POSITION * self.mean[3]
        noise = np.square([position, position, MEASURED_ASPECT, position])
        expected = _MEASUREMENT @ self.covariance @ _MEASUREMENT.T + np.diag(noise)
        gain = np.linalg.solve(expected, _MEASUREMENT @ self.covariance).T
        self.mean = self.mean + gain @ (measured - _MEASUREMENT @ self.mean)
        self.covariance = self.covariance - gain @ expected @ gain.T

    def stop_growing(self) -> None:
        """Forget the change of the height, which a lost box cannot keep."""
        self.mean[7] = 0

    @property
    def corners(self) -> np.ndarray:
        """Left, top, right, bottom, float64 (4,)."""
        x, y, aspect, height = self.mean[:4]
        right, down = aspect * height / 2, height / 2
        return np.array([x - right, y - down, x + right, y + down])
