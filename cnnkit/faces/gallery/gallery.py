"""A gallery with the embedder that fills it: who is in an image?"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

from cnnkit import pipeline
from cnnkit.argument_types import checks_types
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.embedding import DEFAULT_EMBEDDER, FaceEmbedder
from cnnkit.faces.gallery.audit import AuditFinding, audit
from cnnkit.faces.gallery.calibrating import Calibrated, adopted, calibrate
from cnnkit.faces.gallery.choosing import chosen_photos
from cnnkit.faces.gallery.decision import IdentifiedImage
from cnnkit.faces.gallery.describing import describe_people, readable_portraits
from cnnkit.faces.gallery.embedders import (
    detector_name,
    embedder_name,
    first_settings,
    record_of,
)
from cnnkit.faces.gallery.enrolment import EnrolmentPolicy, enrol, portraits_to_enrol
from cnnkit.faces.gallery.known import KnownFaces
from cnnkit.faces.gallery.records import DIGEST_BYTES, GallerySettings, NewPhoto, StoredPhoto
from cnnkit.faces.gallery.sealing import check_new_passphrase
from cnnkit.faces.gallery.search import FaceIndex
from cnnkit.faces.gallery.shared import SharedPeople
from cnnkit.faces.gallery.store import GalleryFile, NewGalleryFile
from cnnkit.faces.verifying import FaceChoice
from cnnkit.images import DEFAULT_MAX_PIXELS, ImageArgument, Inputs
from cnnkit.results import Failure
from cnnkit.runtime.loaded import Loaded


class Gallery(Loaded):
    """Says who is in an image. `Gallery.load` opens one, `Gallery.create` makes a new one.

    A gallery is one file of people and the embeddings of their photos; the photos themselves are
    not kept. It may be used as a context manager, which closes the file, and by several threads.

    Attributes:
        path: The file.
        embedder: Finds and embeds faces.
    """

    @checks_types
    def __init__(
        self,
        file: GalleryFile | NewGalleryFile,
        embedder: FaceEmbedder,
        *,
        faces: str = "all",
        threshold: float | None = None,
        margin: float | None = None,
    ) -> None:
        """Take an open file, or one to make with the first photo, and its embedder; see `load`."""
        self.path = file.path
        self.embedder = embedder
        self._choice = FaceChoice(faces)
        self._own = (threshold, margin)
        file.settings.deciding(threshold, margin)  # refuses what breaks a rule
        if isinstance(file, GalleryFile):
            file.check_embedder(record_of(embedder))
        self._people = SharedPeople(file)

    @classmethod
    @checks_types
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        passphrase: str | None = None,
        faces: str = "all",
        threshold: float | None = None,
        margin: float | None = None,
        detector: str | os.PathLike[str] | None = None,
        embedder: str | os.PathLike[str] | None = None,
        min_face: int = 40,
        min_score: float | None = None,
        mirror: bool = False,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Gallery:
        """Open a gallery and the embedder that filled it.

        Args:
            path: The gallery's file.
            passphrase: Passphrase of an encrypted gallery.
            faces: Which faces of an image are named: ``all``, the ``largest``, or ``one``: an
                image with several is a failure.
            threshold: The largest distance to a person; the gallery's own by default.
            margin: How much farther the second person must be; the gallery's own by default.
            detector: The model that found the faces of the gallery; only needed where it is not an
                embedded one.
            embedder: The model that the gallery was filled with; only needed where it is not an
                embedded one.
            min_face: The smallest side of a face in pixels.
            min_score: Minimum score of a face, 0 to 1; None: the detector's own.
            mirror: Whether the gallery was filled with mirrored faces too.
            device: ``auto``, ``cpu`` or ``gpu``.
            runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``int8`` (of the embedder);
                ``auto`` is float32 here.
            threads: Number of CPU threads; 0 uses all that are available.
            max_pixels: Largest number of pixels of an image to decode.

        Raises:
            UsageError: A value breaks its rule, there is no such file, or the passphrase is
                missing, or one too many.
            GalleryError: It is no gallery, damaged, of another embedder, or of another passphrase.
            BundleError: A model cannot be opened, or is unsafe to open.
            RuntimeUnavailableError: The requested device, runtime or precision is not available.
        """
        file = GalleryFile.open(path, _source(passphrase))
        try:
            loaded = FaceEmbedder.load(
                detector_name(file, detector),
                embedder_name(file, embedder),
                min_face=min_face,
                min_score=min_score,
                mirror=mirror,
                device=device,
                runtime=runtime,
                precision=precision,
                threads=threads,
                max_pixels=max_pixels,
            )
            return cls(file, loaded, faces=faces, threshold=threshold, margin=margin)
        except BaseException:  # whatever it is, nobody else could close it
            file.close()
            raise

    @classmethod
    @checks_types
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        passphrase: str | None = None,
        faces: str = "all",
        threshold: float | None = None,
        margin: float | None = None,
        detector: str | os.PathLike[str] | None = None,
        embedder: str | os.PathLike[str] = DEFAULT_EMBEDDER,
        min_face: int = 40,
        min_score: float | None = None,
        mirror: bool = False,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Gallery:
        """Begin a new gallery; its file is made with the first photo that is enrolled.

        Args:
            path: The new file.
            passphrase: Encrypts the gallery; at least 8 characters.
            faces: See `load`, as for all below.
            threshold: See there.
            margin: See there.
            detector: The model that finds faces; see `FaceEmbedder.load`.
            embedder: The model that describes faces.
            min_face: See `FaceEmbedder.load`.
            min_score: See `FaceEmbedder.load`.
            mirror: Average each embedding with that of the mirrored face.
            device: ``auto``, ``cpu`` or ``gpu``.
            runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``int8`` (of the embedder);
                ``auto`` is float32 here.
            threads: Number of CPU threads; 0 uses all that are available.
            max_pixels: Largest number of pixels of an image to decode.

        Raises:
            UsageError: There is such a file already, or a value breaks its rule.
            BundleError: A model cannot be opened, or is unsafe to open.
            RuntimeUnavailableError: The requested device, runtime or precision is not available.
        """
        if os.path.lexists(path):
            fix = "Open it with `Gallery.load`."
            raise UsageError(broken_rule("`path`", "name a new file", f"{path}, which exists", fix))
        if passphrase is not None:
            check_new_passphrase(passphrase)
        loaded = FaceEmbedder.load(
            detector,
            embedder,
            min_face=min_face,
            min_score=min_score,
            mirror=mirror,
            device=device,
            runtime=runtime,
            precision=precision,
            threads=threads,
            max_pixels=max_pixels,
        )
        file = NewGalleryFile(path, first_settings(loaded), _source(passphrase))
        return cls(file, loaded, faces=faces, threshold=threshold, margin=margin)

    @checks_types
    def deciding(
        self,
        *,
        faces: str | None = None,
        threshold: float | None = None,
        margin: float | None = None,
    ) -> Gallery:
        """Return this gallery with other rules, for recognizing only; the people are shared.

        Args:
            faces: See `load`; None leaves it as it is, as for all below.
            threshold: See there.
            margin: See there.

        Raises:
            UsageError: A value breaks its rule.
        """
        other = copy.copy(self)
        if faces is not None:
            other._choice = FaceChoice(faces)
        own = self._own
        other._own = (
            own[0] if threshold is None else threshold,
            own[1] if margin is None else margin,
        )
        self._file.settings.deciding(*other._own)  # refuses what breaks a rule
        return other

    def _summary(self) -> str:
        """Return the file, without the people in it, and the embedder."""
        return f"{self.path}, {self.embedder._summary()}"

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing it again does nothing.

        People are still recognized, unless they were changed since the last image.
        """
        self._file.close()

    # --- who is in an image ----------------------------------------------------------------

    # A path is an iterable of paths too, but the first signature that fits is taken.
    @overload
    def predict(self, images: ImageArgument) -> IdentifiedImage | Failure: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[ImageArgument]) -> list[IdentifiedImage | Failure]: ...

    def predict(
        self, images: ImageArgument | Iterable[ImageArgument]
    ) -> IdentifiedImage | Failure | list[IdentifiedImage | Failure]:
        """Name the faces of an image, or of several in batches.

        Args:
            images: One or more images: a path, a uint8 RGB array, a PIL image, or encoded bytes.

        Returns:
            The result of one image, a list of results in order for several. A result is an
            `IdentifiedImage`, perhaps without a face, or a `Failure` that says why there is none.
        """
        return pipeline.predictions(images, self.stream)

    @checks_types
    def stream(
        self, inputs: Inputs, workers: int | None = None
    ) -> Iterator[tuple[str, IdentifiedImage | Failure]]:
        """Name the faces of any number of images in bounded memory, in order.

        Args:
            inputs: One or more files, folders and glob patterns; what is named twice comes once.
            workers: Threads that read and embed; by default one more than `threads`.

        Yields:
            The path and the result of each image.

        Raises:
            UsageError: An argument is invalid.
        """
        yield from self.known().stream(self.embedder, inputs, workers)

    def known(self) -> KnownFaces:
        """Return what names faces, as the gallery is now."""
        return KnownFaces(self.index, self.settings, self._choice)

    @property
    def settings(self) -> GallerySettings:
        """How it decides: what was requested in place of the gallery's own."""
        return self._file.settings.deciding(*self._own)

    @property
    def encrypted(self) -> bool:
        """Whether its file is encrypted with a passphrase."""
        return isinstance(self._file, GalleryFile) and self._file.sealed

    @property
    def choice(self) -> FaceChoice:
        """Which faces of an image are named."""
        return self._choice

    @property
    def index(self) -> FaceIndex:
        """The embeddings in memory, as they were when the gallery was last read or changed."""
        return self._people.index()

    # --- who is enrolled -------------------------------------------------------------------

    def people(self) -> dict[str, int]:
        """Return the number of photos of each person, sorted by name."""
        return self._file.people()

    def photos(self) -> list[StoredPhoto]:
        """Return every enrolled photo: its number, person, embedding and place."""
        return self._file.photos()

    @checks_types
    def person_of(self, content: bytes) -> str | None:
        """Return the person that a photo is enrolled as, or None.

        Args:
            content: The SHA-256 of the photo's file, 32 bytes.

        Raises:
            UsageError: It is no SHA-256, such as the file itself, or the gallery is closed.
        """
        if len(content) != DIGEST_BYTES:
            fix = "Give hashlib.sha256(FILE).digest()."
            rule, received = f"be a SHA-256, {DIGEST_BYTES} bytes", f"{len(content)} bytes"
            raise UsageError(broken_rule("`content`", rule, received, fix))
        return self._file.person_of(content)

    @checks_types
    def add(self, photos: Sequence[NewPhoto], *, move: bool = False) -> list[str]:
        """Enroll described photos: all of them in one step, or none; see `GalleryFile.add`."""
        with self._people.changed() as file:
            return file.add(photos, move=move)

    @checks_types
    def enroll(
        self,
        inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        name: str | None = None,
        faces: str = "one",
        paths: bool = True,
        move: bool = False,
        workers: int | None = None,
        emit: Callable[[dict[str, Any]], None] | None = None,
    ) -> Counter[str]:
        """Enroll photos of people. What is enrolled already, by content, is not looked at again.

        Args:
            inputs: A folder with one folder for each person, or several; with `name`, photos,
                patterns and a folder of that person.
            name: All photos are of this person.
            faces: Where a photo has several faces: ``one`` refuses it, ``largest`` takes the
                largest.
            paths: Whether the gallery keeps the names of the files.
            move: Whether photos that are enrolled as somebody else change to this person.
            workers: Threads that read, find and describe.
            emit: Gets a row for each photo, a dictionary.

        Returns:
            How many photos were ``added``, ``known``, ``moved`` and ``failed``.

        Raises:
            UsageError: A value breaks its rule, or there are no photos of people.
            GalleryError: The gallery is damaged, or was in use for too long.
            OutputError: The file cannot be written.
        """
        portraits = portraits_to_enrol(inputs, name)
        choice = FaceChoice(faces, of_one_person=True)
        policy = EnrolmentPolicy(choice, self.embedder.min_face, paths=paths, move=move)
        return enrol(self, self.embedder, portraits, policy, workers=workers, emit=emit)

    @checks_types
    def forget(self, names: str | Sequence[str]) -> dict[str, int]:
        """Remove people, and every trace of them from the file.

        Args:
            names: One person or several.

        Returns:
            The number of photos that each had.

        Raises:
            UsageError: A name is not in the gallery; then no one is removed.
        """
        with self._people.changed() as file:
            return file.forget([names] if isinstance(names, str) else names)

    @checks_types
    def forget_photos(
        self, photos: str | Sequence[str], names: str | Sequence[str] = ()
    ) -> list[StoredPhoto]:
        """Remove single photos; a person whose last photo goes is forgotten too.

        Args:
            photos: Each a photo's place or number in the gallery, or the file itself.
            names: Whose photos are meant; everybody's by default.

        Returns:
            The photos that were removed.

        Raises:
            UsageError: One is not in the gallery, or several have this place; nothing is removed.
        """
        wanted, people = ([x] if isinstance(x, str) else x for x in (photos, names))
        with self._people.changed() as file:
            chosen = chosen_photos(file, wanted, people)
            file.forget_photos([photo.number for photo in chosen])
        return chosen

    @checks_types
    def rename(self, name: str, new: str, *, merge: bool = False) -> int:
        """Give a person another name, and remove every byte of the old one.

        Args:
            name: The person.
            new: The new name.
            merge: Merge with a person who already has the new name.

        Returns:
            The number of photos that the person with the new name has.

        Raises:
            UsageError: The name is unknown, or the new name is taken or invalid.
        """
        with self._people.changed() as file:
            return file.rename(name, new, merge=merge)

    @property
    def _file(self) -> GalleryFile | NewGalleryFile:
        return self._people.file

    # --- how well it tells people apart ----------------------------------------------------

    @checks_types
    def calibrate(
        self,
        data: str | os.PathLike[str],
        far: float = 0.001,
        *,
        faces: str = "one",
        dry_run: bool = False,
        workers: int | None = None,
    ) -> Calibrated:
        """Find the threshold for a false-accept rate on photos of people, and keep it.

        Args:
            data: A folder with one folder for each person, at best other photos than those
                enrolled.
            far: The share of pairs of two people that may be taken for one person.
            faces: Where a photo has several faces: ``one`` leaves it out, ``largest`` takes the
                largest.
            dry_run: Leave the gallery as it is.
            workers: Threads that read, find and describe.

        Returns:
            The threshold and what it rests on. Where there are too few pairs for the rate, it is
            not ``enough``, and nothing is kept.

        Raises:
            UsageError: The rate breaks its rule, or there are no photos of people.
        """
        policy = FaceChoice(faces, of_one_person=True)
        vectors, labels = describe_people(
            self.embedder,
            readable_portraits(os.fspath(data)),
            policy,
            self.embedder.min_face,
            workers=workers,
        )
        found = calibrate(vectors, labels, self.settings.embedder.metric, far)
        if found.enough and not dry_run:
            with self._people.changed() as file:
                file.save_settings(adopted(file.settings, found))
        return found

    def audit(self) -> list[AuditFinding]:
        """Return what looks wrong: mislabeled photos, outliers, people too much alike, copies."""
        return audit(self.photos(), self.settings)


def _source(passphrase: str | None) -> Callable[[], bytes] | None:
    """Return what gives a passphrase when it is needed."""
    return None if passphrase is None else passphrase.encode
