"""Face galleries: one SQLite file of people and the embeddings of their photos."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import GalleryError, UsageError, broken_rule, did_you_mean
from cnnkit.faces.gallery.database import (
    create_database,
    named_errors,
    open_database,
    reading,
    writing,
)
from cnnkit.faces.gallery.records import (
    DIGEST_BYTES,
    EmbedderRecord,
    GallerySettings,
    NewPhoto,
    StoredPhoto,
    embedder_difference,
    person_name,
)
from cnnkit.faces.gallery.sealing import (
    SEAL_BYTES,
    KeyDerivation,
    OpenValues,
    SealedValues,
    Sealing,
    known_sealing,
    new_sealing,
)
from cnnkit.faces.gallery.search import FaceIndex, checked_vector
from cnnkit.names import normal_name

log = logging.getLogger(__name__)

UUID_BYTES = 16
FLOAT_BYTES = 4
MAX_PHOTOS = 4_000_000

Passphrase = Callable[[], bytes]


class GalleryFile:
    """An open face gallery. A context manager. Several threads of a process take turns.

    Many processes may read and write the same file at once: every read and every change is one
    transaction that waits for the others.

    Attributes:
        path: The file.
        settings: The embedder that its embeddings are from, and how it decides.
        sealed: Whether it is encrypted with a passphrase.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, sealing: Sealing) -> None:
        """Wrap an open file; use `create` or `open` instead."""
        self.path = path
        self.sealed = isinstance(sealing, SealedValues)
        self._connection = connection
        self._turn = threading.RLock()  # a transaction belongs to one thread
        self._sealing = sealing
        self.settings = self._read_settings()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        settings: GallerySettings,
        passphrase: Passphrase | None = None,
        *,
        cost: int = KeyDerivation.cost,
    ) -> GalleryFile:
        """Create an empty gallery, or open one that another process has just created.

        Args:
            path: The new file.
            settings: The embedder that its embeddings will be from, and how it decides.
            passphrase: Function that returns the passphrase; None for no encryption.
            cost: The cost parameter N of scrypt.

        Raises:
            OutputError: The file cannot be written.
        """
        path = Path(path)
        uuid = secrets.token_bytes(UUID_BYTES)
        sealing: Sealing = OpenValues()
        derivation = None
        if passphrase is not None:
            sealing, known = new_sealing(passphrase(), uuid, cost)
            derivation = known.to_text()
        content = sealing.seal(settings.to_bytes(), [b"settings"])

        def fill(connection: sqlite3.Connection) -> None:
            row = (1, uuid, derivation, content)
            connection.execute("INSERT INTO gallery VALUES (?, ?, ?, ?)", row)

        if create_database(path, fill):
            return cls(path, open_database(path), sealing)
        return cls.open(path, passphrase)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        passphrase: Passphrase | None = None,
        *,
        optional: bool = False,
    ) -> GalleryFile:
        """Open a gallery. The file is treated as untrusted.

        Args:
            path: The file.
            passphrase: Function that returns the passphrase; called only if one is needed.
            optional: Accept an unencrypted gallery although a passphrase is given.

        Raises:
            UsageError: The file does not exist, or a passphrase is missing or not needed.
            GalleryError: It is not a gallery, was damaged or modified, or the passphrase is wrong.
        """
        path = Path(path)
        connection = open_database(path)
        try:
            with named_errors(path), _named(path):
                gallery = cls(path, connection, _sealing_of(connection, path, passphrase, optional))
            gallery._warn_of_readers()
            return gallery
        except BaseException:  # whatever it is, nobody else could close it
            connection.close()
            raise

    def __enter__(self) -> GalleryFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        with self._turn:
            self._connection.close()

    def check_embedder(self, embedder: EmbedderRecord) -> None:
        """Refuse an embedder other than the one that the gallery's embeddings are from.

        Raises:
            GalleryError: The model, the alignment or the kind of embedding differs.
        """
        ours = self.settings.embedder
        if difference := embedder_difference(ours, embedder):
            rule = f"be searched with {ours.name} and the identity that it was enrolled with: "
            received = f"{embedder.name}, {difference.given}"
            rule += difference.held
            raise GalleryError(broken_rule(str(self.path), rule, received, difference.fix))

    # --- changes ---------------------------------------------------------------------------

    def add(self, photos: Sequence[NewPhoto], *, move: bool = False) -> list[str]:
        """Enroll photos: all of them in one step, or none.

        Args:
            photos: The photos.
            move: Move photos that are already enrolled under another name.

        Returns:
            The outcome of each: ``added``, ``known`` (already enrolled), ``moved``, or, if it is
            enrolled as another person, that name after a colon: ``elsewhere:ANN``.

        Raises:
            UsageError: A name or an embedding is invalid.
            GalleryError: The gallery is damaged, or was in use for too long.
            OutputError: The file cannot be written.
        """
        checked = [self._checked(photo) for photo in photos]
        with self._guarded(), writing(self._connection):
            return [self._add_one(photo, vector, move) for photo, vector in checked]

    def _checked(self, photo: NewPhoto) -> tuple[NewPhoto, bytes]:
        dimensions = self.settings.embedder.dimensions
        vector = checked_vector(photo.vector, dimensions)
        if len(photo.content) != DIGEST_BYTES:
            rule = f"be a SHA-256 of {DIGEST_BYTES} bytes"
            raise UsageError(broken_rule("a photo's content", rule, len(photo.content)))
        name = person_name(photo.person)
        return NewPhoto(name, photo.content, vector, photo.path), vector.tobytes()

    def _add_one(self, photo: NewPhoto, vector: bytes, move: bool) -> str:
        content = self._sealing.token("content", photo.content)
        [holder, owner] = self._holder(content)
        if holder is not None:
            name = self._name(owner)
            if name == photo.person:
                return "known"
            if not move:
                return f"elsewhere:{name}"
            self._execute("DELETE FROM photo WHERE id = ?", holder)
            self._remove_if_empty(owner)
        person = self._person(photo.person)
        [number] = self._execute("SELECT coalesce(max(id), 0) + 1 FROM photo").fetchone()
        place = _photo_context(number, person)
        path = None if photo.path is None else os.fsencode(photo.path)
        self._execute(
            "INSERT INTO photo VALUES (?, ?, ?, ?, ?)",
            number,
            person,
            content,
            self._sealing.seal(vector, [b"vector", *place]),
            None if path is None else self._sealing.seal(path, [b"path", *place]),
        )
        return "added" if holder is None else "moved"

    def _holder(self, content: bytes) -> tuple[int | None, int]:
        """Return the photo with this content and its person, or None."""
        found = self._execute("SELECT id, person FROM photo WHERE content = ?", content)
        return found.fetchone() or (None, 0)

    def _person(self, name: str) -> int:
        """Return a person's number, entering them if they are new."""
        token = self._sealing.token("name", name.encode())
        found = self._execute("SELECT id FROM person WHERE token = ?", token).fetchone()
        if found:
            if self._name(found[0]) != name:
                raise GalleryError("a person's entry was changed after it was written.")
            return found[0]
        [number] = self._execute("SELECT coalesce(max(id), 0) + 1 FROM person").fetchone()
        sealed = self._sealing.seal(name.encode(), _name_context(number, token))
        self._execute("INSERT INTO person VALUES (?, ?, ?)", number, token, sealed)
        return number

    def _remove_if_empty(self, person: int) -> None:
        left = self._execute("SELECT 1 FROM photo WHERE person = ? LIMIT 1", person).fetchone()
        if left is None:
            self._execute("DELETE FROM person WHERE id = ?", person)

    def forget(self, names: Sequence[str]) -> dict[str, int]:
        """Remove people, and every trace of them from the file.

        Their rows are overwritten with zeros, then the file is rewritten without the gaps.
        SQLite's journal of the change is removed too. Copies that the disk, its snapshots or
        backups keep are out of reach.

        Args:
            names: The people to remove; duplicates are ignored.

        Returns:
            The number of photos that each had.

        Raises:
            UsageError: A name is not in the gallery; then no one is removed.
        """
        wanted = list(dict.fromkeys(person_name(name) for name in names))
        with self._guarded():
            with writing(self._connection):
                numbers = self._numbers(wanted, "`names`")
                removed = {}
                for name, number in numbers.items():
                    gone = self._execute("DELETE FROM photo WHERE person = ?", number)
                    removed[name] = gone.rowcount
                    self._execute("DELETE FROM person WHERE id = ?", number)
            self._connection.execute("VACUUM")
        return removed

    def forget_photos(self, numbers: Sequence[int]) -> None:
        """Remove photos, and every trace of them from the file; see `forget`.

        A person whose last photo is removed is removed too.

        Args:
            numbers: Numbers of the photos, see `StoredPhoto`; duplicates are ignored.

        Raises:
            UsageError: A number is not in the gallery; then nothing is removed.
        """
        with self._guarded():
            with writing(self._connection):
                for number in dict.fromkeys(numbers):
                    owner = self._execute("SELECT person FROM photo WHERE id = ?", number)
                    if (row := owner.fetchone()) is None:
                        rule = f"be one of a photo in {self.path}"
                        raise UsageError(broken_rule("a photo's number", rule, number))
                    self._execute("DELETE FROM photo WHERE id = ?", number)
                    self._remove_if_empty(row[0])
            self._connection.execute("VACUUM")

    def rename(self, name: str, new: str, *, merge: bool = False) -> int:
        """Rename a person, and remove every trace of the old name; see `forget`.

        Paths of photos in a folder with the old name are changed too.

        Args:
            name: The person.
            new: The new name.
            merge: Merge with a person who already has the new name.

        Returns:
            The number of photos that the person with the new name has.

        Raises:
            UsageError: The name is unknown, or the new name is taken or invalid.
        """
        name, new = person_name(name), person_name(new)
        token = self._sealing.token("name", new.encode())
        with self._guarded():
            with writing(self._connection):
                person = self._numbers([name])[name]
                target = self._numbers([new])[new] if self._is_known(new) else person
                if target != person and not merge:
                    fix = "`merge=True` makes both one person."
                    rule = f"be a name that nobody has in {self.path}"
                    raise UsageError(broken_rule("the new name", rule, repr(new), fix))
                if target == person:
                    sealed = self._sealing.seal(new.encode(), _name_context(person, token))
                    values = (token, sealed, person)
                    self._execute("UPDATE person SET token = ?, name = ? WHERE id = ?", *values)
                self._hand_over(person, target, name, new)
                self._remove_if_empty(person)
            self._connection.execute("VACUUM")
            counting = "SELECT count(*) FROM photo WHERE person = ?"
            return self._execute(counting, target).fetchone()[0]

    def _is_known(self, name: str) -> bool:
        token = self._sealing.token("name", name.encode())
        found = self._execute("SELECT 1 FROM person WHERE token = ?", token)
        return found.fetchone() is not None

    def _hand_over(self, person: int, target: int, name: str, new: str) -> None:
        """Make the photos of one person another's, sealed again; a folder's name changes too."""
        looking = "SELECT id, vector, path FROM photo WHERE person = ?"
        for number, vector, path in self._execute(looking, person).fetchall():
            before, after = _photo_context(number, person), _photo_context(number, target)
            opened = self._opened_path(path, before)
            place = None if opened is None else os.fsencode(_renamed_place(opened, name, new))
            self._execute(
                "UPDATE photo SET person = ?, vector = ?, path = ? WHERE id = ?",
                target,
                self._sealing.seal(self._opened_vector(vector, before), [b"vector", *after]),
                None if place is None else self._sealing.seal(place, [b"path", *after]),
                number,
            )

    def _numbers(self, wanted: Sequence[str], parameter: str = "`name`") -> dict[str, int]:
        """Return the numbers of people by name.

        Raises:
            UsageError: One of them is not in the gallery.
        """
        known = {name: number for number, name in self._people_by_number().items()}
        for name in wanted:
            if name not in known:
                fix = did_you_mean(name, list(known)) or "See: cnnkit gallery list."
                rule = f"name a person in {self.path}"
                raise UsageError(broken_rule(parameter, rule, repr(name), fix))
        return {name: known[name] for name in wanted}

    def save_settings(self, settings: GallerySettings) -> None:
        """Save another threshold and calibration for the same embedder.

        Raises:
            GalleryError: The settings name another embedder.
        """
        self.check_embedder(settings.embedder)
        content = self._sealing.seal(settings.to_bytes(), [b"settings"])
        with self._guarded(), writing(self._connection):
            self._execute("UPDATE gallery SET settings = ? WHERE id = 1", content)
        self.settings = settings

    # --- looks -----------------------------------------------------------------------------

    def person_of(self, content: bytes) -> str | None:
        """Return the person that a photo with this SHA-256 is enrolled as, or None."""
        with self._guarded():
            holder, owner = self._holder(self._sealing.token("content", content))
            return None if holder is None else self._name(owner)

    def number_of(self, content: bytes) -> int | None:
        """Return the number of the photo with this SHA-256, or None."""
        with self._guarded():
            return self._holder(self._sealing.token("content", content))[0]

    def people(self) -> dict[str, int]:
        """Return the number of photos of each person, sorted by name."""
        counting = "SELECT person, count(*) FROM photo GROUP BY person"
        with self._guarded(), reading(self._connection):
            names = self._people_by_number()
            counts = {names[n]: count for n, count in self._execute(counting) if n in names}
        return dict(sorted(counts.items()))

    def photos(self, progress: Callable[[int], None] | None = None) -> list[StoredPhoto]:
        """Return every photo, in the order of enrollment, out of one look at the file.

        Args:
            progress: Called with the number of photos read.
        """
        photos = []
        with self._guarded(), reading(self._connection):
            names = self._people_by_number()
            for number, person, vector, path in self._rows("id, person, vector, path"):
                name = self._known_name(names, person)
                place = _photo_context(number, person)
                opened = self._opened_path(path, place)
                values = np.frombuffer(self._opened_vector(vector, place), "<f4")
                photos.append(StoredPhoto(number, name, _finite(values), opened))
                if progress is not None:
                    progress(1)
        return photos

    def index(self) -> FaceIndex:
        """Return the search index of the gallery, read in one transaction.

        Raises:
            GalleryError: A row was damaged or modified.
        """
        vectors, owners = bytearray(), []
        with self._guarded(), reading(self._connection):
            names = self._people_by_number()
            for number, person, vector in self._rows("id, person, vector"):
                self._known_name(names, person)
                owners.append(person)
                vectors += self._opened_vector(vector, _photo_context(number, person))
            shape = (len(owners), self.settings.embedder.dimensions)
            values = _finite(np.frombuffer(bytes(vectors), "<f4").reshape(shape))
        return FaceIndex(values, [names[n] for n in owners], self.settings.embedder.metric)

    def _rows(self, columns: str) -> Iterator[tuple[Any, ...]]:
        for count, row in enumerate(self._execute(f"SELECT {columns} FROM photo ORDER BY id")):
            if count >= MAX_PHOTOS:
                raise GalleryError(broken_rule("a gallery", f"have {MAX_PHOTOS:,} photos", "more"))
            yield row

    def _people_by_number(self) -> dict[int, str]:
        rows = self._execute("SELECT id, token, name FROM person").fetchmany(MAX_PHOTOS)
        return {number: self._opened_name(number, token, name) for number, token, name in rows}

    def _name(self, person: int) -> str:
        row = self._execute("SELECT token, name FROM person WHERE id = ?", person).fetchone()
        if row is None:
            raise GalleryError("a photo belongs to nobody.")
        return self._opened_name(person, *row)

    def _known_name(self, names: dict[int, str], person: int) -> str:
        if person not in names:
            raise GalleryError("a photo belongs to nobody.")
        return names[person]

    def _opened_name(self, number: int, token: bytes, sealed: bytes) -> str:
        name = self._sealing.unseal(sealed, _name_context(number, token))
        try:
            text = name.decode()
            if person_name(text) != text or self._sealing.token("name", name) != token:
                raise ValueError
        except (ValueError, UsageError) as error:
            raise GalleryError("a person's name is none that cnnkit wrote.") from error
        return text

    def _opened_vector(self, stored: bytes, place: Sequence[bytes]) -> bytes:
        size = FLOAT_BYTES * self.settings.embedder.dimensions
        if len(stored) != size + (SEAL_BYTES if self.sealed else 0):
            raise GalleryError(broken_rule("a vector", f"have {size} bytes", len(stored)))
        return self._sealing.unseal(stored, [b"vector", *place])

    def _opened_path(self, stored: bytes | None, place: Sequence[bytes]) -> str | None:
        if stored is None:
            return None
        return os.fsdecode(self._sealing.unseal(stored, [b"path", *place]))

    def _read_settings(self) -> GallerySettings:
        [content] = self._execute("SELECT settings FROM gallery WHERE id = 1").fetchone()
        return GallerySettings.from_bytes(self._sealing.unseal(content, [b"settings"]))

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let no other thread in, and name the file in whatever goes wrong with it."""
        with self._turn, _named(self.path), named_errors(self.path):
            yield

    def _warn_of_readers(self) -> None:
        if os.name == "posix" and self.path.stat().st_mode & 0o077:
            log.warning(
                "%s holds biometric data and others may read it. Run: chmod 600 %s",
                self.path,
                self.path,
            )


class NewGalleryFile:
    """A gallery that is not there yet and holds nobody; `made` makes its file.

    Attributes:
        path: The new file.
        settings: The embedder that its embeddings will be from, and how it decides.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: GallerySettings,
        passphrase: Passphrase | None = None,
    ) -> None:
        """Keep what `GalleryFile.create` takes."""
        self.path = Path(path)
        self.settings = settings
        self._passphrase = passphrase

    def people(self) -> dict[str, int]:
        """See `GalleryFile.people`."""
        return {}

    def photos(self) -> list[StoredPhoto]:
        """See `GalleryFile.photos`."""
        return []

    def person_of(self, content: bytes) -> str | None:
        """See `GalleryFile.person_of`."""
        return None

    def index(self) -> FaceIndex:
        """See `GalleryFile.index`."""
        held = self.settings.embedder
        return FaceIndex(np.zeros((0, held.dimensions), np.float32), [], held.metric)

    def close(self) -> None:
        """There is no file to close."""

    def made(self) -> GalleryFile:
        """Make the file; see `GalleryFile.create`."""
        return GalleryFile.create(self.path, self.settings, self._passphrase)


def content_digest(content: bytes) -> bytes:
    """Return the 32 bytes that stand for a photo's file."""
    return hashlib.sha256(content).digest()


def _sealing_of(
    connection: sqlite3.Connection, path: Path, passphrase: Passphrase | None, optional: bool
) -> Sealing:
    row = connection.execute("SELECT uuid, derivation FROM gallery WHERE id = 1").fetchone()
    if row is None or len(row[0]) != UUID_BYTES:
        raise GalleryError("its first table is empty or was changed.")
    uuid, derivation = row
    if derivation is None:
        if passphrase is not None and not optional:
            fix = "Leave the passphrase out, or look where this file comes from."
            raise UsageError(broken_rule(str(path), "be an encrypted gallery", "a plain one", fix))
        return OpenValues()
    if passphrase is None:
        fix = "Give `passphrase`."
        raise UsageError(f"{path} is encrypted and needs its passphrase. {fix}")
    return known_sealing(passphrase(), uuid, KeyDerivation.from_text(derivation))


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before a `GalleryError` that has none."""
    try:
        yield
    except GalleryError as error:
        if str(error).startswith(str(path)):
            raise
        raise GalleryError(f"{path}: {error}") from error


def _renamed_place(place: str, name: str, new: str) -> str:
    """Return a photo's place with a person's new name where its folder had the old one."""
    folder, slash, rest = place.partition("/")
    return f"{new}/{rest}" if slash and normal_name(folder) == name else place


def _photo_context(number: int, person: int) -> list[bytes]:
    return [number.to_bytes(8, "big", signed=True), person.to_bytes(8, "big", signed=True)]


def _name_context(number: int, token: bytes) -> list[bytes]:
    return [b"name", number.to_bytes(8, "big", signed=True), token]


def _finite(vectors: np.ndarray) -> np.ndarray:
    if not np.isfinite(vectors).all():
        raise GalleryError(broken_rule("a vector", "hold finite numbers", "others"))
    return vectors
