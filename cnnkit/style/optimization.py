"""Style transfer by optimization: the image itself is what is learned.

Gatys, Ecker, Bethge, https://arxiv.org/abs/1508.06576, from a coarse scale to the finest: large
forms are settled where they are cheap, and each scale goes on from the image and the moments of
the one before. Adam, https://arxiv.org/abs/1412.6980; the result is the average of the latest
iterates, which takes the grain of single steps away.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from cnnkit.images import ImageArgument, image_pixels
from cnnkit.style.canvas import resized, smoothed
from cnnkit.style.gradients import TiledGradient, WholeGradient
from cnnkit.style.settings import OptimizationSettings, Scale, scales_of
from cnnkit.style.state import OptimizationState
from cnnkit.style.steps import Steps
from cnnkit.style.targets import StyleTarget

# Levels that a pixel moves per step; at the last scale it falls to a tenth.
RATE = 0.02 * 255
LAST_RATE = 0.1
DECAYS = (0.9, 0.99)
AVERAGING = 0.95
TINY = 1e-12
# The start from noise: levels around the middle gray.
NOISE = 60.0
CURVE_POINTS = 200


@dataclass(frozen=True)
class OptimizationProgress:
    """What is told after each step.

    Attributes:
        step: Steps made, from 1.
        steps: Steps in all.
        size: (height, width) of the scale at hand.
        content: The content loss.
        style: The style loss.
        loss: The whole loss with the run's alpha, beta and total variation.
        seconds: Spent on this image so far.
        remaining: Seconds that are likely left.
        state: The state, for a preview or to be kept.
    """

    step: int
    steps: int
    size: tuple[int, int]
    content: float
    style: float
    loss: float
    seconds: float
    remaining: float
    state: OptimizationState


Watch = Callable[[OptimizationProgress], None]


class Optimization:
    """One image's optimization.

    Attributes:
        scales: From coarse to fine.
        state: Where it stands.
    """

    def __init__(
        self,
        steps: Steps,
        content: ImageArgument,
        size: tuple[int, int],
        style: StyleTarget,
        settings: OptimizationSettings,
        *,
        start: ImageArgument | None = None,
        mask: np.ndarray | None = None,
    ) -> None:
        """Lay out the scales.

        Args:
            steps: The compiled functions of the loss network.
            content: At any size, see `cnnkit.images.ImageArgument`.
            size: (height, width) of the result.
            style: The styles.
            settings: The settings.
            start: The image to start from where `settings.start` names a file.
            mask: How much of the style each place gets, float32 (height, width, 1), 0 to 1.

        Raises:
            ImageError: An image is no image, or cannot be read.
        """
        self.scales = scales_of(*size, settings.steps, steps.network.recipe.smallest)
        self._state: OptimizationState | None = None
        self._steps = steps
        self._content = image_pixels(content)
        self._style = style
        self._settings = settings
        self._start = None if start is None else image_pixels(start)
        self._mask = mask
        total = settings.alpha + settings.beta
        self._weights = np.array(
            [settings.alpha / total, settings.beta / total, settings.variation], np.float32
        )

    @property
    def state(self) -> OptimizationState:
        """The current state: the starting pixels, unless the state of another run was set."""
        if self._state is None:
            self._state = OptimizationState.starting_from(self._starting_pixels())
        return self._state

    @state.setter
    def state(self, state: OptimizationState) -> None:
        self._state = state

    def run(self, watch: Watch | None = None) -> np.ndarray:
        """Make all steps that are left.

        Args:
            watch: Told after each step.

        Returns:
            The result, float32 (height, width, 3), 0 to 255.
        """
        clock = _Clock(self.state.seconds)
        for number in range(self.state.scale, len(self.scales)):
            self._enter(number)
            scale = _ScaleRun(self, number)
            make = scale.lbfgs if self._settings.optimizer == "l-bfgs" else scale.adam
            for terms in make(clock):
                self.state.seconds = clock.seconds()
                self._record(terms)
                if watch is not None:
                    watch(self._progress(number, terms))
        return self.state.image()

    def _starting_pixels(self) -> np.ndarray:
        scale = self.scales[0]
        if self._settings.start == "noise":
            random = np.random.default_rng(self._settings.seed)
            noise = random.normal(127.5, NOISE, (scale.height, scale.width, 3))
            return np.clip(noise, 0, 255).astype(np.float32)
        source = self._content if self._start is None else self._start
        return np.clip(resized(source, scale.height, scale.width), 0, 255)

    def _enter(self, number: int) -> None:
        """Take the state to a scale; nothing happens where it is there already."""
        state, scale = self.state, self.scales[number]
        if state.scale == number:
            return
        before = state.pixels.shape[0] * state.pixels.shape[1]
        size = (scale.height, scale.width)
        # A pixel's gradient is its share of a mean: of more pixels each has less.
        share = np.float32(before / (scale.height * scale.width))
        state.pixels = np.clip(resized(state.image(), *size), 0, 255)
        state.first_moment = resized(state.first_moment, *size, cv2.INTER_LINEAR) * share
        # A second moment of zero, which an overshoot would give, makes a step without bound.
        state.second_moment = resized(state.second_moment, *size, cv2.INTER_LINEAR) * share**2
        state.average = np.zeros_like(state.pixels)
        state.average_weight = 0.0
        state.scale, state.step = number, 0

    def _record(self, terms: np.ndarray) -> None:
        every = max(1, self._settings.steps // CURVE_POINTS)
        if self.state.count % every == 0 or self.state.count == self._settings.steps:
            self.state.curve.append([self.state.count, *(float(f"{t:.6g}") for t in terms)])

    def _progress(self, number: int, terms: np.ndarray) -> OptimizationProgress:
        state, scale, settings = self.state, self.scales[number], self._settings
        content, style, variation = (float(term) for term in terms)
        loss = settings.alpha * content + settings.beta * style
        loss += (settings.alpha + settings.beta) * settings.variation * variation
        return OptimizationProgress(
            state.count,
            settings.steps,
            (scale.height, scale.width),
            content,
            style,
            loss,
            state.seconds,
            self._remaining(number),
            state,
        )

    def _remaining(self, number: int) -> float:
        """Return the seconds that are likely left, from the share of the work that is done."""
        scale, before = self.scales[number], self.scales[number - 1].budget_share if number else 0
        inside = (scale.budget_share - before) * self.state.step / scale.steps
        done = min(1.0, before + inside)
        left = self.state.seconds * (1 - done) / max(done, 1e-3)
        if self._settings.time_budget is not None:
            left = min(left, max(0.0, self._settings.time_budget - self.state.seconds))
        return left


class _Clock:
    """Counts the seconds of a run, those of an interrupted one before it included."""

    def __init__(self, before: float) -> None:
        self._from = time.monotonic() - before

    def seconds(self) -> float:
        return time.monotonic() - self._from


class _ScaleRun:
    """The steps of one scale."""

    def __init__(self, run: Optimization, number: int) -> None:
        self._run = run
        self._settings = run._settings
        self._scale: Scale = run.scales[number]
        self._is_last = number == len(run.scales) - 1
        size = (self._scale.height, self._scale.width)
        self._mask = None if run._mask is None else np.clip(resized(run._mask, *size), 0, 1)
        content = resized(run._content, *size)
        style = run._style.at(self._scale.long_side)
        tile = self._settings.tile
        kind: type[WholeGradient | TiledGradient] = TiledGradient
        if tile is None or tile >= self._scale.long_side:
            kind = WholeGradient
        self._gradient = kind(run._steps, content, style, self._mask, run._weights, tile)

    def _end(self) -> float:
        """Return the second of the time budget at which this scale ends."""
        budget = self._settings.time_budget
        return math.inf if budget is None else budget * self._scale.budget_share

    def adam(self, clock: _Clock) -> Iterator[np.ndarray]:
        """Make the steps, yielding each one's three terms."""
        state = self._run.state
        begun = clock.seconds()
        while state.step < self._scale.steps:
            # A run that is resumed draws what it would have drawn.
            random = np.random.default_rng([self._settings.seed, state.count])
            gradient, terms = self._gradient(state.pixels, random)
            gradient = smoothed(gradient)
            if self._mask is not None:
                gradient *= self._mask
            done = state.step / self._scale.steps
            if self._end() < math.inf:
                done = max(done, (clock.seconds() - begun) / max(self._end() - begun, 1e-3))
            adam_step(state, gradient, self._rate(min(done, 1.0)))
            yield terms
            if clock.seconds() >= self._end():
                break

    def _rate(self, done: float) -> float:
        if not self._is_last:
            return RATE
        return RATE * (LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)

    def lbfgs(self, clock: _Clock) -> Iterator[np.ndarray]:
        """Make the steps in one go of scipy's L-BFGS-B, the grid standing still."""
        from scipy.optimize import minimize

        state = self._run.state
        shape = state.pixels.shape
        terms = np.zeros(3, np.float32)
        waiting: list[np.ndarray] = []

        def function(flat: np.ndarray) -> tuple[float, np.ndarray]:
            """Return the loss and its gradient by all pixels, as SciPy wants them."""
            nonlocal terms
            gradient, terms = self._gradient(flat.reshape(shape).astype(np.float32), None)
            if self._mask is not None:
                gradient *= self._mask
            value = float(np.dot(self._run._weights, terms))
            # Times the pixels, so that the first step is a pixel's, not an image's.
            return value * flat.size, gradient.ravel().astype(np.float64) * flat.size

        def after(flat: np.ndarray) -> None:
            """Keep the pixels of a finished step; end where time is up."""
            state.pixels = flat.reshape(shape).astype(np.float32)
            state.average, state.average_weight = state.pixels.copy(), 1.0
            state.step += 1
            state.count += 1
            waiting.append(terms)
            if clock.seconds() >= self._end():
                raise StopIteration

        left = self._scale.steps - state.step
        for block in _blocks(left, LBFGS_BLOCK):
            minimize(
                function,
                state.pixels.ravel().astype(np.float64),
                jac=True,
                method="L-BFGS-B",
                bounds=[(0, 255)] * state.pixels.size,
                callback=after,
                options={"maxiter": block, "maxfun": 2 * block, "ftol": 0, "gtol": 0},
            )
            if not waiting:  # the line search found nothing lower
                state.step, state.count = self._scale.steps, state.count + left
                return
            yield from _drained(waiting)
            if clock.seconds() >= self._end():
                return
            left -= block


# L-BFGS tells of its progress after so many steps; its memory starts again with each block.
LBFGS_BLOCK = 25


def _blocks(count: int, size: int) -> Iterator[int]:
    while count > 0:
        yield min(count, size)
        count -= size


def _drained(waiting: list[np.ndarray]) -> Iterator[np.ndarray]:
    last = waiting[-1]
    waiting.clear()
    yield last


def adam_step(state: OptimizationState, gradient: np.ndarray, rate: float) -> None:
    """Move the image by one step of Adam, and take it into the average.

    Args:
        state: Is changed.
        gradient: Gradient of the loss, float32 (height, width, 3).
        rate: Levels that a pixel moves at most, about.
    """
    first, second = DECAYS
    state.count += 1
    state.step += 1
    state.first_moment *= np.float32(first)
    state.first_moment += np.float32(1 - first) * gradient
    state.second_moment *= np.float32(second)
    state.second_moment += np.float32(1 - second) * np.square(gradient)
    mean = state.first_moment * np.float32(rate / (1 - first**state.count))
    spread = np.sqrt(state.second_moment * np.float32(1 / (1 - second**state.count)))
    state.pixels -= mean / (spread + np.float32(TINY))
    np.clip(state.pixels, 0, 255, out=state.pixels)
    state.average *= np.float32(AVERAGING)
    state.average += np.float32(1 - AVERAGING) * state.pixels
    state.average_weight = AVERAGING * state.average_weight + 1 - AVERAGING
