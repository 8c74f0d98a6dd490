"""``cnnkit experiment residual`` as a function."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath
from cnnkit.errors import UsageError, broken_rule, requires
from cnnkit.lab.experiment import Curve, ExperimentSettings, ImageSet, Verdict, run, verdict
from cnnkit.lab.experiment.images import digits, folder
from cnnkit.reports.experiment import write_residual_report
from cnnkit.writers.replacing import replacing
from cnnkit.writers.targets import target_file, target_page

log = logging.getLogger("cnnkit")

SMALLEST_SIDE, LARGEST_SIDE = 8, 128
SIDE = 32


@dataclass(frozen=True)
class ResidualExperiment:
    """The training errors of plain and residual networks of several depths.

    Attributes:
        images: What they were trained on.
        settings: The choices of the run.
        curves: The training error of each network, epoch by epoch.
        verdict: What the curves show.
    """

    images: ImageSet
    settings: ExperimentSettings
    curves: list[Curve]
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "schema_version": 1,
            "experiment": "residual",
            "data": {
                "name": self.images.name,
                "pictures": len(self.images.labels),
                "classes": self.images.classes,
                "side": int(self.images.inputs.shape[1]),
            },
            "settings": self.settings.to_dict(),
            "curves": [curve.to_dict() for curve in self.curves],
            "verdict": vars(self.verdict),
        }


@keeps_inputs
def experiment_residual(
    data: AnyPath | None = None,
    *,
    depths: Sequence[int] = (10, 18, 34, 50),
    epochs: int = 15,
    batch_size: int = 128,
    learning_rate: float = 0.1,
    size: int = SIDE,
    seed: int = 0,
    json_file: AnyPath | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, int, float], None] | None = None,
) -> ResidualExperiment:
    """Train plain and residual networks of several depths and compare their training errors.

    Args:
        data: A folder with one subfolder per class; the digits of scikit-learn by default.
        depths: The numbers of layers to compare.
        epochs: Passes over the images.
        batch_size: Images per batch.
        learning_rate: The initial learning rate.
        size: The size of the images of `data`, 8 to 128.
        seed: The random seed of the weights and of the order of the images.
        json_file: A file for all results as JSON.
        report: An HTML report with the curves.
        overwrite: Overwrite existing files.
        progress: Gets the kind of a network, its depth, the epoch and the training error.

    Returns:
        A training curve for each network in ``.curves``, and what they show in ``.verdict``.

    Raises:
        UsageError: An argument is invalid, or an output already exists.
        OutputError: A file cannot be written.
    """
    page = target_page(report, overwrite)
    numbers = target_file("`json_file`", json_file, (".json",), overwrite=overwrite)
    if not SMALLEST_SIDE <= size <= LARGEST_SIDE:
        rule = f"lie between {SMALLEST_SIDE} and {LARGEST_SIDE}"
        raise UsageError(broken_rule("`size`", rule, size))
    if data is None and size != SIDE:
        raise UsageError(requires("`size`", "`data`", "The digits have a size of their own."))
    settings = ExperimentSettings(
        depths=tuple(depths),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    images = folder(os.fspath(data), size) if data else digits()
    for path, reason in images.failures:
        log.error("%s: %s", path, reason)
    curves = run(images, settings, progress or _silent)
    found = ResidualExperiment(images, settings, curves, verdict(curves))
    if page is not None:
        write_residual_report(page, found.to_dict())
    if numbers is not None:
        with replacing(numbers) as file:
            file.write((json.dumps(found.to_dict(), indent=1) + "\n").encode())
    return found


def _silent(kind: str, depth: int, epoch: int, error: float) -> None:
    """Show nothing."""
