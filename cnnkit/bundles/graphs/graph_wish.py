"""What the user says of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from cnnkit.bundles.graphs.families import Preprocessing
from cnnkit.bundles.graphs.graph_card import COLORS, LAYOUTS
from cnnkit.bundles.score_kinds import SCORE_KINDS
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images.prepare import FITS, LEAST_CROP, MAX_SIDE
from cnnkit.images.resample import RESAMPLING

TASKS = ("classify", "detect")


@dataclass(frozen=True)
class GraphWish:
    """What the user says of a graph; None: nothing.

    Attributes:
        task: ``classify`` or ``detect``.
        like: A family of `cnnkit.bundles.graphs.families`; of a detector also one of
            `cnnkit.bundles.head_profiles.PROFILES`.
        size: Height and width of the images.
        layout: ``NHWC`` or ``NCHW``.
        preprocessing: How an image becomes numbers.
        scores: One of `cnnkit.bundles.score_kinds.SCORE_KINDS`.
        features: The tensor of the features.
        labels: A file with one label a line.
        name: Name of the model.
    """

    task: str | None = None
    like: str | None = None
    size: tuple[int, int] | None = None
    layout: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    scores: str | None = None
    features: str | None = None
    labels: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("task", self.task, TASKS),
            ("layout", self.layout, LAYOUTS),
            ("scores", self.scores, SCORE_KINDS),
            ("colors", self.preprocessing.colors, COLORS),
            ("fit", self.preprocessing.fit, FITS),
            ("interpolation", self.preprocessing.interpolation, tuple(RESAMPLING)),
        ):
            if value is not None and value not in known:
                raise UsageError(broken_rule(f"`{name}`", f"be one of {', '.join(known)}", value))
        fraction, size = self.preprocessing.crop_fraction, self.size
        if fraction is not None and not LEAST_CROP <= fraction <= 1:
            rule = f"be from {LEAST_CROP} to 1"
            raise UsageError(broken_rule("`crop_fraction`", rule, fraction))
        if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
            rule = f"be a height and a width from 1 to {MAX_SIDE}"
            raise UsageError(broken_rule("`size`", rule, "x".join(map(str, size))))
