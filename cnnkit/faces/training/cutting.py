"""Cuts the largest face out of each photo, aligned, for training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np

from cnnkit.bundles import open_model
from cnnkit.errors import ImageError
from cnnkit.faces.alignment import CHIP, chip
from cnnkit.faces.detection import FaceDetector
from cnnkit.faces.embedding import in_float32
from cnnkit.faces.training.settings import EmbedderSettings
from cnnkit.faces.turning import find_in_any_orientation
from cnnkit.images import decode, read_bytes
from cnnkit.results import Failure
from cnnkit.runtime import available_cpus
from cnnkit.runtime.process import one_opencv_thread

TASKS_AHEAD = 4


def cut_largest_faces(
    paths: Sequence[str], settings: EmbedderSettings, advance: Callable[[], None]
) -> list[np.ndarray | Failure]:
    """Return the largest face of each photo, uint8 (side, side, 3), or why there is none.

    Args:
        paths: The photos.
        settings: With the side and the limit of pixels.
        advance: Called after each.
    """
    bundle = open_model(settings.detector, parameter="detector")
    detector = FaceDetector(bundle, None, in_float32(None))

    def cut(path: str) -> np.ndarray | Failure:
        """Return the largest face of an image, aligned, or why there is none."""
        try:
            image = decode(read_bytes(path), max_pixels=settings.max_pixels)
        except ImageError as error:
            return Failure(error.kind, error.message)
        [faces] = find_in_any_orientation(detector, [image])
        if not faces:
            return Failure("no-face", "no face was found, however the photo is turned")
        aligned = chip(image, faces[0])
        if settings.side != CHIP:
            size = (settings.side, settings.side)
            aligned = cv2.resize(aligned, size, interpolation=cv2.INTER_AREA)
        return aligned

    with one_opencv_thread():
        results = []
        for result in _in_order(cut, paths, settings.workers or available_cpus()):
            results.append(result)
            advance()
        return results


def _in_order(
    function: Callable[[str], np.ndarray | Failure], paths: Sequence[str], workers: int
) -> Iterator[np.ndarray | Failure]:
    """Give the results in order, with few photos in memory at a time."""
    pending: deque[Future[np.ndarray | Failure]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="cnnkit-cut") as pool:
        for path in paths:
            pending.append(pool.submit(function, path))
            if len(pending) > TASKS_AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
