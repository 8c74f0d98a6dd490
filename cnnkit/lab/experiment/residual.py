"""Plain and residual networks of several depths: what depth does to the training error.

He et al., "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385,
figure 6: plain networks get worse on their own training set as they get deeper, so it is no
overfitting; with skips, deeper ones do not. The pairs here have the very same parameters and
differ in nothing but the additions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cnnkit.errors import UsageError, broken_rule
from cnnkit.lab.experiment.images import ImageSet
from cnnkit.runtime import building_defaults, seed_everything
from cnnkit.runtime.process import random_numbers_kept
from cnnkit.runtime.tracing import quiet_tracing
from cnnkit.runtime.training_devices import require_tensorflow

MAX_DEPTH, MAX_EPOCHS = 202, 1000
KINDS = ("plain", "residual")
# Epochs at the end whose mean counts: one epoch of a small set is noisy.
LAST_EPOCHS = 3
# A deeper residual net may be this much worse and still count as not worse: noise.
TOLERANCE = 0.02


@dataclass(frozen=True)
class ExperimentSettings:
    """The choices of a run.

    Attributes:
        depths: Layers with weights of each pair of networks.
        epochs: Passes over all images.
        filters: Channels of each stage; the size halves from one to the next.
        batch_size: ImageSet a step.
        learning_rate: Learning rate of plain gradient descent with momentum 0.9, as in the paper.
        seed: Random seed for the weights and the order of the images.

    Raises:
        UsageError: An argument is invalid.
    """

    depths: tuple[int, ...] = (10, 18, 34, 50)
    epochs: int = 15
    filters: tuple[int, ...] = (8, 16)
    batch_size: int = 128
    learning_rate: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that break their rule."""
        step = 2 * len(self.filters)
        known = [depth for depth in range(step + 2, MAX_DEPTH + 1, step)]
        for depth in self.depths:
            if depth not in known:
                fix = f"Such as {', '.join(map(str, known[:6]))}."
                rule = f"be {step}n + 2, at most {MAX_DEPTH}"
                raise UsageError(broken_rule("`depths`", rule, depth, fix))
        if len(set(self.depths)) < 2:
            raise UsageError(broken_rule("`depths`", "be at least two", len(set(self.depths))))
        if not 1 <= self.epochs <= MAX_EPOCHS:
            rule = f"lie between 1 and {MAX_EPOCHS:,}"
            raise UsageError(broken_rule("`epochs`", rule, self.epochs))
        if self.batch_size < 1:
            raise UsageError(broken_rule("`batch_size`", "be at least 1", self.batch_size))
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise UsageError(broken_rule("`learning_rate`", "be over 0", self.learning_rate))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Curve:
    """What became of one network.

    Attributes:
        kind: ``plain`` or ``residual``.
        depth: Layers with weights.
        parameters: How many were trained.
        errors: The share of the training images that it got wrong, epoch by epoch, 0 to 1.
        losses: The mean cross-entropy in nats, epoch by epoch.
    """

    kind: str
    depth: int
    parameters: int
    errors: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def averaged(self) -> int:
        """How many epochs at the end `last_error` is the mean of."""
        return min(LAST_EPOCHS, len(self.errors))

    @property
    def last_error(self) -> float:
        """The mean error of the last epochs."""
        return float(np.mean(self.errors[-LAST_EPOCHS:]))

    def to_dict(self) -> dict[str, Any]:
        """Return the curve as JSON has it."""
        rounded = {
            name: [round(value, 6) if math.isfinite(value) else None for value in values]
            for name, values in (("errors", self.errors), ("losses", self.losses))
        }
        ends = {"last_error": round(self.last_error, 6), "averaged": self.averaged}
        return asdict(self) | rounded | ends


@dataclass(frozen=True)
class Verdict:
    """What the curves say.

    Attributes:
        plain_worsens: The deepest plain network ends with a higher error than the shallowest.
        residual_holds: The deepest residual network does not, but for noise.
        sentence: For people, with the numbers.
    """

    plain_worsens: bool
    residual_holds: bool
    sentence: str


def run(
    images: ImageSet,
    settings: ExperimentSettings | None = None,
    on_epoch: Callable[[str, int, int, float], None] | None = None,
) -> list[Curve]:
    """Train a plain and a residual network of each depth.

    Args:
        images: All of them are trained on: the training error is what is asked about.
        settings: The choices.
        on_epoch: Told the kind, the depth, the epoch from 1 and its training error.

    Returns:
        A curve for each network, by depth, plain first.
    """
    settings = settings or ExperimentSettings()
    require_tensorflow()
    return [
        _train(images, settings, kind, depth, on_epoch)
        for depth in sorted(set(settings.depths))
        for kind in KINDS
    ]


def _train(
    images: ImageSet,
    settings: ExperimentSettings,
    kind: str,
    depth: int,
    on_epoch: Callable[[str, int, int, float], None] | None,
) -> Curve:
    with quiet_tracing(), random_numbers_kept(), building_defaults() as keras:
        seed_everything(settings.seed)
        from cnnkit.architectures.resnet_cifar import cifar_resnet

        model = cifar_resnet(
            depth,
            residual=kind == "residual",
            input_shape=images.inputs.shape[1:],
            classes=images.classes,
            filters=settings.filters,
        )
        model.compile(
            keras.optimizers.SGD(settings.learning_rate, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=False,
        )

        def tell(epoch: int, logs: dict[str, float]) -> None:
            if on_epoch is not None:
                on_epoch(kind, depth, epoch + 1, 1 - logs["accuracy"])

        history = model.fit(
            images.inputs.astype(np.float32),
            images.labels,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            verbose=0,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=tell)],
        ).history
    parameters = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    errors = tuple(1 - float(value) for value in history["accuracy"])
    return Curve(kind, depth, parameters, errors, tuple(map(float, history["loss"])))


def verdict(curves: list[Curve]) -> Verdict:
    """Return what the curves say about depth."""
    ends: dict[str, tuple[Curve, Curve]] = {}
    for kind in KINDS:
        own = sorted((c for c in curves if c.kind == kind), key=lambda curve: curve.depth)
        ends[kind] = (own[0], own[-1])
    plain, residual = (ends[kind] for kind in KINDS)
    worsens = plain[1].last_error > plain[0].last_error + TOLERANCE
    holds = residual[1].last_error <= residual[0].last_error + TOLERANCE
    shallow, deep = plain[0].depth, plain[1].depth
    sentence = (
        f"From {shallow} to {deep} layers the plain network's training error "
        f"{_moves(plain)}, the residual network's {_moves(residual)}."
    )
    return Verdict(worsens, holds, sentence)


def _moves(ends: tuple[Curve, Curve]) -> str:
    before, after = (curve.last_error for curve in ends)
    word = "goes" if abs(after - before) > TOLERANCE else "stays near, going"
    return f"{word} from {before:.1%} to {after:.1%}"
