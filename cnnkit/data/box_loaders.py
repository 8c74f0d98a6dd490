"""Gives batches of pictures with boxes: drawn anew each epoch, in mosaics, at changing sizes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from cnnkit.boxes import letterbox
from cnnkit.data.augment import Augmenter
from cnnkit.data.decoded import DEFAULT_MAX_BAD, DecodedPictures, MaxBad
from cnnkit.data.loaders import Loader
from cnnkit.data.mosaic import BoxedPicture, mosaic
from cnnkit.formats import AnnotatedPicture, corners_of, mend
from cnnkit.formats.annotations import is_counted
from cnnkit.formats.turning import SAME_PROPORTIONS, as_shown
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec, upright_size

if TYPE_CHECKING:
    import tensorflow as tf

log = logging.getLogger(__name__)

TILES = 4


class BoxBatch(NamedTuple):
    """What a detector is given at a time.

    Attributes:
        pictures: uint8 (batch, size, size, 3), RGB.
        boxes: float32 (batch, boxes, 4): centre x, centre y, width, height as shares of the
            size; filled up to the largest number of the batch, at least 1.
        classes: int32 (batch, boxes).
        valid: float32 (batch, boxes): 0 for what only fills up.
    """

    pictures: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    valid: np.ndarray


class BoxPictures:
    """Pictures decoded into squares, with their boxes in pixels of the square.

    A context manager, see `cnnkit.data.decoded.DecodedPictures`, which `decoded` is.

    Attributes:
        decoded: The pixels.
        labels: The names of the classes.
        pictures: The annotations of those that could be read, mended, in the same order.
        sizes: int64 (pictures, 2): height and width of each as a viewer shows it.
        boxes: For each picture float32 (n, 4): left, top, right, bottom in the square. Crowds
            and difficult boxes are left out.
        classes: For each picture int32 (n,).
    """

    def __init__(
        self,
        pictures: Sequence[AnnotatedPicture],
        classes: Sequence[str],
        spec: InputSpec,
        *,
        max_bad: MaxBad = DEFAULT_MAX_BAD,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        workers: int | None = None,
        progress: Callable[[], None] | None = None,
    ) -> None:
        """Decode the pictures that are there, but for those whose boxes nobody can place.

        Args:
            pictures: As they were read.
            classes: The labels in the network's order; boxes of others are left out.
            spec: What the network takes; its ``fit`` is ``pad``.
            max_bad: How many may be unreadable.
            max_pixels: A larger picture counts as unreadable.
            workers: Threads that read.
            progress: Called after each picture.

        Raises:
            UsageError: Too many cannot be read.
        """
        placed, _ = as_shown(picture for picture in pictures if picture.path is not None)
        there = [picture for picture in placed if not picture.refused]
        paths = [str(picture.path) for picture in there]
        self.decoded = DecodedPictures(
            paths,
            np.zeros(len(paths), np.int32),
            spec,
            max_bad=max_bad,
            max_pixels=max_pixels,
            workers=workers,
            progress=progress,
        )
        self.spec, self.labels = spec, tuple(classes)
        numbers = {name: number for number, name in enumerate(classes)}
        self.pictures, sizes, self.boxes, self.classes = [], [], [], []
        for index in self.decoded.indices:
            picture = mend(there[index], numbers)[0]
            height, width = upright_size(str(picture.path))
            usable = [b for b in picture.boxes if is_counted(b)]
            corners = in_square(corners_of(tuple(usable)), picture, (height, width), spec)
            self.pictures.append(picture)
            sizes.append((height, width))
            self.boxes.append(corners.astype(np.float32))
            self.classes.append(np.array([numbers[b.label] for b in usable], np.int32))
        self.sizes = np.array(sizes, np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.decoded)

    def __enter__(self) -> BoxPictures:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the pixels."""
        self.decoded.close()


def in_square(
    corners: np.ndarray, picture: AnnotatedPicture, size: tuple[int, int], spec: InputSpec
) -> np.ndarray:
    """Return boxes of a picture in pixels of the network's input, (n, 4).

    Args:
        corners: Left, top, right, bottom in pixels of the annotation.
        picture: Whose width and height are those of the annotation.
        size: (height, width) of the picture itself.
        spec: What the network takes; its ``fit`` is ``pad``.
    """
    height, width = size
    noted = (picture.height or height, picture.width or width)
    if noted != size:
        stretch = (width / noted[1]) / (height / noted[0])
        if abs(stretch - 1) > SAME_PROPORTIONS:
            log.warning(
                "%s is %d x %d, its boxes were made for %d x %d: cnnkit doctor says more.",
                picture.path,
                width,
                height,
                noted[1],
                noted[0],
            )
        corners = corners * np.array([width / noted[1], height / noted[0]] * 2)
    return letterbox(height, width, spec.height, spec.width).to_input(corners)


class BoxLoader(Loader):
    """Batches of pictures with boxes; see `cnnkit.data.loaders.Loader`."""

    def __init__(
        self,
        pictures: BoxPictures,
        batch_size: int,
        *,
        training: bool,
        augmenter: Augmenter | None = None,
        mosaic_until: int = 0,
        mosaic_share: float = 0.5,
        sizes: Sequence[int] = (),
        seed: int = 0,
        workers: int | None = None,
    ) -> None:
        """Plan the batches.

        Args:
            pictures: The decoded pictures.
            batch_size: At least 1.
            training: Whether to shuffle and augment.
            augmenter: What is done to each picture of a training epoch.
            mosaic_until: The epoch, from 0, from which on there are no mosaics any more.
            mosaic_share: How many of the pictures before that are mosaics, 0 to 1.
            sizes: Sides of which each training batch draws one; none: that of the pictures.
            seed: Of the order and of what is drawn, 0 or more.
            workers: Threads that augment, by default one a processor.

        Raises:
            UsageError: There are no pictures, or the batch size is not at least 1.
        """
        super().__init__(
            pictures.decoded,
            batch_size,
            training=training,
            augmenter=augmenter,
            seed=seed,
            workers=workers,
        )
        self.boxed = pictures
        self._mosaics = (mosaic_until, mosaic_share)
        self._sizes = tuple(sizes) if training else ()

    def batch(self, epoch: int, step: int) -> BoxBatch:
        """Return one batch; the last one of a validation may have fewer pictures.

        Args:
            epoch: From 0.
            step: From 0 to `steps` - 1.
        """
        start = step * self.batch_size
        places = self._epoch_order(epoch)[start : start + self.batch_size]
        random = np.random.default_rng((self._seed, epoch, step))
        size = int(random.choice(self._sizes)) if self._sizes else None
        draws = random.integers(2**32, size=len(places))

        def make(row: int) -> BoxedPicture:
            drawn = self._one(int(places[row]), epoch, int(draws[row]))
            return drawn if size is None else resized(drawn, size)

        return joined(list(self._pool.map(make, range(len(places)))))

    def _one(self, place: int, epoch: int, draw: int) -> BoxedPicture:
        """Return a picture of the batch, perhaps a mosaic that it begins."""
        if self._augmenter is None:
            return self._plain(place)
        random = np.random.default_rng(draw)
        until, share = self._mosaics
        if epoch >= until or random.random() >= share:
            return self._drawn_one(place, epoch * (TILES + 1))
        others = random.integers(len(self.boxed), size=TILES - 1)
        places = [place, *map(int, others)]
        tiles = [self._drawn_one(one, epoch * (TILES + 1) + 1 + n) for n, one in enumerate(places)]
        order = random.permutation(TILES)
        return mosaic([tiles[n] for n in order], random)

    def _plain(self, place: int) -> BoxedPicture:
        boxed = self.boxed
        return BoxedPicture(
            np.asarray(boxed.decoded.pixels[place]), boxed.boxes[place], boxed.classes[place]
        )

    def _drawn_one(self, place: int, draw: int) -> BoxedPicture:
        """Return the draw of a picture with that number, in the set's numbering."""
        plain = self._plain(place)
        number = int(self.boxed.decoded.indices[place])
        augmenter = self._augmenter
        if augmenter is None:
            return plain
        if not len(plain.boxes):
            return plain._replace(pixels=augmenter(plain.pixels, draw, number))
        pixels, boxes, kept = augmenter.with_boxes(plain.pixels, plain.boxes, draw, number)
        return BoxedPicture(pixels, boxes, plain.classes[kept])

    def _types(self) -> tuple[str, ...]:
        return ("uint8", "float32", "int32", "float32")

    def _shapes(self) -> tuple[tuple[int | None, ...], ...]:
        size = self.batch_size if self.training else None
        return (size, None, None, 3), (size, None, 4), (size, None), (size, None)

    def _structured(self, parts: list[tf.Tensor]) -> tuple[Any, ...]:
        pictures, boxes, classes, valid = parts
        return pictures, {"boxes": boxes, "classes": classes, "valid": valid}


def resized(picture: BoxedPicture, size: int) -> BoxedPicture:
    """Return a square picture with boxes at another size."""
    factor = size / picture.pixels.shape[0]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(picture.pixels, (size, size), interpolation=method)
    return BoxedPicture(pixels, picture.boxes * np.float32(factor), picture.classes)


def joined(pictures: Sequence[BoxedPicture]) -> BoxBatch:
    """Return pictures of one size as a batch, their boxes as shares."""
    most = max(1, *(len(one.boxes) for one in pictures))
    height, width = pictures[0].pixels.shape[:2]
    boxes = np.zeros((len(pictures), most, 4), np.float32)
    classes = np.zeros((len(pictures), most), np.int32)
    valid = np.zeros((len(pictures), most), np.float32)
    for row, one in enumerate(pictures):
        count = len(one.boxes)
        centres, sides = (
            (one.boxes[:, :2] + one.boxes[:, 2:]) / 2,
            one.boxes[:, 2:] - one.boxes[:, :2],
        )
        shares = np.concatenate([centres, sides], -1) / np.array([width, height] * 2)
        boxes[row, :count] = shares
        classes[row, :count] = one.classes
        valid[row, :count] = 1
    return BoxBatch(np.stack([one.pixels for one in pictures]), boxes, classes, valid)
