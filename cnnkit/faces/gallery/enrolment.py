"""Enrolling photos: only what is new is described, and each batch is in the file or not at all."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cnnkit.data.dataset import NOT_CLASSES
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.faces.embedding import FaceEmbedder, ImageFaces
from cnnkit.faces.gallery.records import NewPhoto, person_name
from cnnkit.faces.gallery.store import content_digest
from cnnkit.faces.verifying import FaceChoice
from cnnkit.images import Finder, Found, has_image_suffix, is_image_header, read_bytes
from cnnkit.images.files import read_header
from cnnkit.images.folders import expand_pattern
from cnnkit.images.sniff import HEADER_BYTES
from cnnkit.results import Failure, make_row
from cnnkit.storage.places import is_url

log = logging.getLogger(__name__)

# Photos that are enrolled in one step.
BATCH = 32
ELSEWHERE = "elsewhere:"


class Portrait(NamedTuple):
    """A photo and whom it shows.

    Attributes:
        person: The name; empty where `failure` says why there is none.
        path: The path as the user would type it.
        place: Below the folder that was given, with ``/``; kept in the gallery.
        failure: Why it cannot be enrolled, or None.
    """

    person: str
    path: str
    place: str
    failure: Failure | None = None


class PhotoStore(Protocol):
    """Where enrolled photos are kept: a `GalleryFile`, or one that is made with the first photo."""

    def person_of(self, content: bytes) -> str | None:
        """Return the person that a photo with this SHA-256 is enrolled as, or None."""

    def add(self, photos: Sequence[NewPhoto], *, move: bool = False) -> list[str]:
        """Enroll photos and return what became of each; see `GalleryFile.add`."""


@dataclass(frozen=True)
class Enrolled:
    """What became of one photo, as a row.

    Attributes:
        person: Whose.
        action: ``added``, ``known`` or ``moved``.
        turned: Rotation of the image for its face, see `Face`.
    """

    person: str
    action: str
    turned: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the row."""
        row: dict[str, Any] = {"person": self.person, "action": self.action}
        return row | ({"turned": self.turned} if self.turned else {})


@dataclass(frozen=True)
class EnrolmentPolicy:
    """How photos are enrolled.

    Attributes:
        choice: Which face of a photo is the person's: one, or the largest.
        min_face: The smallest face that is looked for, for the message.
        paths: Whether the gallery keeps where a photo lies below its folder.
        move: Move photos that are already enrolled under another name.
    """

    choice: FaceChoice
    min_face: int
    paths: bool = True
    move: bool = False

    def __post_init__(self) -> None:
        if self.choice.faces == "all":
            fix = "A photo is enrolled for one person."
            raise UsageError(broken_rule("`faces`", "be one or largest", "all", fix))


def people_of(folder: str, name: str = "`inputs`") -> Iterator[Portrait]:
    """Give the photos of a folder that has one folder for each person, or photos named by person.

    Args:
        folder: Photos that lie in it directly are of the person whom the file's name says,
            without its suffix. Other files in it are passed over.
        name: The parameter that names the folder, in backticks.

    Raises:
        UsageError: There is neither a folder nor a photo in it, or it cannot be read. This is
            found out at once, not at the first photo.
    """
    try:
        seen = _people_in(folder)
    except OSError as error:
        rule = "be a folder that can be read"
        received = f"{folder} ({error.strerror or error})"
        raise UsageError(broken_rule(name, rule, received)) from error
    people = [(e.name, e.name) for e in seen if e.is_dir()]
    loose = [(Path(e.name).stem, e.name) for e in seen if not e.is_dir() and _is_photo(e.path)]
    if not people and not loose:
        other = ", or `name` with photos" if name == "`inputs`" else ""
        fix = f"Give a folder with one folder for each person{other}."
        raise UsageError(broken_rule(name, "hold a folder for each person", folder, fix))
    if loose:
        log.info(
            "%s: each photo directly in it (%s) is taken for the person of its file's name.",
            folder,
            f"{len(loose):,}",
        )
    named = sorted(people + loose, key=lambda one: one[1])
    parts = (_portraits(who, os.path.join(folder, entry), folder) for who, entry in named)
    return chain.from_iterable(parts)


def _is_photo(path: str) -> bool:
    """Return whether a file is, or is called, an image."""
    return has_image_suffix(path) or is_image_header(read_header(path, HEADER_BYTES))


def portraits_of(name: str, inputs: Iterable[str]) -> Iterator[Portrait]:
    """Give the photos of one person: files, folders and patterns.

    Raises:
        UsageError: Nobody can have this name, or there are several folders of photos, as of several
            people. This is found out at once.
    """
    name, inputs = person_name(name), list(inputs)
    folders = _outermost(chain.from_iterable(map(_folders, inputs)))
    for folder in folders:
        _refuse_several_people(folder)
    _refuse_several_folders(folders)
    return (
        Portrait(name, found.path, os.path.basename(found.path), found.failure)
        for found in Finder(inputs)
    )


def _folders(given: str) -> list[str]:
    """Return the folders that an input is, or is the pattern of."""
    if os.path.isdir(given):
        return [given]
    if is_url(given) or not glob.has_magic(given) or os.path.lexists(given):
        return []
    return [path for path in expand_pattern(given, lambda _: False) if os.path.isdir(path)]


def _outermost(folders: Iterable[str]) -> list[str]:
    """Return the folders that lie in no other one, each once."""
    places = {os.path.realpath(folder): folder for folder in folders}
    return [
        folder
        for place, folder in places.items()
        if places.keys().isdisjoint(map(str, Path(place).parents))
    ]


def _refuse_several_people(folder: str) -> None:
    """Refuse a folder with folders of photos for one name: everybody would get that name."""
    try:
        inner = [entry.path for entry in _people_in(folder) if entry.is_dir()]
    except OSError:  # it becomes a row that says so
        return
    if both := _two_with_photos(inner):
        named = " and ".join(repr(os.path.basename(path)) for path in both)
        fix = "Leave out `name` to enroll each folder as a person"
        raise _several(f"{folder}, which has folders of photos like {named}", fix)


def _refuse_several_folders(folders: list[str]) -> None:
    """Refuse the folders that a shell makes of ``people/*`` for one name."""
    if both := _two_with_photos(folders):
        named = " and ".join(map(repr, both))
        fix = "To enroll each folder as a person, give the folder that holds them, without `name`"
        raise _several(f"several folders of photos like {named}", fix)


def _several(received: str, fix: str) -> UsageError:
    fix += "; if they are one person's, give one folder at a time, or the photos themselves."
    return UsageError(broken_rule("`name`", "be that of the one person in all", received, fix))


def _two_with_photos(folders: list[str]) -> list[str]:
    """Return the first two folders that hold photos; nothing if there are not as many."""
    held = list(islice(filter(_holds_photos, folders), 2))
    return held if len(held) == 2 else []


def _holds_photos(folder: str) -> bool:
    return any(found.failure is None for found in Finder([folder]))


def _people_in(folder: str) -> list[os.DirEntry[str]]:
    """Return what may be a person's in a folder of people, sorted by name."""
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    return [e for e in entries if not e.name.startswith(".") and e.name not in NOT_CLASSES]


def _portraits(name: str, place: str, top: str) -> Iterator[Portrait]:
    try:
        person = person_name(name)
        wrong = None
    except UsageError as error:
        person, wrong = "", Failure("failed", str(error))
    for found in Finder([place]):
        below = os.path.relpath(found.path, top).replace(os.sep, "/")
        yield Portrait(person, found.path, below, found.failure or wrong)


def portraits_to_enrol(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], name: str | None
) -> Iterable[Portrait]:
    """Give the photos of folders of people, or those of one person.

    Args:
        inputs: Folders with one folder for each person; with `name` photos, patterns and a folder.
        name: The one person, or None.

    Raises:
        UsageError: The inputs are no folders of people, or nobody can have the name.
    """
    several = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    paths = [os.fspath(path) for path in several]
    if name is not None:
        return portraits_of(name, paths)
    for folder in paths:
        if not os.path.isdir(folder):
            fix = "For photos of one person, use `name`."
            rule = "be a folder with one subfolder per person"
            raise UsageError(broken_rule("`inputs`", rule, folder, fix))
    return chain.from_iterable([people_of(folder) for folder in paths])


def enrol(
    gallery: PhotoStore,
    embedder: FaceEmbedder,
    portraits: Iterable[Portrait],
    policy: EnrolmentPolicy,
    *,
    workers: int | None = None,
    emit: Callable[[dict[str, Any]], None] | None = None,
) -> Counter[str]:
    """Enroll photos; those that are known by their content are not described again.

    A row is given once its photo is in the file. Killed at any moment, the same call goes on
    where the last whole batch ended.

    Args:
        gallery: A gallery made with this embedder.
        embedder: A loaded embedder.
        portraits: The photos.
        policy: How.
        workers: Threads that read and embed.
        emit: Takes each row, in the order of the photos.

    Returns:
        How many were ``added``, ``known``, ``moved`` and ``failed``.

    Raises:
        GalleryError: The gallery is another embedder's, or cannot be read.
        OutputError: It cannot be written; the photos reported so far are in it.
    """
    run = _Enrolment(gallery, policy, emit)
    for _, described in embedder.stream(run.unknown(portraits), workers):
        run.take(described)
    run.finish()
    return run.counts


class _Enrolment:
    """Keeps the photos in order while some are described and others are known already."""

    def __init__(
        self,
        gallery: PhotoStore,
        policy: EnrolmentPolicy,
        emit: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._gallery = gallery
        self._policy = policy
        self._emit = emit
        # Photos without an outcome come before the ones being described, in order.
        self._waiting: deque[list[Any]] = deque()
        self._described: deque[list[Any]] = deque()
        self._settled = 0

    def unknown(self, portraits: Iterable[Portrait]) -> Iterator[Found]:
        """Give the photos that must be described."""
        for portrait in portraits:
            content, outcome = self._seen(portrait)
            entry = [portrait, content, outcome, 0]
            self._waiting.append(entry)
            if outcome is None:
                self._described.append(entry)
                yield Found(portrait.path)
            else:
                self._settle()

    def _settle(self) -> None:
        """Count a photo that has its outcome, and write where there are enough of them."""
        self._settled += 1
        if self._settled >= BATCH:
            self._write()

    def _seen(self, portrait: Portrait) -> tuple[bytes, Any]:
        """Return a photo's hash and, where nothing needs to be described, its outcome."""
        if portrait.failure is not None:
            return b"", portrait.failure
        try:
            content = content_digest(read_bytes(portrait.path))
        except ImageError as error:
            return b"", Failure(error.kind, error.message)
        holder = self._gallery.person_of(content)
        if holder == portrait.person:
            return content, "known"
        if holder is not None and not self._policy.move:
            return content, _elsewhere(holder, portrait.person)
        return content, None

    def take(self, described: ImageFaces | Failure) -> None:
        """Take in what was found on the next photo that waits for it."""
        entry = self._described.popleft()
        portrait, content = entry[:2]
        entry[2] = self._new_photo(portrait, content, described)
        if isinstance(described, ImageFaces) and described.faces:
            entry[3] = described.faces[0].turned
        self._settle()

    def _new_photo(
        self, portrait: Portrait, content: bytes, described: ImageFaces | Failure
    ) -> NewPhoto | Failure:
        if isinstance(described, Failure):
            return described
        try:
            [face] = self._policy.choice.of(described, self._policy.min_face)
        except ImageError as error:
            return Failure(error.kind, error.message)
        place = portrait.place if self._policy.paths else None
        return NewPhoto(portrait.person, content, described.embeddings[face], place)

    def finish(self) -> None:
        """Write what is left."""
        self._write()

    def _write(self) -> None:
        """Enroll everything up to the first photo that is still being described."""
        self._settled = 0
        ready = []
        while self._waiting and self._waiting[0][2] is not None:
            ready.append(self._waiting.popleft())
        new = [entry[2] for entry in ready if isinstance(entry[2], NewPhoto)]
        actions = iter(self._gallery.add(new, move=self._policy.move) if new else [])
        for portrait, _, outcome, turned in ready:
            if isinstance(outcome, NewPhoto):
                outcome = next(actions)
            self._tell(portrait, outcome, turned)

    def _tell(self, portrait: Portrait, outcome: str | Failure, turned: int) -> None:
        if isinstance(outcome, str) and outcome.startswith(ELSEWHERE):
            outcome = _elsewhere(outcome.removeprefix(ELSEWHERE), portrait.person)
        if isinstance(outcome, Failure):
            self.counts["failed"] += 1
            row = make_row(portrait.path, outcome)
        else:
            self.counts[outcome] += 1
            row = make_row(portrait.path, Enrolled(portrait.person, outcome, turned))
        if self._emit is not None:
            self._emit(row)


def _elsewhere(holder: str, person: str) -> Failure:
    message = f"is enrolled as {holder} already; moving it makes it a photo of {person}"
    return Failure("failed", message)
