"""What augmentation is to do: the recipes of `RECIPES`, or a user's file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.data.albumentations_library import import_albumentations
from cnnkit.errors import UsageError, broken_rule, did_you_mean

RECIPES = ("none", "light", "strong", "boxes")
FILE_SUFFIXES = (".json", ".yaml", ".yml")

# Makes new transforms for images of (height, width); the flag says that boxes go along.
Build = Callable[[int, int, bool], Sequence[Any]]


@dataclass(frozen=True)
class Recipe:
    """A recipe of augmentation.

    Attributes:
        name: One of `RECIPES`, or the name of the user's file.
        build: Makes its transforms. Each thread needs its own: a transform has a state.
    """

    name: str
    build: Build

    def to_dict(self, height: int, width: int) -> dict[str, Any]:
        """Return the recipe for reports and cards, in albumentations' serialized form."""
        transforms = [one.to_dict()["transform"] for one in self.build(height, width, False)]
        return {"name": self.name, "transforms": transforms}


def read_recipe(name: str) -> Recipe:
    """Return a recipe by its name, or from a file.

    Args:
        name: One of `RECIPES`, or a .json or .yaml file in albumentations' serialized form.

    Raises:
        UsageError: There is no such recipe, or the file is not one that may be used.
    """
    if name in BUILDERS:
        return Recipe(name, BUILDERS[name])
    if Path(name).suffix.lower() in FILE_SUFFIXES:
        from cnnkit.data.recipe_files import read_recipe_file

        return Recipe(Path(name).name, read_recipe_file(Path(name)))
    fix = did_you_mean(name, RECIPES)
    rule = "be none, light, strong, boxes, or a .json or .yaml file"
    raise UsageError(broken_rule("the recipe", rule, repr(name), fix))


def _none(height: int, width: int, boxes: bool) -> list[Any]:
    return []


def _light(height: int, width: int, boxes: bool) -> list[Any]:
    """Mirroring, rotation by up to 10 degrees, crop of 3/4 and more, light by up to 20 %."""
    library = import_albumentations()
    return [
        library.HorizontalFlip(p=0.5),
        library.Affine(rotate=(-10, 10), **_border(boxes), p=0.75),
        _crop(height, width, least=0.75, stretch=1.15),
        library.RandomBrightnessContrast(0.2, 0.2, p=0.75),
    ]


def _strong(height: int, width: int, boxes: bool) -> list[Any]:
    """Of everything more: shear, colors, AlexNet's color shift, gray, erasing."""
    from cnnkit.data.erasing import Erasing
    from cnnkit.data.pca_transform import PCAColorShift

    library = import_albumentations()
    return [
        library.HorizontalFlip(p=0.5),
        library.Affine(
            rotate=(-20, 20), shear={"x": (-12, 12), "y": (-8, 8)}, **_border(boxes), p=0.8
        ),
        _crop(height, width, least=0.4, stretch=4 / 3),
        library.ColorJitter(
            brightness=(0.7, 1.3),
            contrast=(0.7, 1.3),
            saturation=(0.6, 1.4),
            hue=(-0.04, 0.04),
            p=0.8,
        ),
        PCAColorShift(p=0.5),
        library.RGBShift(20, 20, 20, p=0.25),
        library.ToGray(p=0.05),
        Erasing(scale=(0.02, 0.2), ratio=(0.3, 3.3), fill="random", p=0.25),
    ]


def _boxes(height: int, width: int, boxes: bool) -> list[Any]:
    """For detectors: mirroring, scale from 2/3 to 3/2, moving by up to 15 %, colors; upright.

    Nothing is rotated: the box of a turned box would be larger than the thing in it.
    """
    library = import_albumentations()
    moved = {"x": (-0.15, 0.15), "y": (-0.15, 0.15)}
    return [
        library.HorizontalFlip(p=0.5),
        library.Affine(scale=(0.67, 1.5), translate_percent=moved, **_border(boxes), p=0.8),
        library.ColorJitter(
            brightness=(0.6, 1.4),
            contrast=(0.7, 1.3),
            saturation=(0.5, 1.5),
            hue=(-0.03, 0.03),
            p=0.8,
        ),
        library.ToGray(p=0.03),
    ]


def _crop(height: int, width: int, least: float, stretch: float) -> Any:
    """Return a random crop, resized back to the image's size.

    Args:
        height: Height of the image.
        width: Width of the image.
        least: The least share of the area that is kept.
        stretch: Largest change of the aspect ratio.
    """
    own = width / height
    return import_albumentations().RandomResizedCrop(
        (height, width), scale=(least, 1.0), ratio=(own / stretch, own * stretch)
    )


def _border(boxes: bool) -> dict[str, Any]:
    """Return what fills the corners: a mirrored border, or gray where boxes go along.

    A mirrored border would show objects without a box.
    """
    import cv2

    if boxes:
        return {"border_mode": cv2.BORDER_CONSTANT, "fill": 127}
    return {"border_mode": cv2.BORDER_REFLECT_101}


BUILDERS: dict[str, Build] = {"none": _none, "light": _light, "strong": _strong, "boxes": _boxes}
