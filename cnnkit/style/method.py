"""The method of a folder job that stylizes by optimization."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import ImageError, UsageError
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.runtime.memory import resident_memory
from cnnkit.style import estimate
from cnnkit.style.features import LossNetwork
from cnnkit.style.images import (
    Content,
    check_side,
    finished,
    hash_of_all,
    mask_of,
    read_named,
    result_size,
)
from cnnkit.style.job import Painted, Workspace
from cnnkit.style.optimization import Optimization, OptimizationProgress
from cnnkit.style.settings import STARTS, OptimizationSettings
from cnnkit.style.sheet import choices_sheet
from cnnkit.style.state import load_state, save_state
from cnnkit.style.steps import Steps
from cnnkit.style.targets import Style, StyleTarget

log = logging.getLogger("cnnkit")

# A kill loses at most so many seconds of work.
SAVE_EVERY = 5.0

Watch = Callable[[int, OptimizationProgress], None]


@dataclass(frozen=True)
class Choices:
    """What is requested besides the settings of the optimization itself.

    Attributes:
        size: The long side of the results; None: 512, or an image's own where it is smaller.
        tile: ``auto``, ``none`` or a number of pixels.
        mask: An image or a folder of them, see `cnnkit.style.images.mask_of`.
        preview: Show the image after so many steps, 0: never.
        max_pixels: Refuse larger images.
    """

    size: int | None = None
    tile: str = "auto"
    mask: str | None = None
    preview: int = 0
    max_pixels: int = DEFAULT_MAX_PIXELS


class ByOptimization:
    """Stylizes images by optimization; the styles are looked at once.

    Attributes:
        settings: What the results depend on, as JSON can hold it.
    """

    def __init__(
        self,
        network: LossNetwork,
        styles: list[Style],
        settings: OptimizationSettings,
        choices: Choices,
        watch: Watch | None = None,
    ) -> None:
        """Prepare the run.

        Args:
            network: The loss network.
            styles: At least one.
            settings: Settings for all images; size and tile are chosen per image.
            choices: The rest.
            watch: Told the image's number, from 1, and its progress.
        """
        self.steps = Steps(network)
        self._target = StyleTarget(self.steps, styles, settings.style_scale)
        self._settings = settings
        self._choices = choices
        self._watch = watch
        self._per_pixel: float | None = None
        known = settings.start in STARTS
        self._start = None if known else read_named(settings.start, choices.max_pixels)
        self.settings = self._described(network, styles)

    def _described(self, network: LossNetwork, styles: list[Style]) -> dict[str, Any]:
        plain = self._settings.to_dict()
        del plain["size"], plain["tile"]
        return {
            "method": "optimisation",
            **plain,
            "size": self._choices.size,
            "tile": self._choices.tile,
            "mask": self._choices.mask,
            "mask_sha256": hash_of_all(self._choices.mask),
            "network": network.name,
            "network_identity": network.identity,
            "styles": [
                {"path": s.name, "weight": s.weight, "sha256": _pixels_hash(s.pixels)}
                for s in styles
            ],
            "start_sha256": None if self._start is None else _pixels_hash(self._start),
        }

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of a result."""
        return result_size(height, width, self._choices.size)

    def estimate(self, height: int, width: int) -> estimate.Estimate:
        """Return what an image of that size costs here.

        Raises:
            UsageError: It does not fit into the memory.
        """
        size = self.size_of(height, width)
        tile = estimate.chosen_tile(self.steps, size, self._choices.tile)
        resident = resident_memory() or 0
        memory = estimate.memory_needed(self.steps, size, tile, resident)
        if self._per_pixel is None:
            self._per_pixel = estimate.seconds_per_pixel(self.steps)
        settings = replace(self._settings, tile=tile)
        seconds = estimate.estimated_seconds(self.steps, size, settings, self._per_pixel)
        return estimate.Estimate(memory, seconds, tile)

    def draw_choices(
        self, content: Content, path: Path, told: Callable[[int, int], None] | None = None
    ) -> None:
        """Draw an image in each style at several strengths; see `choices_sheet`."""
        styles, network = self._target.styles, self.steps.network
        choices_sheet(network, styles, self._settings, content, path, told)

    def paint(self, content: Content, workspace: Workspace) -> Painted:
        """Stylize one image, or resume it where a killed run left its state.

        Raises:
            ImageError: It cannot be stylized.
        """
        started = time.monotonic()
        size = self.size_of(*content.pixels.shape[:2])
        check_side(size, self.steps.network.recipe.smallest)
        mask = mask_of(self._choices.mask, content, self._choices.max_pixels)
        try:
            tile = estimate.chosen_tile(self.steps, size, self._choices.tile)
        except UsageError as error:  # the others may fit
            message = f"the result must {error.rule}. Received: {error.received}."
            raise ImageError("too-large", message) from error
        settings = replace(self._settings, size=max(size), tile=tile)
        optimization = Optimization(
            self.steps, content.pixels, size, self._target, settings, start=self._start, mask=mask
        )
        sizes = [(scale.height, scale.width) for scale in optimization.scales]
        run = {**workspace.run, "tile": tile}
        state = None if workspace.state is None else load_state(workspace.state, run, sizes)
        if state is not None:
            optimization.state = state
            log.info("%s: resuming after step %d", content.path, state.count)
        watcher = _Watcher(self, content, mask, workspace, run)
        pixels = optimization.run(watcher)
        if not np.isfinite(pixels).all():
            raise ImageError("failed", "the optimization diverged (NaN or infinity)")
        result = finished(pixels, content, mask, settings.preserve_color)
        return self._painted(result, optimization, watcher, tile, time.monotonic() - started)

    def _painted(
        self,
        result: np.ndarray,
        optimization: Optimization,
        watcher: _Watcher,
        tile: int | None,
        seconds: float,
    ) -> Painted:
        state, last = optimization.state, watcher.last
        row = {"seconds": round(max(seconds, state.seconds), 2), "steps": state.count}
        if last is not None:
            row |= {
                "loss": _rounded(last.loss),
                "content_loss": _rounded(last.content),
                "style_loss": _rounded(last.style),
            }
        scales = [[scale.width, scale.height, scale.steps] for scale in optimization.scales]
        curve = {"columns": ["step", "content", "style", "variation"], "rows": state.curve}
        return Painted(result, row, {"scales": scales, "tile": tile, "curve": curve})


class _Watcher:
    """Keeps the state, shows previews, and passes progress on."""

    def __init__(
        self,
        method: ByOptimization,
        content: Content,
        mask: np.ndarray | None,
        workspace: Workspace,
        run: dict[str, Any],
    ) -> None:
        self.last: OptimizationProgress | None = None
        self._method = method
        self._content = content
        self._mask = mask
        self._workspace = workspace
        self._run = run
        self._saved = time.monotonic()

    def __call__(self, progress: OptimizationProgress) -> None:
        self.last = progress
        choices = self._method._choices
        state, preview = self._workspace.state, self._workspace.preview
        if state is not None and time.monotonic() - self._saved >= SAVE_EVERY:
            save_state(state, progress.state, self._run)
            self._saved = time.monotonic()
        if preview is not None and choices.preview and progress.step % choices.preview == 0:
            preserve = self._method._settings.preserve_color
            pixels = progress.state.image()
            preview(finished(pixels, self._content, self._mask, preserve))
        if self._method._watch is not None:
            self._method._watch(self._workspace.position, progress)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _pixels_hash(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
