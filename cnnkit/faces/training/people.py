"""What is learned from: everybody's photos, decoded or cut out and aligned, in their splits."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnkit.data import SPLITS, Dataset, assign_splits, read_dataset
from cnnkit.data.decoded import DecodedImages
from cnnkit.data.identities import LEAST_PEOPLE, LEAST_PHOTOS, identity_split
from cnnkit.data.splits import check_shares
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.training.settings import EmbedderSettings
from cnnkit.images import has_image_suffix
from cnnkit.results import Failure
from cnnkit.training.run import StageProgress
from cnnkit.writers.terminal import printable

log = logging.getLogger(__name__)

# Names that a message shows.
SHOWN = 5


@dataclass
class FacePhotos:
    """The photos of a split, or of all, ready for a network.

    Attributes:
        pixels: uint8 (photos, side, side, 3), RGB.
        labels: The person of each, int32 (photos,).
        indices: int64 (photos,), their places in the data set.
    """

    pixels: np.ndarray
    labels: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, places: np.ndarray) -> FacePhotos:
        """Return some of them."""
        return FacePhotos(self.pixels[places], self.labels[places], self.indices[places])


@dataclass(frozen=True)
class TrainingPeople:
    """The whole set.

    Attributes:
        dataset: The photos that could be read, in order.
        images: Their pixels.
        splits: int8 (photos,), places in `SPLITS`.
        failures: Path and reason of each photo that was omitted.
    """

    dataset: Dataset
    images: FacePhotos
    splits: np.ndarray
    failures: tuple[tuple[str, Failure], ...]

    def split(self, name: str) -> FacePhotos:
        """Return the photos of ``train``, ``val`` or ``test``."""
        return self.images.taken(np.flatnonzero(self.splits == SPLITS.index(name)))

    def people(self, name: str) -> int:
        """Return how many people have a photo in a split."""
        return len(np.unique(self.split(name).labels))

    def split_by(self, name: str) -> str:
        """Return ``people`` if nobody in a split is in ``train`` too, else ``pictures``.

        The data's own splits may be either, whatever was asked for.
        """
        shared = np.isin(self.split(name).labels, self.split(SPLITS[0]).labels)
        return "pictures" if shared.any() else "people"

    def sha256(self) -> str:
        """Return a hash of what is learned from: pixels, names and splits."""
        digest = hashlib.sha256()
        for file, split in zip(self.dataset.files, self.splits, strict=True):
            line = f"{file.name}\0{self.dataset.classes[file.label]}\0{SPLITS[split]}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(self.images.pixels).data)
        return digest.hexdigest()


# Reads photos as aligned faces: their pixels, or why there are none.
CutFaces = Callable[[Sequence[str], Callable[[], None]], list[np.ndarray | Failure]]


def read_people(
    settings: EmbedderSettings, stage: StageProgress, cut_faces: CutFaces | None
) -> TrainingPeople:
    """Read the photos and divide them.

    Args:
        settings: The settings.
        stage: Callback that reports progress.
        cut_faces: Gives aligned faces, uint8 (side, side, 3); None: whole images.

    Raises:
        UsageError: The set cannot be learned from; the message has the fix.
    """
    whole = _with_photos(read_dataset(settings.data, settings.root))
    check_shares(whole, settings.shares)
    _tell_of_strays(whole)
    log.info(
        "%s: %s photos of %s people",
        whole.source,
        f"{len(whole.files):,}",
        f"{len(whole.classes):,}",
    )
    with stage("reading", len(whole.files)) as advance:
        images, failures = _read(settings, whole, advance, cut_faces)
    dataset = replace(whole, files=tuple(whole.files[i] for i in images.indices))
    images = replace(images, indices=np.arange(len(images)))
    _tell_of_shared_photos(dataset, images)
    splits = _splits(settings, dataset, images)
    for name in ("train", "val"):
        _check_split(images.labels[splits == SPLITS.index(name)], name)
    return TrainingPeople(dataset, images, splits, tuple(whole.failures) + failures)


def _with_photos(dataset: Dataset) -> Dataset:
    """Return a data set without the people who have no photo, and log their names."""
    counts = dataset.counts()
    if counts.all():
        return dataset
    empty = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    log.warning("%s without a photo, skipped: %s", _counted(empty, "person", "people"), _few(empty))
    number = np.cumsum(counts > 0) - 1
    classes = tuple(n for n, count in zip(dataset.classes, counts, strict=True) if count)
    files = tuple(file._replace(label=int(number[file.label])) for file in dataset.files)
    return replace(dataset, classes=classes, files=files)


def _tell_of_strays(dataset: Dataset) -> None:
    """Say which photos lie beside the folders of people, where they belong to nobody."""
    if strays := [path for path in dataset.strays if has_image_suffix(path)]:
        told = _counted(strays, "photo lies", "photos lie")
        fix = "put each into a folder with its person's name"
        log.warning("%s beside the folders, skipped: %s; %s", told, _few(strays), fix)


def _tell_of_shared_photos(dataset: Dataset, images: FacePhotos) -> None:
    """Say which photos are there under two people: whatever is learned from them is wrong once."""
    shared = []
    for place, before in enumerate(_first_copies(images)):
        label = images.labels[place]
        if images.labels[before] != label:
            shared.append(f"{dataset.files[before].name} and {dataset.files[place].name}")
    if shared:
        told = _counted(shared, "photo is", "photos are")
        log.warning("%s there under two people: %s", told, _few(shared))


def _first_copies(images: FacePhotos) -> np.ndarray:
    """Return the first photo of the same content for each photo, int64 (photos,)."""
    first: dict[bytes, int] = {}
    contents = (hashlib.sha256(np.ascontiguousarray(one).data).digest() for one in images.pixels)
    places = [first.setdefault(content, place) for place, content in enumerate(contents)]
    return np.array(places, np.int64)


def _groups(images: FacePhotos, parts: int) -> np.ndarray:
    """Return numbers by which one person's copies of a photo stay together, int64 (photos,).

    Those of a person without a photo of its own for each split stay apart.
    """
    firsts, groups = _first_copies(images), np.arange(len(images))
    for person in np.unique(images.labels):
        own = images.labels == person
        distinct, numbers = np.unique(firsts[own], return_inverse=True)
        if len(distinct) >= parts:
            groups[own] = np.flatnonzero(own)[np.unique(numbers, return_index=True)[1]][numbers]
    return groups


def _counted(some: Sequence[str], one: str, more: str) -> str:
    return f"{len(some):,} {one if len(some) == 1 else more}"


def _few(names: Sequence[str]) -> str:
    """Return the first of some names for a message."""
    more = len(names) - SHOWN
    return ", ".join(map(printable, names[:SHOWN])) + (f" and {more:,} more" if more > 0 else "")


def _read(
    settings: EmbedderSettings,
    whole: Dataset,
    advance: Callable[[], None],
    cut_faces: CutFaces | None,
) -> tuple[FacePhotos, tuple[tuple[str, Failure], ...]]:
    paths, labels = [file.path for file in whole.files], whole.labels
    if cut_faces is None:
        with DecodedImages(
            paths,
            labels,
            settings.spec,
            max_bad=settings.max_bad,
            max_pixels=settings.max_pixels,
            workers=settings.workers,
            progress=advance,
        ) as decoded:
            found = FacePhotos(decoded.pixels, decoded.labels, decoded.indices)
            return found, decoded.failures
    results = cut_faces(paths, advance)
    kept = [i for i, one in enumerate(results) if not isinstance(one, Failure)]
    failures = [(paths[i], one) for i, one in enumerate(results) if isinstance(one, Failure)]
    settings.max_bad.check(failures, len(paths))
    for path, failure in failures:
        log.warning("Skipping %s: %s", path, failure.message)
    side = (settings.side, settings.side, 3)
    cut = [one for one in results if not isinstance(one, Failure)]
    pixels = np.stack(cut) if cut else np.empty((0, *side), np.uint8)
    return FacePhotos(pixels, labels[kept], np.array(kept, np.int64)), tuple(failures)


def _splits(settings: EmbedderSettings, dataset: Dataset, images: FacePhotos) -> np.ndarray:
    """Return the split of each photo: the data's own, or one by people or by images."""
    if settings.split_by == "people" and not any(file.split for file in dataset.files):
        return identity_split(dataset.labels, dataset.classes, settings.shares, settings.seed)
    groups = _groups(images, 3 if settings.shares.test else 2)
    return assign_splits(dataset, shares=settings.shares, seed=settings.seed, groups=groups)


def _check_split(labels: np.ndarray, name: str) -> None:
    counts = np.bincount(labels) if len(labels) else np.zeros(0, int)
    able = int((counts >= LEAST_PHOTOS).sum())
    if able < LEAST_PEOPLE:
        rule = f"have at least {LEAST_PEOPLE} people with {LEAST_PHOTOS} readable photos each"
        fix = "Add people or photos."
        raise UsageError(broken_rule(f"the split {name}", rule, able, fix))
