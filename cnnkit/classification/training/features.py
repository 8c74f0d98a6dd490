"""Features of images: through the fast runtime, once for each content, kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

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
AUGMENTING = "albumentations"
KEPT_AT_ONCE = 256


class HashedImage(NamedTuple):
    """One image whose features are wanted.

    Attributes:
        path: As the file system wants it.
        content: The SHA-256 of the file, 32 bytes: other content under this path is refused.
    """

    path: str
    content: bytes


# An image's content, and its features, float32 (features,), or why it has none.
Computed = tuple[bytes, "np.ndarray | Failure"]


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


class FeatureEngine(Protocol):
    """Computes features in other processes."""

    def compute(
        self,
        extractor: FeatureExtractor,
        images: Sequence[HashedImage],
        view: int | None,
        keep: Callable[[Sequence[Computed]], None],
    ) -> None:
        """Compute what `FeatureExtractor.computed` does; some images at a time, in any order.

        Args:
            extractor: What computes the features of one process.
            images: Images with different contents.
            view: The number of the augmented view; None: the images themselves.
            keep: Called with the features of some images.

        Raises:
            CnnkitError: They cannot be computed; what was kept stays.
        """

    def close(self) -> None:
        """End the processes; they are started again when they are needed."""


class FeatureExtractor:
    """Gives the features of images: from the disk, or by one pass through the network.

    Attributes:
        backbone: Whose features.
        augmenter: What makes the augmented views, or None.
        options: Where and how the network runs.
        workers: Threads that read and predict; None: one for each processor.
        max_pixels: A larger image is a failure.
    """

    def __init__(
        self,
        backbone: Backbone,
        options: RuntimeOptions | None = None,
        *,
        augmenter: Augmenter | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        engine: FeatureEngine | None = None,
    ) -> None:
        """Plan the extraction.

        Args:
            backbone: Whose features.
            options: Where and how the network runs.
            augmenter: What makes the augmented views, or None.
            batch_size: Images per call; by default what suits the runtime.
            workers: Threads that read and predict; by default one for each processor.
            max_pixels: A larger image is a failure.
            engine: Computes the features that are not on the disk; None: this process does.
        """
        self.backbone = backbone
        self.augmenter = augmenter
        self.options = options or RuntimeOptions()
        self.workers = workers
        self.max_pixels = max_pixels
        self._batch_size = batch_size
        self._engine = engine
        self._source: ModelSource = backbone.bundle.source(features=True)
        self._predictor: Predictor | None = None

    @property
    def predictor(self) -> Predictor:
        """The compiled network."""
        if self._predictor is None:
            self._predictor = predictor(self._source, self.options, batch_size=self._batch_size)
        return self._predictor

    @property
    def identity(self) -> str:
        """A hash of what all features depend on beside the image and the number of the view."""
        return self._key(None if self.augmenter is None else 0)

    def extract(
        self,
        images: Sequence[HashedImage],
        *,
        view: int | None = None,
        progress: Callable[[], None] | None = None,
    ) -> Features:
        """Return the features of images, from the disk if known.

        Args:
            images: Which ones.
            view: The number of the augmented view: its draw depends on the augmenter's seed,
                this number and the image's content. None: the images themselves.
            progress: Called after each image.
        """
        advance = progress or _nothing
        cache_file = FeatureCache(self._key(view))
        try:
            known = cache_file.read([image.content for image in images])
            cached = sum(image.content in known for image in images)
            for _ in range(cached):
                advance()
            missing = {p.content: p for p in images if p.content not in known}
            failures: dict[bytes, Failure] = {}

            def keep(computed: Sequence[Computed]) -> None:
                """Keep the features of some images."""
                good = [(content, one) for content, one in computed if not isinstance(one, Failure)]
                failures.update((c, one) for c, one in computed if isinstance(one, Failure))
                known.update(good)
                cache_file.write(good)
                for _ in computed:
                    advance()

            if missing and self._engine is not None:
                self._engine.compute(self, list(missing.values()), view, keep)
            elif missing:
                for batch in batched(self.computed(list(missing.values()), view), KEPT_AT_ONCE):
                    keep(batch)
        finally:
            cache_file.close()
        return _collected(images, known, failures, cached)

    def computed(self, images: Sequence[HashedImage], view: int | None) -> Iterator[Computed]:
        """Yield the features of images in their order, computed in this process.

        Args:
            images: The images.
            view: See `extract`.
        """
        contents = {image.path: image.content for image in images}

        def read(path: str) -> np.ndarray:
            """Read one image, unchanged since it was hashed, perhaps as an augmented view."""
            data = read_bytes(path)
            if hashlib.sha256(data).digest() != contents[path]:
                raise ImageError("failed", "The file changed while it was in use.")
            pixels = prepare(data, self.backbone.spec, max_pixels=self.max_pixels)
            if self.augmenter is None or view is None:
                return pixels
            return self.augmenter(pixels, view, int.from_bytes(contents[path][:4], "little"))

        found = (Found(image.path) for image in images)
        outcomes = pipeline.stream(found, read, self.predictor, self.workers or available_cpus())
        for image, outcome in zip(images, outcomes, strict=True):
            if outcome.failure is not None:
                yield image.content, outcome.failure
                continue
            values = outcome.outputs["features"]
            if not np.isfinite(values).all():
                failure = Failure("failed", "The network gives no finite features for it.")
                yield image.content, failure
            else:
                yield image.content, np.asarray(values, np.float32)

    def _key(self, view: int | None) -> str:
        """Return the name of everything that the features depend on beside the image."""
        spec, augmenter = self.backbone.spec, self.augmenter
        everything: dict[str, Any] = {
            "network": self._source.identity,
            "input": spec.to_dict(),
            "preparation": _preparation_hash(),
            "runtime": [self.predictor.runtime, self.predictor.precision, self.predictor.device],
            "libraries": library_versions(),
        }
        if augmenter is not None and view is not None:
            recipe = augmenter.recipe.to_dict(spec.height, spec.width)
            everything["view"] = [recipe, _version(AUGMENTING), augmenter.seed, view]
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


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that features depend on."""
    return {name: _version(name) for name in LIBRARIES}


def _nothing() -> None:
    """Show no progress."""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
