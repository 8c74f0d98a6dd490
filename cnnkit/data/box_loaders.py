"""Batches of images with boxes: augmented in each epoch, in mosaics, at varying sizes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from cnnkit.boxes import letterbox
from cnnkit.data.augment import Augmenter
from cnnkit.data.decoded import DEFAULT_MAX_BAD, DecodedImages, MaxBad
from cnnkit.data.loaders import ImageLoader
from cnnkit.data.mosaic import BoxedImage, mosaic
from cnnkit.formats import AnnotatedImage, corners_of, mend
from cnnkit.formats.annotations import is_counted
from cnnkit.formats.turning import SAME_PROPORTIONS, as_shown
from cnnkit.images import DEFAULT_MAX_PIXELS, InputSpec, upright_size
from cnnkit.runtime.processes import WHOLE, Share

if TYPE_CHECKING:
    import tensorflow as tf

log = logging.getLogger(__name__)

TILES = 4


class BoxBatch(NamedTuple):
    """A batch for a detector.

    Attributes:
        images: uint8 (batch, size, size, 3), RGB.
        boxes: float32 (batch, boxes, 4): center x, center y, width, height as shares of the
            size; padded to the largest number in the batch, at least 1.
        classes: int32 (batch, boxes).
        valid: float32 (batch, boxes): 0 for padding.
    """

    images: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    valid: np.ndarray


class BoxImages:
    """Images decoded to squares, with their boxes in pixels of the square.

    A context manager, see `cnnkit.data.decoded.DecodedImages`, which `decoded` is.

    Attributes:
        decoded: The pixels.
        labels: The names of the classes.
        images: The corrected annotations of the readable images, in the same order.
        sizes: int64 (images, 2): height and width of each upright image.
        boxes: For each image float32 (n, 4): left, top, right, bottom in the square. Crowds
            and difficult boxes are omitted.
        classes: For each image int32 (n,).
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        classes: Sequence[str],
        spec: InputSpec,
        *,
        max_bad: MaxBad = DEFAULT_MAX_BAD,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        workers: int | None = None,
        progress: Callable[[], None] | None = None,
    ) -> None:
        """Decode the existing images, except those whose boxes cannot be located.

        Args:
            images: The annotations as they were read.
            classes: The labels in the network's order; boxes of other classes are omitted.
            spec: The network's input; its ``fit`` is ``pad``.
            max_bad: Maximum number or share of unreadable images.
            max_pixels: Largest number of pixels; larger images count as unreadable.
            workers: Threads that read.
            progress: Called after each image.

        Raises:
            UsageError: Too many cannot be read.
        """
        placed, _ = as_shown(image for image in images if image.path is not None)
        there = [image for image in placed if not image.refused]
        paths = [str(image.path) for image in there]
        self.decoded = DecodedImages(
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
        self.images, sizes, self.boxes, self.classes = [], [], [], []
        for index in self.decoded.indices:
            image = mend(there[index], numbers)[0]
            height, width = upright_size(str(image.path))
            usable = [b for b in image.boxes if is_counted(b)]
            corners = in_square(corners_of(tuple(usable)), image, (height, width), spec)
            self.images.append(image)
            sizes.append((height, width))
            self.boxes.append(corners.astype(np.float32))
            self.classes.append(np.array([numbers[b.label] for b in usable], np.int32))
        self.sizes = np.array(sizes, np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.decoded)

    def __enter__(self) -> BoxImages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the pixels."""
        self.decoded.close()


def in_square(
    corners: np.ndarray, image: AnnotatedImage, size: tuple[int, int], spec: InputSpec
) -> np.ndarray:
    """Return boxes of an image in pixels of the network's input, (n, 4).

    Args:
        corners: Left, top, right, bottom in pixels of the annotation.
        image: The annotation, with its width and height.
        size: (height, width) of the image itself.
        spec: The network's input; its ``fit`` is ``pad``.
    """
    height, width = size
    noted = (image.height or height, image.width or width)
    if noted != size:
        stretch = (width / noted[1]) / (height / noted[0])
        if abs(stretch - 1) > SAME_PROPORTIONS:
            log.warning(
                "%s is %d x %d, its boxes were made for %d x %d: cnnkit doctor says more.",
                image.path,
                width,
                height,
                noted[1],
                noted[0],
            )
        corners = corners * np.array([width / noted[1], height / noted[0]] * 2)
    return letterbox(height, width, spec.height, spec.width).to_input(corners)


class BoxLoader(ImageLoader[BoxBatch]):
    """Batches of images with boxes; see `cnnkit.data.loaders.ImageLoader`."""

    def __init__(
        self,
        images: BoxImages,
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
            images: The decoded images.
            batch_size: At least 1.
            training: Whether to shuffle and augment.
            augmenter: Applied to each image of a training epoch.
            mosaic_until: The epoch, from 0, from which there are no more mosaics.
            mosaic_share: Share of mosaics before that, 0 to 1.
            sizes: Sides from which each training batch draws one; that of the images if empty.
            seed: Random seed for the order and the augmentation, 0 or more.
            workers: Threads that augment, one per CPU by default.

        Raises:
            UsageError: There are no images, or the batch size is not at least 1.
        """
        super().__init__(
            images.decoded,
            batch_size,
            training=training,
            augmenter=augmenter,
            seed=seed,
            workers=workers,
        )
        self.boxed = images
        self._mosaics = (mosaic_until, mosaic_share)
        self._sizes = tuple(sizes) if training else ()

    def batch(self, epoch: int, step: int, share: Share = WHOLE) -> BoxBatch:
        """Return one batch; the last one in validation may have fewer images.

        Args:
            epoch: From 0.
            step: From 0 to `steps` - 1.
            share: The part that is returned, of a training batch.
        """
        start = step * self.batch_size
        places = self._epoch_order(epoch)[start : start + self.batch_size]
        random = np.random.default_rng((self._seed, epoch, step))
        size = int(random.choice(self._sizes)) if self._sizes else None
        draws = random.integers(2**32, size=len(places))

        def make(row: int) -> BoxedImage:
            drawn = self._one(int(places[row]), epoch, int(draws[row]))
            return drawn if size is None else resized(drawn, size)

        rows = range(len(places))[share.of(len(places))]
        return joined(list(self._pool.map(make, rows)))

    def padded(self, batch: BoxBatch) -> BoxBatch:
        """Return a batch with room for as many boxes as any batch of this loader can have.

        So all batches have one shape, on every process: JAX compiles once for each shape.
        """
        tiles = TILES if self.training and self._mosaics[1] > 0 else 1
        most = max(1, tiles * max(map(len, self.boxed.boxes)))
        room = most - batch.boxes.shape[1]
        images, *others = batch
        around = [((0, 0), (0, room), *[(0, 0)] * (part.ndim - 2)) for part in others]
        return BoxBatch(images, *map(np.pad, others, around))

    def _one(self, place: int, epoch: int, draw: int) -> BoxedImage:
        """Return an image of the batch, or a mosaic that begins with it."""
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

    def _plain(self, place: int) -> BoxedImage:
        boxed = self.boxed
        return BoxedImage(
            np.asarray(boxed.decoded.pixels[place]), boxed.boxes[place], boxed.classes[place]
        )

    def _drawn_one(self, place: int, draw: int) -> BoxedImage:
        """Return the augmented image with that index in the set."""
        plain = self._plain(place)
        number = int(self.boxed.decoded.indices[place])
        augmenter = self._augmenter
        if augmenter is None:
            return plain
        if not len(plain.boxes):
            return plain._replace(pixels=augmenter(plain.pixels, draw, number))
        pixels, boxes, kept = augmenter.with_boxes(plain.pixels, plain.boxes, draw, number)
        return BoxedImage(pixels, boxes, plain.classes[kept])

    def _types(self) -> tuple[str, ...]:
        return ("uint8", "float32", "int32", "float32")

    def _shapes(self) -> tuple[tuple[int | None, ...], ...]:
        size = self.batch_size if self.training else None
        return (size, None, None, 3), (size, None, 4), (size, None), (size, None)

    def _structured(self, parts: list[tf.Tensor]) -> tuple[Any, ...]:
        images, boxes, classes, valid = parts
        return images, {"boxes": boxes, "classes": classes, "valid": valid}


def resized(image: BoxedImage, size: int) -> BoxedImage:
    """Return a square image with boxes at another size."""
    factor = size / image.pixels.shape[0]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(image.pixels, (size, size), interpolation=method)
    return BoxedImage(pixels, image.boxes * np.float32(factor), image.classes)


def joined(images: Sequence[BoxedImage]) -> BoxBatch:
    """Return images of one size as a batch, with relative boxes."""
    most = max(1, *(len(one.boxes) for one in images))
    height, width = images[0].pixels.shape[:2]
    boxes = np.zeros((len(images), most, 4), np.float32)
    classes = np.zeros((len(images), most), np.int32)
    valid = np.zeros((len(images), most), np.float32)
    for row, one in enumerate(images):
        count = len(one.boxes)
        centers, sides = (
            (one.boxes[:, :2] + one.boxes[:, 2:]) / 2,
            one.boxes[:, 2:] - one.boxes[:, :2],
        )
        shares = np.concatenate([centers, sides], -1) / np.array([width, height] * 2)
        boxes[row, :count] = shares
        classes[row, :count] = one.classes
        valid[row, :count] = 1
    return BoxBatch(np.stack([one.pixels for one in images]), boxes, classes, valid)
