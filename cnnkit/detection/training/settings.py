"""Validated settings of ``cnnkit train-detector``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cnnkit.data.decoded import MaxBad
from cnnkit.errors import UsageError, broken_rule, did_you_mean, mutually_exclusive, requires
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.losses.yolo import BOX_LOSSES
from cnnkit.names import known_network

ANCHOR_CHOICES = ("auto", "default", "kmeans")
LEAST_SIZE, MOST_SIZE, STEP = 96, 1280, 32


@dataclass(frozen=True)
class Architecture:
    """How a kind of detector is trained unless the user says otherwise.

    Attributes:
        pretrained: The embedded model whose weights it starts from, or None.
        size: Side of the input.
        frozen_epochs: At most so many with a frozen backbone first.
        frozen_rate: The learning rate meanwhile.
        epochs: At most so many of the whole network after that.
        rate: The learning rate of the head in these.
        backbone_rate: What the rate of all other layers is multiplied by.
        flexible: Whether it takes any size, so that sizes may change in training.
        fixed_stages: So many of the first stages, and all before them, keep the pretrained
            weights throughout: edges and colors are the same everywhere, and at the largest
            resolution learning them costs most.
        best_by: The figure whose best epoch is kept, ``AP50`` or ``AP``.
    """

    pretrained: str | None
    size: int
    frozen_epochs: int
    frozen_rate: float
    epochs: int
    rate: float
    backbone_rate: float
    flexible: bool = True
    fixed_stages: int = 0
    best_by: str = "AP50"


ARCHITECTURES = {
    "nanodet-g": Architecture(
        "nanodet-g", 416, 4, 2e-3, 34, 6e-4, 0.3, fixed_stages=1, best_by="AP"
    ),
    # A higher rate would undo at once what its heads already know.
    "yolov3-tiny": Architecture("yolov3-tiny", 416, 3, 4e-4, 40, 4e-4, 0.3),
    "yolov3": Architecture(None, 416, 0, 1e-3, 100, 5e-4, 1.0),
    "ssd-lite0": Architecture("efficientnet-lite0", 320, 50, 2e-3, 40, 1e-3, 0.1),
    "localizer-lite0": Architecture("efficientnet-lite0", 224, 40, 1e-3, 0, 1e-3, 0.1, False),
}


@dataclass(frozen=True)
class DetectorSettings:
    """What the user asks for; the names are those of the command's options.

    Attributes:
        data: Images with boxes, see `cnnkit.formats.read_boxes`.
        output: The folder of the new bundle.
        images: The folder of the images, where they are elsewhere.
        validation_data: Other images with boxes to validate on; None: a share of `data`.
        validation: That share, where the data does not say.
        architecture: A key of `ARCHITECTURES`.
        from_scratch: Start from random weights.
        size: Side of the square input, a multiple of 32; None: the architecture's own.
        anchors: Of YOLO networks: ``default``, ``kmeans``, or ``auto``: those of k-means where
            clearly better.
        box_loss: Of YOLO networks: ``yolo`` or ``ciou``.
        frozen_epochs: Epochs with a frozen backbone; None: the architecture's own.
        epochs: Epochs of the whole network; None: the architecture's own.
        learning_rate: The highest, of the head; None: the architecture's own.
        batch_size: Images per step.
        augment: The recipe.
        mosaic: The share of mosaics among the images, 0 to 1; none in the last third.
        multi_scale: Whether the size changes from batch to batch; None: where the architecture
            takes any size.
        average: Whether a moving average of the weights is what is kept.
        patience: Stop after this many epochs without a higher figure of the architecture's
            `Architecture.best_by`.
        max_bad: How many images may be unreadable.
        seed: Random seed for the split and the training.
        resume: Continue an unfinished run.
        overwrite: Overwrite an existing bundle.
        max_pixels: Largest number of pixels; larger images count as unreadable.
        workers: Threads that read and augment.
    """

    data: str
    output: Path
    images: str | None = None
    validation_data: str | None = None
    validation: float = 0.15
    architecture: str = "nanodet-g"
    from_scratch: bool = False
    size: int | None = None
    anchors: str = "auto"
    box_loss: str = "yolo"
    frozen_epochs: int | None = None
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int = 8
    augment: str = "boxes"
    mosaic: float = 0.5
    multi_scale: bool | None = None
    average: bool = True
    patience: int = 15
    max_bad: MaxBad = field(default_factory=MaxBad)
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    workers: int | None = None

    def __post_init__(self) -> None:
        architecture = known_network(self.architecture, ARCHITECTURES) or self.architecture
        object.__setattr__(self, "architecture", architecture)
        for option, value, known in (
            ("`architecture`", self.architecture, tuple(ARCHITECTURES)),
            ("`anchors`", self.anchors, ANCHOR_CHOICES),
            ("`box_loss`", self.box_loss, BOX_LOSSES),
        ):
            if value not in known:
                fix = did_you_mean(value, known)
                raise UsageError(broken_rule(option, f"be one of {', '.join(known)}", value, fix))
        side = self.side
        if not LEAST_SIZE <= side <= MOST_SIZE or side % STEP:
            rule = f"be a multiple of {STEP} from {LEAST_SIZE} to {MOST_SIZE}"
            raise UsageError(broken_rule("`size`", rule, side))
        for option, share in (("`validation`", self.validation), ("`mosaic`", self.mosaic)):
            if not 0 <= share <= 1 or (option == "`validation`" and not 0 < share < 1):
                raise UsageError(broken_rule(option, "be a share from 0 to 1", share))
        self._check_counts()
        if self.resume and self.overwrite:
            raise UsageError(mutually_exclusive("`resume`", "`overwrite`"))
        self._check_used()
        if not self.frozen + self.whole:
            raise UsageError(broken_rule("`epochs`", "be at least 1", 0))

    def _check_counts(self) -> None:
        """Refuse numbers that no training takes; 0 is not the default, which is None."""
        for name, least in (
            ("frozen_epochs", 0),
            ("epochs", 0),
            ("batch_size", 1),
            ("patience", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(broken_rule(f"`{name}`", f"be at least {least}", value))
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UsageError(broken_rule("`learning_rate`", "be over 0", self.learning_rate))

    def _check_used(self) -> None:
        """Refuse what nothing in this training would use."""
        for option, value, usual in (
            ("`anchors`", self.anchors, type(self).anchors),
            ("`box_loss`", self.box_loss, type(self).box_loss),
        ):
            if value != usual and not self.architecture.startswith("yolo"):
                raise UsageError(requires(option, "an `architecture` of YOLO"))
        if self.frozen_epochs and (self.from_scratch or self.kind.pretrained is None):
            fix = "Random weights are not worth keeping."
            raise UsageError(requires("`frozen_epochs`", "pretrained weights", fix))
        if self.multi_scale and not self.kind.flexible:
            fix = f"{self.architecture} takes {self.side}x{self.side} only."
            raise UsageError(requires("`multi_scale`", "an `architecture` for any size", fix))
        if self.validation_data is not None and self.validation != type(self).validation:
            raise UsageError(mutually_exclusive("`validation`", "`validation_data`"))

    @property
    def kind(self) -> Architecture:
        """The defaults of the architecture."""
        return ARCHITECTURES[self.architecture]

    @property
    def side(self) -> int:
        """Of the square input in pixels."""
        return self.kind.size if self.size is None else self.size

    @property
    def frozen(self) -> int:
        """Epochs with a frozen backbone: none where the weights are random."""
        if self.from_scratch or self.kind.pretrained is None:
            return 0
        return self.kind.frozen_epochs if self.frozen_epochs is None else self.frozen_epochs

    @property
    def whole(self) -> int:
        """Epochs of the whole network."""
        return self.kind.epochs if self.epochs is None else self.epochs

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sides that training batches draw from: up to a quarter smaller or larger."""
        if self.multi_scale is False or not self.kind.flexible:
            return ()
        low, high = self.side * 3 // 4, self.side * 5 // 4
        return tuple(s for s in range(STEP, MOST_SIZE + 1, STEP) if low <= s <= high)
