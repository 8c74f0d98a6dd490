"""Learns the filter that turns one image into another, by backpropagation.

The loss is the mean of the squared differences; its gradient comes from the backend through
`runtime.value_and_gradient`, and L-BFGS (Liu and Nocedal, 1989) takes the steps: plain descent
needs thousands of them, because neighboring pixels are nearly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.lab.arithmetic import output_size
from cnnkit.runtime import import_keras, value_and_gradient

# Enough examples of a few hundred unknowns, and quick.
LARGEST_SIDE = 1024


@dataclass(frozen=True)
class LearningStep:
    """Where the search was after a step.

    Attributes:
        number: Steps taken.
        loss: Mean of the squared differences.
        kernel: float64 (height, width, channels).
    """

    number: int
    loss: float
    kernel: np.ndarray


@dataclass(frozen=True)
class Learned:
    """A learned filter.

    Attributes:
        kernel: float64 (height, width, channels).
        bias: Number that is added to every output.
        padding: ``same`` or ``valid``, inferred from the sizes of the images.
        loss: Final loss.
        variance: Variance of the target, which is the loss of predicting its mean.
        steps: The steps of learning, from the initial kernel on.
    """

    kernel: np.ndarray
    bias: float
    padding: str
    loss: float
    variance: float
    steps: tuple[LearningStep, ...]

    @property
    def explained(self) -> float:
        """Share of the target's variance that the filter explains, at most 1."""
        return 1 - self.loss / self.variance if self.variance else float(self.loss == 0)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "kernel": self.kernel.tolist(),
            "bias": self.bias,
            "padding": self.padding,
            "loss": self.loss,
            "explained": self.explained,
            "steps": [
                {"step": step.number, "loss": step.loss, "kernel": step.kernel.tolist()}
                for step in self.steps
            ],
        }


def learn_kernel(
    source: np.ndarray,
    target: np.ndarray,
    size: tuple[int, int] = (3, 3),
    *,
    bias: bool = True,
    most_steps: int = 200,
    seed: int = 0,
) -> Learned:
    """Learn the filter that gives `target` when it slides over `source`.

    Args:
        source: float (height, width, channels).
        target: float (height, width, 1), or smaller by the kernel's size less one: then without
            padding.
        size: Height and width of the kernel.
        bias: Whether a number is added to every place; an image that shows zero as gray needs it.
        most_steps: After which to stop.
        seed: Random seed for the initial values.

    Raises:
        UsageError: The sizes do not go together.
    """
    padding = padding_between(source.shape, target.shape, size)
    source, target = middle(source, target, size, padding)
    scale = float(np.abs(source).max()) or 1.0
    reach = float(np.abs(target).max()) or 1.0
    problem = Problem(source / scale, target / reach, size, padding, bias)
    start = np.random.default_rng(seed).normal(0, 0.1, problem.unknowns)
    way = problem.descend(start, most_steps)
    # Back in the units of the images.
    steps = [
        LearningStep(number, loss * reach**2, problem.kernel(values) * reach / scale)
        for number, (loss, values) in enumerate(way)
    ]
    return Learned(
        kernel=steps[-1].kernel,
        bias=float(way[-1][1][-1] * reach) if bias else 0.0,
        padding=padding,
        loss=steps[-1].loss,
        variance=float(target.var()),
        steps=tuple(steps),
    )


def padding_between(source: tuple[int, ...], target: tuple[int, ...], size: tuple[int, int]) -> str:
    """Return the padding with which a kernel turns one size into the other."""
    if tuple(source[:2]) == tuple(target[:2]):
        return "same"
    valid = tuple(output_size(n, k) for n, k in zip(source[:2], size, strict=True))
    if valid == tuple(target[:2]):
        return "valid"
    rule = f"have the size of A, {source[0]}x{source[1]}, or {valid[0]}x{valid[1]} without padding"
    fix = "Convolve without a stride, and give `kernel_size` if it is not 3x3."
    raise UsageError(broken_rule("B", rule, f"{target[0]}x{target[1]}", fix))


def middle(
    source: np.ndarray, target: np.ndarray, size: tuple[int, int], padding: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of both images where they are large, place for place as before."""
    height, width = source.shape[:2]
    top, left = (max(0, (n - LARGEST_SIDE) // 2) for n in (height, width))
    if not top and not left:
        return source, target
    cut = source[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
    lost = (0, 0) if padding == "same" else (size[0] - 1, size[1] - 1)
    rows, columns = cut.shape[0] - lost[0], cut.shape[1] - lost[1]
    return cut, target[top : top + rows, left : left + columns]


class Problem:
    """The loss of a kernel and its gradient, for images scaled to about 1."""

    def __init__(
        self,
        source: np.ndarray,
        target: np.ndarray,
        size: tuple[int, int],
        padding: str,
        bias: bool,
    ) -> None:
        """Prepare the loss of a filter of that size that is to turn `source` into `target`."""
        self._shape = (*size, source.shape[2], 1)
        self._weights = int(np.prod(self._shape))
        self._bias = bias
        self.unknowns = self._weights + bias
        self._source = source[None].astype(np.float32)  # (1, height, width, channels)
        self._target = target[None].astype(np.float32)
        self._value_and_gradient = value_and_gradient(self._loss_of(padding))

    def _loss_of(self, padding: str) -> Any:
        ops = import_keras().ops
        shape, weights, bias = self._shape, self._weights, self._bias

        def loss(values: Any, source: Any, target: Any) -> Any:
            """Return the mean squared error of a convolution by the unknowns, `values`."""
            kernel = ops.reshape(values[:weights], shape)
            found = ops.conv(source, kernel, 1, padding)
            found = found + values[weights] if bias else found
            return ops.mean(ops.square(found - target))

        return loss

    def kernel(self, values: np.ndarray) -> np.ndarray:
        """Return the kernel among the unknowns, (height, width, channels)."""
        return np.asarray(values[: self._weights], np.float64).reshape(self._shape[:3])

    def _evaluate(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self._value_and_gradient(
            values.astype(np.float32), self._source, self._target
        )
        return float(value), np.asarray(gradient, np.float64)

    def descend(self, start: np.ndarray, most_steps: int) -> list[tuple[float, np.ndarray]]:
        """Return loss and unknowns at the start and after each step."""
        from scipy.optimize import minimize

        way = [(self._evaluate(start)[0], start.copy())]

        def remember(intermediate_result: Any) -> None:
            way.append((float(intermediate_result.fun), intermediate_result.x.copy()))

        # Single precision ends near 1e-14 of the square of images scaled to 1.
        options = {"maxiter": most_steps, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 30}
        minimize(
            self._evaluate, start, jac=True, method="L-BFGS-B", callback=remember, options=options
        )
        return way
