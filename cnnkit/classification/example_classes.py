"""Classes given by a few examples of each: an image is named by its nearest ones.

Nothing is learned. An image's similarity with a class is the mean cosine of its embedding with
those of the class's three most similar examples (k nearest neighbors). Below a calibrated
similarity with all classes it is ``unknown``.

The calibration leaves out each example in turn and compares it with the others of its class, of
which near copies count once. The threshold is the lowest of these similarities that still keeps
`SHARE_KEPT` of the images that belong to a class: of n similarities the one of rank
floor((1 - share) (n + 1)), the conformal quantile of Vovk, Gammerman, Shafer, "Algorithmic Learning
in a Random World", 2005, by leaving one out as in Barber, Candes, Ramdas, Tibshirani, "Predictive
inference with the jackknife+", 2021,
https://arxiv.org/abs/1905.02928. Distances to nearest neighbors tell unknown images: Sun, Ming,
Zhu, Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022,
https://arxiv.org/abs/2204.06507.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cnnkit.data import read_dataset
from cnnkit.diagnosis.duplicates import find_originals
from cnnkit.diagnosis.fingerprints import read_fingerprints
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.images import Found, read_bytes
from cnnkit.images.sniff import has_image_suffix
from cnnkit.neighbors import GroupedVectors
from cnnkit.results import NOT_FINITE, Classification, Failure
from cnnkit.writers.terminal import printable

log = logging.getLogger(__name__)

NEAREST = 3
# The share of the images of known classes that the calibrated threshold keeps.
SHARE_KEPT = 0.9
# Each of them is compared with every image; so many can be learned from instead.
MAX_EXAMPLES = 10_000
CLASSES = "hold a folder for each class with a few images of it"

# What gives the features of images, as `Classifier.stream` does.
Embed = Callable[[Iterable[Found]], Iterator[tuple[str, Classification | Failure]]]


@dataclass(frozen=True)
class ExampleFiles:
    """The example images of several classes, each content once.

    Attributes:
        source: The folder or CSV, as the user typed it.
        labels: Names of the classes, sorted.
        paths: The images.
        classes: The class of each, int64 (images,).
        digest: Hash of the classes' names and the images' contents; the files' names and places
            do not count.
        distinct: Which images do not nearly look the same as an earlier one, bool (images,); None:
            all. Of a burst of photos, the others would make any other photo `unknown`.
    """

    source: str
    labels: tuple[str, ...]
    paths: tuple[str, ...]
    classes: np.ndarray
    digest: str
    distinct: np.ndarray | None = None

    @classmethod
    def read(cls, examples: str | os.PathLike[str]) -> ExampleFiles:
        """Find the examples and hash their contents.

        Args:
            examples: What `cnnkit.data.read_dataset` takes: images in folders below a class's
                count, and of split folders those for training. A file with the content of
                another one of the same class counts once.

        Raises:
            UsageError: It is not of this form, a class has no image, an image cannot be read or
                is an example of two classes, or there are too many.
        """
        source = os.fspath(examples)
        if not os.path.exists(source):
            received = f"{printable(source or repr(source))}, which does not exist"
            raise UsageError(broken_rule("`examples`", CLASSES, received))
        if os.path.isfile(source) and has_image_suffix(source):
            raise UsageError(broken_rule("`examples`", CLASSES, f"the image {source}"))
        try:
            dataset = read_dataset(source)
        except UsageError as error:
            if error.parameter != "data":
                raise
            said = broken_rule("`examples`", str(error.rule), error.received)
            raise UsageError(said) from error
        if dataset.failures:
            _refuse_unreadable(source, dataset.failures)
        files = [file for file in dataset.files if file.split in (None, "train")]
        if len(files) > MAX_EXAMPLES:
            rule = f"hold at most {MAX_EXAMPLES:,} images"
            fix = "Learn a classifier from them: cnnkit transfer-learn."
            raise UsageError(broken_rule("`examples`", rule, f"{len(files):,} in {source}", fix))
        if len(files) < len(dataset.files):
            left = len(dataset.files) - len(files)
            log.info("%d images of other splits than train are no examples.", left)
        present = {file.label for file in files}
        empty = [n for i, n in enumerate(dataset.classes) if i not in present]
        if empty:
            received = f"no image of {printable(repr(empty[0]))} in {source}"
            fix = "Add images to it or remove it."
            raise UsageError(broken_rule("`examples`", CLASSES, received, fix))
        return cls._of(source, dataset.classes, [f.path for f in files], [f.label for f in files])

    @classmethod
    def _of(
        cls, source: str, labels: tuple[str, ...], paths: Sequence[str], classes: Sequence[int]
    ) -> ExampleFiles:
        first: dict[str, tuple[str, int]] = {}
        failures = []
        for path, label in zip(paths, classes, strict=True):
            try:
                content = hashlib.sha256(read_bytes(path)).hexdigest()
            except ImageError as error:
                failures.append((path, Failure(error.kind, error.message)))
                continue
            known, its_label = first.setdefault(content, (path, label))
            if its_label != label:
                rule = "hold each image in one class only"
                received = printable(f"the same image in {known} and {path}")
                raise UsageError(broken_rule("`examples`", rule, received))
        if failures:
            _refuse_unreadable(source, failures)
        if len(first) < len(paths):
            log.info(
                "%d examples have the content of another and are left out.", len(paths) - len(first)
            )
        digest = hashlib.sha256()
        for name, content in sorted((labels[of], content) for content, (_, of) in first.items()):
            digest.update(f"{name}\0{content}\n".encode("utf-8", "surrogatepass"))
        kept = tuple(path for path, _ in first.values())
        of_class = np.array([label for _, label in first.values()], np.int64)
        everyone = np.arange(len(kept))
        distinct = find_originals(read_fingerprints(kept), everyone) == everyone
        return cls(source, labels, kept, of_class, digest.hexdigest(), distinct)

    @property
    def summary(self) -> str:
        """What they are, in a few words, for the options of a run."""
        classes = f"{len(self.labels)} class{'es' if len(self.labels) > 1 else ''}"
        return f"{len(self.paths)} images of {classes}, SHA-256 {self.digest[:32]}"


@dataclass(frozen=True)
class ExampleClasses:
    """Classes by example, in the embedding space of a model.

    Attributes:
        files: The examples.
        vectors: Their embeddings, float32 (images, dimensions).
    """

    files: ExampleFiles
    vectors: np.ndarray

    @classmethod
    def embedded(cls, files: ExampleFiles, embed: Embed) -> ExampleClasses:
        """Embed the examples.

        Raises:
            UsageError: An image cannot be decoded, or has no embedding.
        """
        vectors: list[np.ndarray] = []
        failures = []
        for path, result in embed([Found(path) for path in files.paths]):
            failure = result if isinstance(result, Failure) else None
            if isinstance(result, Classification) and result.features is not None:
                vectors.append(result.features)
                size = float(np.linalg.norm(result.features.astype(np.float64)))
                if not (math.isfinite(size) and size > 0):
                    reason = "its embedding is zero" if size == 0 else NOT_FINITE
                    failure = Failure("failed", reason)
            if failure is not None:
                failures.append((path, failure))
        if failures:
            _refuse_unreadable(files.source, failures)
        return cls(files, np.stack(vectors))

    @cached_property
    def _groups(self) -> GroupedVectors:
        return GroupedVectors(self.vectors, self.files.classes, NEAREST)

    def similarities(self, features: np.ndarray) -> np.ndarray:
        """Return how similar an image is to each class, float64 (classes,), 0 to 1.

        Args:
            features: Of the image, float (dimensions,).
        """
        if not np.isfinite(features).all():
            return np.full(len(self.files.labels), np.nan)
        return np.maximum(self._groups.similarities(features), 0.0)

    def calibrated_threshold(self) -> float:
        """Return the similarity below which an image is ``unknown``, 0 to 1.

        Raises:
            UsageError: No class has two examples, of which one could be left out.
        """
        distinct = self.files.distinct
        chosen = slice(None) if distinct is None else distinct
        classes = np.unique(self.files.classes[chosen], return_inverse=True)[1]
        similarities = GroupedVectors(self.vectors[chosen], classes, NEAREST).left_out()
        similarities = np.sort(similarities[np.isfinite(similarities)])
        if not len(similarities):
            rule = "hold two different images of a class, to calibrate what is unknown"
            received = f"one image of each class, or copies of one, in {self.files.source}"
            fix = "Add images, or set `threshold`."
            raise UsageError(broken_rule("`examples`", rule, received, fix))
        threshold = max(0.0, float(similarities[_rank(len(similarities)) - 1]))
        log.info(
            "%s: images below a similarity of %.3f are unknown; %d of %d examples are above it "
            "when they are left out.",
            self.files.summary.partition(", ")[0],
            threshold,
            int((similarities >= threshold).sum()),
            len(similarities),
        )
        return threshold


def _rank(count: int) -> int:
    """Return which of so many similarities is the threshold, from 1, the lowest."""
    return max(1, math.floor((1 - SHARE_KEPT) * (count + 1) + 1e-9))


def _refuse_unreadable(source: str, failures: Sequence[tuple[str, Failure]]) -> None:
    path, failure = failures[0]
    more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
    received = printable(f"{path}: {failure.message}{more}")
    fix = "Replace or remove it."
    raise UsageError(broken_rule("`examples`", "hold readable images", received, fix))
