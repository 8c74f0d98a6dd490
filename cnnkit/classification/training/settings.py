"""Validated settings of ``cnnkit transfer-learn``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cnnkit import architectures
from cnnkit.classification.training.features import FeatureEngine
from cnnkit.data.decoded import MaxBad
from cnnkit.data.mixing import MIXERS
from cnnkit.diagnosis.duplicates import COPIES
from cnnkit.errors import UsageError, broken_rule, mutually_exclusive, requires
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.runtime import RuntimeOptions

MAX_VIEWS = 64
AUTO = "auto"  # of backbones, see `cnnkit.classification.training.choosing`


@dataclass(frozen=True)
class ClassifierSettings:
    """What the user asks for; the names are those of the command's options.

    Attributes:
        data: A folder of class folders, split folders of such, or a CSV.
        output: The bundle's folder, which must not exist unless `overwrite`.
        root: The folder that the files of a CSV are relative to.
        backbone: An embedded classifier, ``keras:NAME`` or a bundle folder; ``auto``: the
            embedded one that does best on validation.
        weights: A weights file for ``keras:NAME``.
        fit: ``crop``, ``pad`` or ``stretch``; None: the backbone's own.
        split_file: A ``split.csv`` of an earlier run.
        validation: Share of each class for validation, if the data has no splits.
        test: Share of each class for testing, if the data has no splits.
        copies: ``together``: near copies stay in one split; ``apart``: only files with the same
            content do; None: together, but for classes that are mostly alike.
        views: How many augmented views of each training image to learn from as well.
        augment: The recipe of those views, and of what trains the whole network.
        mix: How the images of a batch are mixed: ``none``, ``mixup`` or ``cutmix``.
        class_weights: Whether rare classes may get a higher weight.
        unknown_precision: The share of right answers above the threshold for ``unknown``;
            None: no threshold.
        max_bad: How many images may be unreadable.
        fine_tune: Maximum number of epochs of fine-tuning the whole network; 0 for none.
        from_scratch: An architecture to train without pretrained weights, or None.
        epochs: Number of epochs when training from scratch.
        size: The side of the square input of `from_scratch`; None: the architecture's own.
        stages: How many stages are unfrozen, counted from the output; None: all.
        learning_rate: The highest; None: the plan's own.
        lr_find: Search for the learning rate first.
        train_bn: Whether batch normalizations learn.
        resume: Continue an unfinished run.
        deterministic: Only operations that give the same result every time on a GPU.
        tensorboard: A folder for logs, or None.
        seed: Random seed for the split, the augmented views and the training.
        overwrite: Overwrite an existing bundle.
        max_pixels: Largest number of pixels; larger images count as unreadable.
        batch_size: Images per batch.
        workers: Threads that read and predict.
        runtime: Where and how the network runs.
        engine: Computes the features of the backbone; None: this process does.
    """

    data: str
    output: Path
    root: str | None = None
    backbone: str = AUTO
    weights: str | None = None
    fit: str | None = None
    split_file: str | None = None
    validation: float = 0.2
    test: float = 0.0
    copies: str | None = None
    views: int = 0
    augment: str = "light"
    mix: str = "none"
    fine_tune: int = 0
    from_scratch: str | None = None
    epochs: int = 30
    size: int | None = None
    stages: int | None = None
    learning_rate: float | None = None
    lr_find: bool = False
    train_bn: bool = False
    resume: bool = False
    deterministic: bool = False
    tensorboard: str | None = None
    class_weights: bool = True
    unknown_precision: float | None = 0.95
    max_bad: MaxBad = field(default_factory=MaxBad)
    seed: int = 0
    overwrite: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    batch_size: int | None = None
    workers: int | None = None
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)
    engine: FeatureEngine | None = None

    def __post_init__(self) -> None:
        if self.from_scratch == "":  # of a variable of a shell that is not set
            rule = "name an architecture"
            raise UsageError(broken_rule("`from_scratch`", rule, "''", "Leave it out for none."))
        if self.from_scratch:
            known = architectures.builder_name(self.from_scratch)
            object.__setattr__(self, "from_scratch", known or self.from_scratch)
        if not 0 <= self.views <= MAX_VIEWS:
            raise UsageError(broken_rule("`views`", f"be from 0 to {MAX_VIEWS}", self.views))
        if self.copies not in (None, *COPIES):
            raise UsageError(broken_rule("`copies`", f"be one of {', '.join(COPIES)}", self.copies))
        if self.mix not in ("none", *MIXERS):
            rule = f"be one of none, {', '.join(MIXERS)}"
            raise UsageError(broken_rule("`mix`", rule, self.mix))
        self._check_training()
        if self.seed < 0:
            raise UsageError(broken_rule("`seed`", "be 0 or more", self.seed))
        if self.unknown_precision is not None and not 0 < self.unknown_precision < 1:
            rule = "be over 0 and under 1, or none"
            raise UsageError(broken_rule("`unknown_precision`", rule, self.unknown_precision))
        if self.split_file is not None and not Path(self.split_file).is_file():
            raise UsageError(broken_rule("`split_file`", "name a file", repr(self.split_file)))
        for name in ("validation", "test", "copies"):
            if self.split_file is not None and getattr(self, name) != getattr(type(self), name):
                fix = "The file says in which split each image is."
                raise UsageError(mutually_exclusive(f"`{name}`", "`split_file`", fix))

    @property
    def trains_network(self) -> bool:
        """Whether the whole network is trained, not a head alone."""
        return bool(self.fine_tune or self.from_scratch)

    def _check_training(self) -> None:
        if self.fine_tune < 0:
            raise UsageError(broken_rule("`fine_tune`", "be at least 0", self.fine_tune))
        for name, least in (("epochs", 1), ("stages", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(broken_rule(f"`{name}`", f"be at least {least}", value))
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UsageError(broken_rule("`learning_rate`", "be over 0", self.learning_rate))
        if self.lr_find and self.resume:
            fix = "Give `learning_rate` with the rate that the search suggested."
            raise UsageError(mutually_exclusive("`lr_find`", "`resume`", fix))
        if self.from_scratch:
            self._check_without_backbone()
        else:
            self._check_with_backbone()
        if not self.trains_network:
            self._check_head_alone()

    def _check_without_backbone(self) -> None:
        """Refuse what only a backbone has a use for."""
        for other in ("fine_tune", "views", "weights"):
            if getattr(self, other):
                raise UsageError(mutually_exclusive("`from_scratch`", f"`{other}`"))
        if self.backbone != AUTO:
            raise UsageError(mutually_exclusive("`from_scratch`", "`backbone`"))
        if self.engine is not None:
            fix = "Without a backbone there are no features to compute; see `coordinator`."
            raise UsageError(mutually_exclusive("`from_scratch`", "`engine`", fix))
        for name in ("runtime", "precision"):
            if getattr(self.runtime, name) != "auto":
                fix = "Without a backbone there are no features to compute."
                raise UsageError(mutually_exclusive("`from_scratch`", f"`{name}`", fix))
        for name in ("stages", "train_bn"):
            if getattr(self, name):
                fix = "Without a backbone, the whole network is trained."
                raise UsageError(requires(f"`{name}`", "`fine_tune`", fix))

    def _check_with_backbone(self) -> None:
        """Refuse what a training from scratch alone has a use for."""
        if self.size is not None:
            raise UsageError(requires("`size`", "`from_scratch`"))
        if self.epochs != type(self).epochs:
            fix = "`fine_tune` is a number of epochs itself; training only the head has none."
            raise UsageError(requires("`epochs`", "`from_scratch`", fix))

    def _check_head_alone(self) -> None:
        """Refuse what a head on a frozen backbone has no use for."""
        alone = {
            "`resume`": self.resume,
            "`lr_find`": self.lr_find,
            "`learning_rate`": self.learning_rate is not None,
            "`mix`": self.mix != "none",
            "`stages`": self.stages is not None,
            "`train_bn`": self.train_bn,
            "`deterministic`": self.deterministic,
            "`tensorboard`": self.tensorboard is not None,
        }
        for option, given in alone.items():
            if given:
                fix = "Training only the head takes seconds and needs none of it."
                raise UsageError(requires(option, "`fine_tune` or `from_scratch`", fix))
        if self.augment not in ("none", type(self).augment) and not self.views:
            fix = "Nothing else would use the recipe."
            users = "`views`, `fine_tune` or `from_scratch`"
            raise UsageError(requires("`augment`", users, fix))
