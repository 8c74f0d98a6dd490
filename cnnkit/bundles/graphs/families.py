"""Families of networks and how each prepares an image, as a table: what ``--like`` names.

Means and standard deviations are of pixels 0 to 255, in the order of the family's colors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnkit.errors import UsageError, broken_rule, did_you_mean

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes numbers; None: not said.

    Attributes:
        colors: ``RGB``, ``BGR``, or ``gray``.
        mean: Subtracted from a channel's pixels, 0 to 255, in the order of `colors`.
        std: Divides what is left.
        fit: As in `cnnkit.images.InputSpec`, and so are the next three.
        crop_fraction: Share of the resized short side that a crop keeps.
        interpolation: How an image is resized.
        pad_value: Of the bars beside a padded image.
    """

    colors: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    fit: str | None = None
    crop_fraction: float | None = None
    interpolation: str | None = None
    pad_value: int | None = None

    def over(self, other: Preprocessing) -> Preprocessing:
        """Return it with what it does not say taken from another.

        The other's mean and deviation stay those of the same colors if the order is another here.
        """
        own = {name: value for name, value in vars(self).items() if value is not None}
        theirs = dict(vars(other))
        if {self.colors, other.colors} == {"RGB", "BGR"}:
            theirs |= {name: value and value[::-1] for name, value in other.numbers().items()}
        return Preprocessing(**(theirs | own))

    def numbers(self) -> dict[str, tuple[float, ...] | None]:
        """Return the mean and the deviation by their names."""
        return {"mean": self.mean, "std": self.std}

    def to_dict(self) -> dict[str, Any]:
        """Return what it says."""
        return {name: value for name, value in vars(self).items() if value is not None}


FAMILIES: Mapping[str, Preprocessing] = {
    # torchvision's and most of timm's
    "imagenet": Preprocessing("RGB", IMAGENET_MEAN, IMAGENET_STD, "crop", 0.875, "bilinear"),
    # timm's vision transformers, MobileNets and Inceptions: -1 to 1
    "timm-inception": Preprocessing("RGB", (127.5,), (127.5,), "crop", 0.9, "bicubic"),
    "clip": Preprocessing(
        "RGB",
        (122.7709, 116.7460, 104.0937),
        (68.5005, 66.6322, 70.3232),
        "crop",
        1.0,
        "bicubic",
    ),
    # keras.applications in the modes `tf`, `caffe`, and none
    "keras-tf": Preprocessing("RGB", (127.5,), (127.5,), "crop", 0.875, "bilinear"),
    "caffe": Preprocessing("BGR", (103.939, 116.779, 123.68), (1.0,), "crop", 0.875, "bilinear"),
    "0-255": Preprocessing("RGB", (0.0,), (1.0,), "stretch", 1.0, "bilinear"),
    "0-1": Preprocessing("RGB", (0.0,), (255.0,), "stretch", 1.0, "bilinear"),
    # Ultralytics' classifiers and detectors
    "yolo-classify": Preprocessing("RGB", (0.0,), (255.0,), "crop", 1.0, "bilinear"),
    "yolo": Preprocessing("RGB", (0.0,), (255.0,), "pad", 1.0, "plain-bilinear", 114),
    "yolox": Preprocessing("BGR", (0.0,), (1.0,), "pad", 1.0, "plain-bilinear", 114),
}
ALIASES = {"torchvision": "imagenet", "timm": "imagenet", "inception": "timm-inception"}


def family(name: str, others: Sequence[str] = ()) -> Preprocessing:
    """Return a family's preprocessing.

    Args:
        name: Of the family.
        others: What else may be named, for the message.

    Raises:
        UsageError: There is no such family.
    """
    known = name.lower()
    found = FAMILIES.get(ALIASES.get(known, known))
    if found is None:
        names = [*FAMILIES, *ALIASES, *others]
        rule = f"be one of {', '.join(names)}"
        raise UsageError(broken_rule("`like`", rule, repr(name), did_you_mean(name, names)))
    return found
