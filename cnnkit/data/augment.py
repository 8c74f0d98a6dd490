"""Applies a recipe to images; the result depends only on the seed, the epoch and the image."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import numpy as np

from cnnkit.data.albumentations_library import import_albumentations
from cnnkit.data.recipes import Recipe
from cnnkit.errors import UsageError, broken_rule

# A box is dropped if a crop leaves less than this share of it.
MIN_VISIBLE_SHARE = 0.25


class Augmenter:
    """Augments images; thread-safe.

    Each thread has its own transforms, and each image its own seed, derived from the run's seed,
    the epoch and the image's index, so that neither the number of threads nor the order of the
    images changes a pixel.
    """

    def __init__(self, recipe: Recipe, seed: int = 0) -> None:
        """Take a recipe.

        Args:
            recipe: The augmentation recipe.
            seed: Random seed for the run, 0 or more.
        """
        if seed < 0:
            raise UsageError(broken_rule("the seed", "be 0 or more", seed))
        self.recipe = recipe
        self.seed = seed
        self._own = threading.local()

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """Return an augmented image of the same size.

        Args:
            image: uint8 RGB (height, width, 3); it is not modified.
            epoch: From 0.
            index: Index of the image, from 0.

        Returns:
            uint8 RGB (height, width, 3).

        Raises:
            UsageError: The user's recipe cannot be applied to an image of this size.
        """
        return self._apply(epoch, index, False, image=image)["image"]

    def with_boxes(
        self, image: np.ndarray, boxes: np.ndarray, epoch: int, index: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return an augmented image and its boxes.

        Args:
            image: uint8 RGB (height, width, 3); it is not modified.
            boxes: float (boxes, 4): left, top, right, bottom in pixels.
            epoch: From 0.
            index: Index of the image, from 0.

        Returns:
            The image; the boxes that are still visible, float32 (kept, 4), clipped to the
            image; and their indices, int64 (kept,).

        Raises:
            UsageError: The user's recipe cannot be applied to an image of this size.
        """
        numbers = np.arange(len(boxes))
        drawn = self._apply(epoch, index, True, image=image, bboxes=boxes, numbers=numbers)
        kept = np.asarray(drawn["numbers"], np.int64)
        placed = np.asarray(drawn["bboxes"], np.float32).reshape(-1, 4)
        return drawn["image"], placed, kept

    def _apply(
        self, epoch: int, index: int, boxes: bool, *, image: np.ndarray, **others: np.ndarray
    ) -> dict[str, Any]:
        try:
            compose = self._compose(image.shape[0], image.shape[1], boxes)
            compose.set_random_seed(self._seed_of(epoch, index))
            drawn = compose(image=image, **others)
        except _misfits() as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(self._broken("fit every image", reason)) from error
        made = drawn["image"]
        if made.size == image.size and 1 in image.shape[:2]:
            # Gray converted back to color is transposed if one side is a single pixel.
            made = drawn["image"] = made.reshape(image.shape)
        if made.dtype != np.uint8 or made.shape != image.shape:
            received = f"{made.dtype} {made.shape}"
            raise UsageError(self._broken(f"give uint8 {image.shape}", received))
        if np.may_share_memory(made, image):
            drawn["image"] = made.copy()
        return drawn

    def _broken(self, rule: str, received: str) -> str:
        return broken_rule(f"the recipe {self.recipe.name}", rule, received)

    def _seed_of(self, epoch: int, index: int) -> int:
        return int(np.random.SeedSequence((self.seed, epoch, index)).generate_state(1)[0])

    def _compose(self, height: int, width: int, boxes: bool) -> Any:
        """Return this thread's Compose for images of one size."""
        key = (height, width, boxes)
        if getattr(self._own, "key", None) != key:
            library = import_albumentations()
            transforms = list(self.recipe.build(height, width, boxes))
            parameters = None
            if boxes:
                parameters = library.BboxParams(
                    format="pascal_voc",
                    label_fields=["numbers"],
                    min_visibility=MIN_VISIBLE_SHARE,
                    clip=True,
                    filter_invalid_bboxes=True,
                )
                if not any("bboxes" in one.available_keys for one in transforms):
                    # Only pixels change; Compose warns without a transform that supports boxes.
                    transforms.append(library.NoOp())
            self._own.compose = library.Compose(transforms, bbox_params=parameters)
            self._own.key = key
        return self._own.compose


@cache
def _misfits() -> tuple[type[Exception], ...]:
    """Return the errors that transforms raise for an unsuitable image."""
    import cv2
    from albumentations.augmentations.crops.transforms import CropSizeError

    return (
        CropSizeError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        RuntimeError,
        cv2.error,
    )
