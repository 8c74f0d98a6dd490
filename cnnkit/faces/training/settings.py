"""Validated settings of ``cnnkit train-face``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from cnnkit.data import Shares
from cnnkit.data.decoded import MaxBad
from cnnkit.errors import UsageError, broken_rule, requires
from cnnkit.faces.embedding import DEFAULT_DETECTOR
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec

SCRATCH, EMBEDDED = "embedding-small", "dlib-face"
NETWORKS = (EMBEDDED, SCRATCH)
# The keys of `cnnkit.losses.triplets.FORMULAS`, which needs a framework.
MININGS = ("semi-hard", "batch-hard", "batch-all")
# head: a logistic unit on frozen embeddings. logistic: the same unit, the network learning too.
LOSSES = ("head", *MININGS, "logistic")
SPLITS_BY = ("people", "pictures")
CROPS = ("face", "none")
DETECTORS = ("yunet", "mtcnn")
LEAST_SIDE, MOST_SIDE = 16, 1024
DEFAULT_SIDE = 64


@dataclass(frozen=True)
class EmbedderSettings:
    """The choices of one run.

    Attributes:
        data: A folder with one folder for each person, or a CSV with the columns file and label.
        output: The folder of the new bundle.
        root: The folder that the files of a CSV are relative to.
        network: Where f starts: one of `NETWORKS`.
        loss: One of `LOSSES`.
        margin: Margin of the triplets; 0 with batch-hard is the soft margin.
        people: P, in a batch.
        photos: K, of each of them.
        dimensions: Numbers of a description; embedding-small only.
        size: Side of the square input; embedding-small only.
        crop: ``face``: find and align the largest face; ``none``: the whole image is one.
        detector: What finds the faces: a model for ``find-face`` that is embedded.
        epochs: At most.
        learning_rate: The highest one; None: 1e-3 from scratch, 1e-5 for embedded weights.
        split_by: ``people`` puts each person into one split only; ``pictures`` splits by image.
        shares: Shares of validation and test.
        augment: ``none``, ``light``, ``strong`` or a recipe's file.
        patience: Epochs without a lower validation loss.
        seed: Random seed for split, order, weights and augmentation.
        overwrite: Replace an existing bundle.
        resume: Resume an interrupted run.
        max_bad: How many unreadable or faceless images to leave out.
        max_pixels: A larger image is unreadable.
        workers: Threads that read.

    Raises:
        UsageError: An argument is invalid.
    """

    data: str
    output: Path
    root: str | None = None
    network: str = EMBEDDED
    loss: str = "head"
    margin: float = 0.2
    people: int = 16
    photos: int = 4
    dimensions: int = 128
    size: int = DEFAULT_SIDE
    crop: str = "face"
    detector: str = DEFAULT_DETECTOR
    epochs: int = 30
    learning_rate: float | None = None
    split_by: str = "people"
    shares: Shares = field(default_factory=Shares)
    augment: str = "light"
    patience: int = 8
    seed: int = 0
    overwrite: bool = False
    resume: bool = False
    max_bad: MaxBad = field(default_factory=MaxBad)
    max_pixels: int = DEFAULT_MAX_PIXELS
    workers: int | None = None

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()
        if self.loss == "head" and self.network == SCRATCH:
            fix = "Choose another `loss`, or `network='dlib-face'`."
            rule = "be used with a pretrained face network"
            raise UsageError(broken_rule("`loss='head'`", rule, self.network, fix))
        if self.network == EMBEDDED and self.crop != "face":
            rule = "be face with `network='dlib-face'`, which sees aligned faces only"
            raise UsageError(broken_rule("`crop`", rule, self.crop))
        if self.margin == 0 and self.loss in MININGS and self.loss != "batch-hard":
            fix = "0 is the soft margin of `loss='batch-hard'`."
            raise UsageError(broken_rule("`margin`", "be over 0", 0, fix))
        self._check_used()
        if self.resume and self.loss == "head":
            fix = "Fitting only the head takes seconds."
            raise UsageError(
                broken_rule("`resume`", "be used with a loss that trains the network", "head", fix)
            )

    def _check_used(self) -> None:
        """Refuse what nothing in this training would use.

        Raises:
            UsageError: Names the first of it.
        """
        of_loss = ("margin", "people", "photos", "epochs", "patience", "learning_rate", "augment")
        unused = {
            "`network='embedding-small'`": ("dimensions", "size") * (self.network == EMBEDDED),
            "`crop='face'`": ("detector",) * (self.crop != "face"),
            "a `loss` that trains the network": of_loss * (not self.trains),
            "a `loss` of triplets": ("margin",) * (self.loss not in MININGS),
        }
        for needed, names in unused.items():
            for name in names:
                if getattr(self, name) != getattr(type(self), name):
                    raise UsageError(requires(f"`{name}`", needed))

    @property
    def trains(self) -> bool:
        """Whether the network itself learns."""
        return self.loss != "head"

    @property
    def side(self) -> int:
        """Of the network's square input."""
        return 150 if self.network == EMBEDDED else self.size

    @property
    def spec(self) -> InputSpec:
        """How a whole image becomes the network's input: squeezed, with nothing cut off."""
        return InputSpec(self.side, self.side, "stretch", 1.0, "bilinear")

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-3 if self.network == SCRATCH else 1e-5

    def _check_choices(self) -> None:
        for option, value, known in (
            ("`network`", self.network, NETWORKS),
            ("`loss`", self.loss, LOSSES),
            ("`split_by`", self.split_by, SPLITS_BY),
            ("`crop`", self.crop, CROPS),
            ("`detector`", self.detector, DETECTORS),
        ):
            if value not in known:
                raise UsageError(broken_rule(option, f"be one of {', '.join(known)}", value))

    def _check_numbers(self) -> None:
        for option, value, low, high in (
            ("`people`", self.people, 2, 1000),
            ("`photos`", self.photos, 2, 1000),
            ("`dimensions`", self.dimensions, 2, 4096),
            ("`size`", self.size, LEAST_SIDE, MOST_SIDE),
            ("`epochs`", self.epochs, 1, 1_000_000),
            ("`patience`", self.patience, 1, 1_000_000),
            ("`seed`", self.seed, 0, 2**32 - 1),
        ):
            if not low <= value <= high:
                raise UsageError(broken_rule(option, f"be from {low} to {high}", value))
        for option, number in (("`margin`", self.margin), ("`learning_rate`", self.rate)):
            if not (math.isfinite(number) and 0 <= number <= 100):
                raise UsageError(broken_rule(option, "be a number from 0 to 100", number))
        if self.rate == 0:
            raise UsageError(broken_rule("`learning_rate`", "be over 0", 0))
