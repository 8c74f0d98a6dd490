"""Features of images: through the fast runtime, once for each content, kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnkit import images, pipeline
from cnnkit.classification.training.backbone import Backbone
from cnnkit.classification.training.feature_cache import FeatureCache, feature_key
from cnnkit.data.augment import Augmenter
from cnnkit.errors import ImageError
from cnnkit.images import DEFAULT_MAX_PIXELS, Found, prepare, read_bytes
from cnnkit.results import Failure
from cnnkit.runtime import ModelSource, Predictor, RuntimeOptions, available_cpus, predictor
from cnnkit.writers.row_files import batched

LIBRARIES = ("keras", "numpy", "opencv-python-headless", "openvino", "Pillow", "tensorflow")
KEPT_AT_ONCE = 256


class HashedImage(NamedTuple):
    """One image whose features are wanted.

    Attributes:
        path: As the file system wants it.
        content: The SHA-256 of the file, 32 bytes: other content under this path is refused.
    """

    path: str
    content: bytes


@dataclass(frozen=True)
class Features:
    """The features of a list of images.

    Attributes:
        values: float32 (images, features); zeros where there was a failure.
        failures: Index of the image to why it has none.
        cached: How many came from the disk.
    """

    values: np.ndarray
    failures: dict[int, Failure]
    cached: int


class FeatureExtractor:
    """Gives the features of images: from the disk, or by one pass through the network.

    Attributes:
        backbone: Whose features.
    """

    def __init__(
        self,
        backbone: Backbone,
        options: RuntimeOptions | None = None,
        *,
        batch_size: int | None = None,
        workers: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Plan the extraction.

        Args:
            backbone: Whose features.
            options: Where and how the network runs.
            batch_size: Images per call; by default what suits the runtime.
            workers: Threads that read and predict; by default one for each processor.
            max_pixels: A larger image is a failure.
        """
        self.backbone = backbone
        self._options = options or RuntimeOptions()
        self._batch_size = batch_size
        self._workers = workers or available_cpus()
        self._max_pixels = max_pixels
        self._source: ModelSource = backbone.bundle.source(features=True)
        self._predictor: Predictor | None = None

    @property
    def predictor(self) -> Predictor:
        """The compiled network."""
        if self._predictor is None:
            self._predictor = predictor(self._source, self._options, batch_size=self._batch_size)
        return self._predictor

    def extract(
        self,
        images: Sequence[HashedImage],
        *,
        augmenter: Augmenter | None = None,
        view: int = 0,
        progress: Callable[[], None] | None = None,
    ) -> Features:
        """Return the features of images, from the disk if known.

        Args:
            images: Which ones.
            augmenter: What is done to each image first, or None.
            view: The number of the augmented view: its draw depends on the augmenter's seed,
                this number and the image's content.
            progress: Called after each image.
        """
        cache_file = FeatureCache(self._key(augmenter, view))
        try:
            known = cache_file.read([image.content for image in images])
            cached = sum(image.content in known for image in images)
            if progress is not None:
                for _ in range(cached):
                    progress()
            missing = {p.content: p.path for p in images if p.content not in known}
            failures: dict[bytes, Failure] = {}
            stream = self._computed(missing, augmenter, view)
            for batch in batched(stream, KEPT_AT_ONCE):
                good = [(content, one) for content, one in batch if not isinstance(one, Failure)]
                failures |= {content: one for content, one in batch if isinstance(one, Failure)}
                known |= dict(good)
                cache_file.write(good)
                if progress is not None:
                    for _ in range(len(batch)):
                        progress()
        finally:
            cache_file.close()
        return _collected(images, known, failures, cached)

    def _computed(
        self, missing: dict[bytes, str], augmenter: Augmenter | None, view: int
    ) -> Iterator[tuple[bytes, np.ndarray | Failure]]:
        """Yield the features of images that are not on disk."""
        if not missing:
            return
        contents = {path: content for content, path in missing.items()}

        def read(path: str) -> np.ndarray:
            """Read one image, unchanged since it was hashed, perhaps as an augmented view."""
            data = read_bytes(path)
            if hashlib.sha256(data).digest() != contents[path]:
                raise ImageError("failed", "The file changed while it was in use.")
            pixels = prepare(data, self.backbone.spec, max_pixels=self._max_pixels)
            if augmenter is None:
                return pixels
            return augmenter(pixels, view, int.from_bytes(contents[path][:4], "little"))

        found = (Found(path) for path in missing.values())
        for outcome in pipeline.stream(found, read, self.predictor, self._workers):
            if outcome.failure is not None:
                yield contents[outcome.path], outcome.failure
                continue
            values = outcome.outputs["features"]
            if not np.isfinite(values).all():
                failure = Failure("failed", "The network gives no finite features for it.")
                yield contents[outcome.path], failure
            else:
                yield contents[outcome.path], np.asarray(values, np.float32)

    def _key(self, augmenter: Augmenter | None, view: int) -> str:
        """Return the name of everything that the features depend on beside the image."""
        spec = self.backbone.spec
        everything: dict[str, Any] = {
            "network": self._source.identity,
            "input": spec.to_dict(),
            "preparation": _preparation_hash(),
            "runtime": [self.predictor.runtime, self.predictor.precision, self.predictor.device],
            "libraries": {name: _version(name) for name in LIBRARIES},
        }
        if augmenter is not None:
            recipe = augmenter.recipe.to_dict(spec.height, spec.width)
            everything["view"] = [recipe, _version("albumentations"), augmenter.seed, view]
        return feature_key(everything)


def _collected(
    images: Sequence[HashedImage],
    known: dict[bytes, np.ndarray],
    failures: dict[bytes, Failure],
    cached: int,
) -> Features:
    size = len(next(iter(known.values()))) if known else 0
    values = np.zeros((len(images), size), np.float32)
    failed: dict[int, Failure] = {}
    for number, image in enumerate(images):
        if image.content in known:
            values[number] = known[image.content]
        else:
            failed[number] = failures[image.content]
    return Features(values, failed, cached)


@cache
def _preparation_hash() -> str:
    """Return a hash of the code that makes pixels of a file."""
    digest = hashlib.sha256()
    for file in sorted(Path(images.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
