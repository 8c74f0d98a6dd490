"""``cnnkit train-style``: a network of one's own for one style, learned on one's own photos."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnkit.architectures import builder
from cnnkit.bundles.writing import NewBundle
from cnnkit.data.decoded import DEFAULT_MAX_BAD, MaxBad
from cnnkit.errors import CnnkitError, UsageError, broken_rule, mutually_exclusive
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec, find_images
from cnnkit.images.resample import ResampleWindow, resize
from cnnkit.reports.style import write_style_report
from cnnkit.runtime import building_defaults, seed_everything
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.training_devices import shared_evenly
from cnnkit.style.features import DEFAULT, LossNetwork, open_loss_network
from cnnkit.style.images import read_style
from cnnkit.style.training.learner import BORDER, Learner, LossWeights, PainterState
from cnnkit.style.training.photos import Photos
from cnnkit.training.checkpoints import Checkpoints
from cnnkit.training.run import REPORT, TrainingRun, identity_of, write_history
from cnnkit.training.together import Standing, found_by_first, refuse_different_runs
from cnnkit.version import __version__

if TYPE_CHECKING:
    from cnnkit.training.stepper import Snapshot

log = logging.getLogger(__name__)

BUILDER = "style-transformer"
HELD_OUT = 8
SAMPLES = 4
# A kill loses at most so many seconds of work.
SAVE_EVERY = 30.0
# Points of the curve, at most.
CURVE_POINTS = 200
SMALLEST_SIZE, LARGEST_SIZE = 64, 512
MOST_FILTERS = 128  # as the builder says, which is not imported for it


@dataclass(frozen=True)
class PainterSettings:
    """Validated settings of a training of one style.

    Attributes:
        photos: Images and folders to learn on.
        styles: Paths of the style's images; the losses see all of them.
        output: The folder of the new bundle.
        steps: Total number of steps.
        time_budget: Seconds after which the training ends even so; None: no limit.
        size: Side of the cuts of the photos in pixels.
        batch_size: Cuts of a step.
        style_size: Long side of the style's images in pixels: larger forms where it is larger.
        strength: 0 to 1: how much the style counts against the content.
        variation: Weight of smoothness against content and style as one.
        filters: Number of filters of the network, see its builder.
        residual_blocks: Number of residual blocks of the network, see its builder.
        learning_rate: The highest; it falls to 0 along a cosine.
        network: The loss network.
        weights: A weights file for it.
        seed: Random seed for the whole run.
        resume: Resume an interrupted run.
        overwrite: Replace a bundle of that name.
        max_bad: Unreadable photos to leave out before giving up.
        max_pixels: Refuse larger photos.

    Raises:
        UsageError: An argument is invalid.
    """

    photos: Sequence[str]
    styles: Sequence[str]
    output: Path
    steps: int = 4000
    time_budget: float | None = None
    size: int = 128
    batch_size: int = 4
    style_size: int = 512
    strength: float = 0.9
    variation: float = 1.0
    filters: int = 16
    residual_blocks: int = 3
    learning_rate: float = 2e-3
    network: str = DEFAULT
    weights: str | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    max_bad: MaxBad = DEFAULT_MAX_BAD
    max_pixels: int = DEFAULT_MAX_PIXELS

    def __post_init__(self) -> None:
        if not self.styles:
            raise UsageError(broken_rule("`styles`", "name an image", "none"))
        _check("`steps`", self.steps, 1, 1_000_000)
        _check("`size`", self.size, SMALLEST_SIZE, LARGEST_SIZE)
        if self.size % 4:
            raise UsageError(broken_rule("`size`", "be a multiple of 4", self.size))
        _check("`batch_size`", self.batch_size, 1, 256)
        _check("`style_size`", self.style_size, 64, 2048)
        _check("`filters`", self.filters, 1, MOST_FILTERS)
        _check("`strength`", self.strength, 0, 1)
        _check("`variation`", self.variation, 0, 1e6)
        _check("`learning_rate`", self.learning_rate, 1e-6, 1)
        _check("`seed`", self.seed, 0, 2**32 - 1)
        if self.time_budget is not None:
            _check("`time_budget`", self.time_budget, 1, 1e7)
        if self.resume and self.overwrite:
            raise UsageError(mutually_exclusive("`resume`", "`overwrite`"))

    def described(self) -> dict[str, Any]:
        """Return what the network depends on besides the images, as JSON can hold it."""
        left_out = ("photos", "styles", "output", "weights", "resume", "overwrite", "max_bad")
        return {name: value for name, value in asdict(self).items() if name not in left_out}


def _check(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also for NaN
        rule = f"lie between {low:g} and {high:g}"
        raise UsageError(broken_rule(option, rule, f"{value:g}"))


class PainterStep(NamedTuple):
    """One finished step.

    Attributes:
        step: From 1.
        steps: Total number of steps.
        terms: Content, style and variation on the step's photos, before it.
        seconds: Duration of the training so far in seconds, including interrupted runs.
        seconds_left: At the pace so far.
    """

    step: int
    steps: int
    terms: np.ndarray
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class TrainedPainter:
    """The result of a training.

    Attributes:
        bundle: Its folder.
        steps: That were made.
        seconds: Duration of training in seconds.
        before: Content and style loss on held-out photos before training.
        after: After it.
        record: How it was trained, as in the card.
    """

    bundle: Path
    steps: int
    seconds: float
    before: tuple[float, float]
    after: tuple[float, float]
    record: dict[str, Any]


def learn_style(
    settings: PainterSettings, watch: Callable[[PainterStep], None] | None = None
) -> TrainedPainter:
    """Train a network for one style and leave a bundle for ``cnnkit stylize --fast --model``.

    Args:
        settings: The settings.
        watch: Told each step.

    Raises:
        UsageError: A value or an image breaks its rule, or an unfinished run is in the way.
        OutputError: The bundle cannot be written.
        CnnkitError: The loss was no number any more.
    """
    run = TrainingRun(settings.output, resume=settings.resume, overwrite=settings.overwrite)
    with run.claimed():
        return _trained(run, settings, watch)


def _trained(
    run: TrainingRun, settings: PainterSettings, watch: Callable[[PainterStep], None] | None
) -> TrainedPainter:
    inputs = list(find_images(settings.photos))
    there = sum(found.failure is None for found in inputs)
    if there < 2:
        raise UsageError(broken_rule("`photos`", "hold at least 2 images", there or "none"))
    paths = [found.path for found in inputs]  # what is missing is named with the bad images
    network = open_loss_network(settings.network, settings.weights)
    styles = [read_style(path, settings.max_pixels) for path in settings.styles]
    with Photos(
        paths,
        settings.size,
        held_out=HELD_OUT,
        seed=settings.seed,
        max_bad=settings.max_bad,
        max_pixels=settings.max_pixels,
    ) as photos:
        if not len(photos):
            raise UsageError(broken_rule("`photos`", "hold at least 2 images", "fewer readable"))
        identity = _identity(network, styles, photos)
        training = _PainterTraining(settings, network, styles, photos, run.state_folder, identity)
        training.train(watch)
        return training.write(run)


def _identity(network: LossNetwork, styles: list[np.ndarray], photos: Photos) -> str:
    """Return a hash of what a resumed run must find again: of images, what is in them."""
    hashes = [hashlib.sha256(repr(s.shape).encode() + s.tobytes()).hexdigest() for s in styles]
    return identity_of([network.identity, photos.content_hash(), hashes])


def style_grams(
    network: LossNetwork, styles: Sequence[np.ndarray], long_side: int
) -> dict[str, np.ndarray]:
    """Return the mean of the styles' Gram matrices, each (1, channels, channels).

    Args:
        network: The loss network.
        styles: uint8 (height, width, 3) each.
        long_side: To which they are resized.
    """
    from cnnkit.losses.style import gram_matrix

    found: dict[str, list[np.ndarray]] = {name: [] for name in network.recipe.style}
    for pixels in styles:
        factor = long_side / max(pixels.shape[:2])
        height, width = (max(2 * BORDER, round(side * factor)) for side in pixels.shape[:2])
        small = resize(pixels, ResampleWindow((height, width), 0, 0, height, width), "bicubic")
        around = ((BORDER, BORDER), (BORDER, BORDER), (0, 0))
        padded = np.pad(small.astype(np.float32), around, mode="reflect")
        features = network.model(padded[None])
        for name, grams in found.items():
            grams.append(np.asarray(gram_matrix(features[name])))
    return {name: np.mean(grams, axis=0) for name, grams in found.items()}


class _PainterTraining:
    """One training, from its start or its state to the bundle."""

    def __init__(
        self,
        settings: PainterSettings,
        network: LossNetwork,
        styles: list[np.ndarray],
        photos: Photos,
        state_folder: Path,
        identity: str,
    ) -> None:
        self._settings, self._photos, self._styles = settings, photos, styles
        self._network_name = network.name
        seed_everything(settings.seed)
        self._arguments = {
            "filters": settings.filters,
            "residual_blocks": settings.residual_blocks,
        }
        with building_defaults():
            self._model = builder(BUILDER)(**self._arguments)
        losses = LossWeights(1 - settings.strength, settings.strength, settings.variation / 50)
        grams = style_grams(network, styles, settings.style_size)
        self._group = current_group()
        self._batch_size = shared_evenly(settings.batch_size, len(photos), self._group.devices)
        self._learner = Learner(self._model, network, grams, losses)
        self._state = self._learner.start()
        self._described = {"settings": settings.described(), "identity": identity}
        self._step, self._seconds = 0, 0.0
        self._curve: list[list[float]] = []
        self._checkpoints = Checkpoints(state_folder)
        refuse_different_runs(self._described)
        self._begin()
        if not self._step:
            self._before = self._judged()

    def _judged(self) -> tuple[float, float]:
        content, style, _ = self._learner.terms(self._state, self._photos.held_out)
        return float(content), float(style)

    # === State ===

    def _begin(self) -> None:
        """Take the state that the first process has found or begins with."""
        found = self._found() if self._settings.resume and self._group.leads else None
        state, snapshot, _ = found_by_first(found or Standing(None, self._snapshot(), None))
        self._state = PainterState(*snapshot.model, *snapshot.optimizer)
        if self._group.count > 1:
            self._state = PainterState(*map(self._group.everywhere, self._state))
        if state is not None:
            self._step, self._seconds = state["step"], state["seconds"]
            self._curve, self._before = state["curve"], tuple(state["before"])
            log.info("Resuming after step %d.", self._step)
        elif self._settings.resume:
            log.info("Nothing to resume: starting from the beginning.")

    def _snapshot(self) -> Snapshot:
        from cnnkit.training.stepper import Snapshot

        weights, mean, square = (np.asarray(part) for part in self._state)
        return Snapshot([weights], [mean, square])

    def _found(self) -> Standing | None:
        """Return the newest checkpoint, or None if there is none."""

        def check(state: dict[str, Any]) -> None:
            """Refuse a state of another run, or with facts that no run of ours has."""
            for name, value in json.loads(json.dumps(self._described)).items():
                if state.get(name) != value:
                    fix = "Run the same command again, or use `overwrite=True` to start over."
                    what = "photos, styles and network" if name == "identity" else name
                    rule = f"be used with the same {what} as in {self._checkpoints.folder.name}"
                    raise UsageError(broken_rule("`resume`", rule, "others", fix))
            self._check_facts(state)

        found = self._checkpoints.load(self._snapshot(), check)
        return None if found is None else Standing(*found)

    def _check_facts(self, state: dict[str, Any]) -> None:
        """Refuse what no run of these settings would have written.

        Raises:
            ValueError: So it is; or another error, where something is of another kind.
        """
        curve = state["curve"]
        rows = [[state["seconds"]], state["before"], *curve]
        fits = (
            type(state["step"]) is int
            and 0 <= state["step"] <= self._settings.steps
            and len(state["before"]) == 2
            and len(curve) <= 2 * CURVE_POINTS + 1
            and all(len(row) == 4 for row in curve)
            and all(type(x) in (int, float) and math.isfinite(x) for row in rows for x in row)
        )
        if not fits:
            raise ValueError("not a state of such a training.")

    def _save(self) -> None:
        if not self._group.leads:
            return
        state = {
            "step": self._step,
            "seconds": self._seconds,
            "curve": self._curve,
            "before": list(self._before),
            "best_epoch": None,
            **self._described,
        }
        self._checkpoints.save(self._step, state, self._snapshot())

    # === Training ===

    def train(self, watch: Callable[[PainterStep], None] | None) -> None:
        """Make all steps; an interrupt leaves the state on disk."""
        started, before = time.monotonic(), self._seconds
        saved = started
        try:
            while self._step < self._settings.steps and self._share_done() < 1:
                terms = self._one_step()
                now = time.monotonic()
                self._seconds = self._seconds_of_first(before + now - started)
                if watch is not None:
                    watch(self._progress(terms))
                if now - saved >= SAVE_EVERY:
                    self._save()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            self._save()
            log.info("Stopped after step %d: continue with `resume=True`.", self._step)
            raise

    def _seconds_of_first(self, seconds: float) -> float:
        """Return what the first process has measured: all stop, and slow down, by one clock."""
        if self._settings.time_budget is None:
            return seconds
        [[found]] = self._group.from_first([np.array([seconds])])
        return float(found)

    def _share_done(self) -> float:
        """Return how much of the run lies behind, 0 to 1, by steps or by time."""
        share = self._step / self._settings.steps
        if self._settings.time_budget is not None:
            share = max(share, self._seconds / self._settings.time_budget)
        return min(1.0, share)

    def _one_step(self) -> np.ndarray:
        rise = min(1.0, (self._step + 1) / 50)
        fall = 0.5 * (1 + math.cos(math.pi * self._share_done()))
        photos = self._photos.batch(self._step, self._batch_size)
        photos = photos[self._group.share.of(len(photos))]
        rate = self._settings.learning_rate * rise * fall
        self._state, terms = self._learner.step(self._state, photos, rate, self._step + 1)
        self._step += 1
        if not np.isfinite(terms).all():
            fix = "Give a lower `learning_rate`."
            raise CnnkitError(broken_rule("the loss", "be finite", f"NaN, step {self._step}", fix))
        every = max(1, self._settings.steps // CURVE_POINTS)
        if self._step % every == 0 or self._step == 1:
            self._curve.append([self._step, *(float(f"{x:.5g}") for x in terms)])
        return terms

    def _progress(self, terms: np.ndarray) -> PainterStep:
        share = self._share_done()
        left = self._seconds * (1 - share) / share if share else math.inf
        return PainterStep(self._step, self._settings.steps, terms, self._seconds, left)

    # === The bundle ===

    def write(self, run: TrainingRun) -> TrainedPainter:
        """Write the bundle with its report."""
        self._learner.put_into_model(self._state)
        after = self._judged()
        record = self._record(after)
        if run.leads:
            self._write_bundle(run, record)
        return TrainedPainter(
            self._settings.output, self._step, self._seconds, self._before, after, record
        )

    def _write_bundle(self, run: TrainingRun, record: dict[str, Any]) -> None:
        settings = self._settings
        side = settings.size
        bundle = NewBundle(
            name=settings.output.absolute().name,
            task="stylize",
            description="Photos in one style, in one pass.",
            model=self._model,
            labels=(),
            input=InputSpec(side, side, fit="crop", crop_fraction=1.0, interpolation="bicubic"),
            builder=BUILDER,
            arguments=self._arguments,
            outputs={"picture": {"layer": "picture"}},
            training=record,
        )
        curve = record["curve"]
        with run.new_bundle(bundle) as folder:
            rows = (dict(zip(curve["columns"], row, strict=True)) for row in curve["rows"])
            write_history(folder, curve["columns"], rows)
            write_style_report(
                folder / REPORT,
                record,
                title=bundle.name,
                styles=self._styles,
                samples=self._samples(),
            )

    def _record(self, after: tuple[float, float]) -> dict[str, Any]:
        held_out = [
            {"when": when, "content": round(content, 5), "style": round(style, 5)}
            for when, (content, style) in (("before", self._before), ("after", after))
        ]
        return {
            "cnnkit": __version__,
            "settings": self._settings.described() | {"network": self._network_name},
            "styles": list(self._settings.styles),
            "photos": len(self._photos),
            "steps": self._step,
            "seconds": round(self._seconds, 1),
            "held_out": held_out,
            "curve": {"columns": ["step", "content", "style", "variation"], "rows": self._curve},
        }

    def _samples(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return held-out photos and what the network makes of them, uint8."""
        photos = self._photos.held_out[:SAMPLES]
        painted = np.asarray(self._model(photos.astype(np.float32), training=False))
        return list(zip(photos, np.clip(np.rint(painted), 0, 255).astype(np.uint8), strict=True))
