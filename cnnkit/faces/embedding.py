"""Face embedders: detection, alignment and embedding in one step."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np

from cnnkit import pipeline
from cnnkit.argument_types import checks_types
from cnnkit.bundles import Bundle, embedded_names, open_model
from cnnkit.bundles.tasks import require_task
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces.alignment import chips
from cnnkit.faces.cascade import OUTPUT_THRESHOLD
from cnnkit.faces.detection import FaceDetector
from cnnkit.faces.searching import Search
from cnnkit.faces.thresholds import Verification
from cnnkit.faces.turning import find_in_any_orientation
from cnnkit.faces.whole_images import WholeImages
from cnnkit.images import (
    DEFAULT_MAX_PIXELS,
    ImageArgument,
    Inputs,
    InputSpec,
    find_images,
    image_pixels,
    prepare,
)
from cnnkit.results import ComparedByValue, Face, Failure
from cnnkit.runtime import RuntimeOptions, predictor
from cnnkit.runtime.loaded import Loaded

DEFAULT_DETECTOR = "yunet"
# What found every face before there was a choice.
FIRST_DETECTOR = "mtcnn"
DEFAULT_EMBEDDER = "dlib-face"
BATCH = 4


@dataclass(frozen=True, eq=False)
class ImageFaces(ComparedByValue):
    """The faces of one image with their embeddings.

    Attributes:
        height: Height of the upright image in pixels.
        width: Width of the upright image in pixels.
        faces: The faces, largest first.
        embeddings: Embeddings, float32 (faces, n).
    """

    height: int
    width: int
    faces: tuple[Face, ...]
    embeddings: np.ndarray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the faces as they appear in an output row, without the embeddings."""
        faces = [face.to_dict() for face in self.faces]
        return {"width": self.width, "height": self.height, "faces": faces}


class FaceEmbedder(Loaded):
    """Finds faces in images and computes their embeddings. Create one with `FaceEmbedder.load`.

    Attributes:
        detector: The face detector.
        bundle: The bundle of the embedder.
        verification: Threshold and probabilities of the embedder.
        identity: Identifies everything that embeddings depend on. Embeddings of different
            identities must never be compared.
        mirror: Whether embeddings are averaged with those of the mirrored face.
        predictor: The compiled embedder.
    """

    @checks_types
    def __init__(
        self,
        detector: FaceDetector | WholeImages,
        bundle: Bundle,
        *,
        options: RuntimeOptions | None = None,
        mirror: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        expected: int | None = None,
    ) -> None:
        """Compile an embedder; see `load`.

        Raises:
            UsageError: The bundle is for another task.
            BundleError: Its card has no verification section.
        """
        require_task(bundle, "embed-face", "`embedder`")
        self.detector = detector
        self.bundle = bundle
        self.verification = Verification.of_card(bundle.card)
        self.mirror = mirror
        self._max_pixels = max_pixels
        self._workers = (options or RuntimeOptions()).workers
        spec = bundle.card.input
        self._spec = InputSpec(spec.height, spec.width, "stretch", 1.0, "bilinear")
        source = bundle.source(input_shape=(spec.height, spec.width, 3))
        self.predictor = predictor(source, in_float32(options), batch_size=BATCH, expected=expected)

    @classmethod
    @checks_types
    def load(
        cls,
        detector: str | os.PathLike[str] | None = None,
        embedder: str | os.PathLike[str] = DEFAULT_EMBEDDER,
        *,
        min_face: int = 40,
        min_score: float | None = None,
        mirror: bool = False,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        expected: int | None = None,
    ) -> FaceEmbedder:
        """Open and compile a detector and an embedder.

        Args:
            detector: A model for ``find-face``: an embedded name or a bundle folder. None: the
                one that the embedder was made for.
            embedder: A model for ``embed-face``.
            min_face: Smallest face side in pixels. Halving it takes four times as long.
            min_score: Minimum score of a face, 0 to 1; None: the detector's own.
            mirror: Average each embedding with that of the mirrored face: slightly more stable, at
                twice the cost.
            device: ``auto``, ``cpu`` or ``gpu``.
            runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
            precision: ``auto``, ``float32``, ``bfloat16``, or ``int8``, in which the detector
                still computes in float32. ``auto`` is float32 here, because
                embeddings are stored and compared across machines.
            threads: Number of CPU threads; 0 uses all that are available.
            max_pixels: Largest number of pixels of an image to decode.
            expected: Expected number of faces, if known.

        Raises:
            UsageError: An argument is invalid.
            BundleError: A model cannot be opened, or is unsafe to open.
            RuntimeUnavailableError: The requested device, runtime or precision is not available.
        """
        search = Search(min_face, min_score)
        options = RuntimeOptions(device, runtime, precision, threads)
        bundle = open_model(embedder, parameter="embedder")
        found: FaceDetector | WholeImages = WholeImages()
        if not _takes_whole_images(bundle):
            finder = open_model(detector or detector_of(bundle), parameter="detector")
            found = FaceDetector(finder, search, detector_options(options))
        return cls(
            found,
            bundle,
            options=options,
            mirror=mirror,
            max_pixels=max_pixels,
            expected=expected,
        )

    @property
    def alignment(self) -> str:
        """Name and version of the alignment that turns a face into the embedder's input."""
        return self.detector.alignment

    @property
    def identity(self) -> str:
        """Identifies the embedder's weights, the alignment, mirroring, and the detector's weights.

        The detector matters because its landmarks determine the alignment.
        """
        parts = [self.bundle.card.name, _weights_hash(self.bundle), self.alignment]
        if isinstance(self.detector, FaceDetector):
            found = self.detector.bundle
            parts.append(f"{found.card.name}:{_weights_hash(found)}")
        return " ".join(parts + ["mirror"] * self.mirror)

    @property
    def min_face(self) -> int:
        """Smallest face side to search for, in pixels; 1 if whole images are used as faces."""
        return self.detector.search.min_face if isinstance(self.detector, FaceDetector) else 1

    @property
    def max_pixels(self) -> int:
        """Largest number of pixels of an image to decode."""
        return self._max_pixels

    @property
    def min_score(self) -> float:
        """Minimum score of a face, 0 to 1; it does not count if whole images are used as faces."""
        found = self.detector
        score = found.search.min_score if isinstance(found, FaceDetector) else None
        return OUTPUT_THRESHOLD if score is None else score

    @property
    def size(self) -> int:
        """Number of dimensions of an embedding."""
        blank = np.zeros((1, self._spec.height, self._spec.width, 3), np.uint8)
        return int(self._predict(blank).shape[1])

    def find(self, image: ImageArgument) -> list[Face]:
        """Return the faces in an image, largest first.

        If no upright face is found, the image is also searched in its other orientations; see
        `Face.turned`.

        Args:
            image: See `cnnkit.images.ImageArgument`.

        Raises:
            ImageError: It is not an image, or cannot be read.
        """
        return find_in_any_orientation(self.detector, [self.read(image)])[0]

    @checks_types
    def embed(self, image: ImageArgument, faces: Sequence[Face]) -> np.ndarray:
        """Compute the embeddings of faces in an image.

        Args:
            image: The image that the faces were found in; see `cnnkit.images.ImageArgument`.
            faces: Faces returned by `find`.

        Returns:
            float32 (faces, n). The smaller the Euclidean distance, the more similar two faces are.

        Raises:
            UsageError: `faces` are no faces, or lie outside the image.
            ImageError: It is not an image, or cannot be read.
        """
        return self.embed_chips(self.cut(self.read(image), faces))

    @checks_types
    def cut(self, image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
        """Cut faces out of an image and align them.

        Args:
            image: The image that they were found in, uint8 RGB (height, width, 3), from `read`.
            faces: Faces returned by `find`.

        Returns:
            The embedder's input, uint8 (faces, height, width, 3).

        Raises:
            UsageError: An argument is of another type, or a face lies outside the image.
        """
        _check_pixels("image", image, (None, None, 3))
        _check_within(image, faces)
        return self._cut(image, faces)

    def _cut(self, image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
        size = (self._spec.height, self._spec.width)
        aligned: Iterable[np.ndarray] = [image] * len(faces)
        if isinstance(self.detector, FaceDetector):
            cut = chips(image, list(faces))
            if cut.shape[1:3] == size:
                return cut
            aligned = cut
        resized = [prepare(one, self._spec) for one in aligned]
        return np.stack(resized) if resized else np.zeros((0, *size, 3), np.uint8)

    @checks_types
    def embed_chips(self, aligned: np.ndarray) -> np.ndarray:
        """Compute the embeddings of aligned faces.

        Args:
            aligned: Faces from `cut`, uint8 (faces, height, width, 3).

        Returns:
            float32 (faces, n).

        Raises:
            UsageError: It is no such array.
        """
        _check_pixels("aligned", aligned, (None, self._spec.height, self._spec.width, 3))
        if not len(aligned):
            return np.zeros((0, self.size), np.float32)
        embeddings = self._predict(aligned)
        if self.mirror:
            embeddings = (embeddings + self._predict(aligned[:, :, ::-1])) / 2
        return embeddings

    def _predict(self, aligned: np.ndarray) -> np.ndarray:
        outputs = self.predictor.predict(aligned)
        return next(iter(outputs.values()))

    def read(self, image: ImageArgument) -> np.ndarray:
        """Read an image as upright RGB, uint8 (height, width, 3).

        Raises:
            ImageError: It is not an image, or cannot be read.
        """
        return image_pixels(image, max_pixels=self._max_pixels)

    # A path is an iterable of paths too, but the first signature that fits is taken.
    @overload
    def predict(self, images: ImageArgument) -> ImageFaces | Failure: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[ImageArgument]) -> list[ImageFaces | Failure]: ...

    def predict(
        self, images: ImageArgument | Iterable[ImageArgument]
    ) -> ImageFaces | Failure | list[ImageFaces | Failure]:
        """Find and embed the faces of an image, or of several in batches.

        Args:
            images: One or more images: a path, a uint8 RGB array, a PIL image, or encoded bytes.

        Returns:
            The result of one image, a list of results in order for several. A result is
            `ImageFaces`, possibly without any, or a `Failure` with the reason.
        """
        return pipeline.predictions(images, self.stream)

    def _described(self, images: Sequence[np.ndarray]) -> list[ImageFaces]:
        """Find and embed the faces of images, uint8 (height, width, 3) each."""
        found = find_in_any_orientation(self.detector, images)
        cut = [self._cut(image, faces) for image, faces in zip(images, found, strict=True)]
        embeddings = self.embed_chips(np.concatenate(cut)) if cut else None
        borders = np.cumsum([len(own) for own in cut])[:-1]
        parts = np.split(embeddings, borders) if embeddings is not None else []
        return [
            ImageFaces(image.shape[0], image.shape[1], tuple(faces), own)
            for image, faces, own in zip(images, found, parts, strict=True)
        ]

    @checks_types
    def stream(
        self, inputs: Inputs, workers: int | None = None
    ) -> Iterator[tuple[str, ImageFaces | Failure]]:
        """Find and embed the faces of any number of images in order, with bounded memory.

        Args:
            inputs: One or more files, folders and glob patterns; what is named twice comes once.
            workers: Threads that read and embed; by default one more than `threads`.

        Yields:
            The path of each image, and its faces or a `Failure`. An image without a
            face is not a failure.

        Raises:
            UsageError: An argument is invalid.
        """
        found, workers = find_images(inputs), workers or self._workers
        yield from pipeline.stream_many(found, self.read, self._described, BATCH, workers)


def detector_of(bundle: Bundle) -> str:
    """Return the name of the detector that an embedder's aligned faces are found with by default.

    A trained embedder keeps the one that its training photos were cut with: its card names it, or
    is older than the choice.
    """
    entry = bundle.card.content.get("verification")
    named = entry.get("detector") if isinstance(entry, dict) else None
    if named in embedded_names():
        return str(named)
    return FIRST_DETECTOR if bundle.card.content.get("training") else DEFAULT_DETECTOR


def faces_for(bundle: Bundle, options: RuntimeOptions) -> FaceDetector | WholeImages:
    """Return what gives an embedder the faces that it was made for: found ones, or whole images.

    Raises:
        BundleError: The detector cannot be opened.
    """
    if _takes_whole_images(bundle):
        return WholeImages()
    return FaceDetector(open_model(detector_of(bundle)), None, detector_options(options))


def in_float32(options: RuntimeOptions | None) -> RuntimeOptions:
    """Return the options with precision ``auto`` replaced by float32."""
    options = options or RuntimeOptions()
    return replace(options, precision="float32") if options.precision == "auto" else options


def detector_options(options: RuntimeOptions) -> RuntimeOptions:
    """Return the options of a face detector: in int8 it moves landmarks, for little time."""
    options = in_float32(options)
    return replace(options, precision="float32") if options.precision == "int8" else options


def _check_pixels(name: str, pixels: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """Refuse an array of another dtype or shape, where None stands for any number.

    Raises:
        UsageError: It is one.
    """
    fits = len(pixels.shape) == len(shape) and all(
        wanted in (None, side) for wanted, side in zip(shape, pixels.shape, strict=True)
    )
    if not fits or pixels.dtype != np.uint8:
        rule = f"be uint8 ({', '.join('n' if n is None else str(n) for n in shape)})"
        received = f"{pixels.dtype} ({', '.join(map(str, pixels.shape))})"
        raise UsageError(broken_rule(f"`{name}`", rule, received))


def _check_within(image: np.ndarray, faces: Sequence[Face]) -> None:
    """Refuse faces that can only have been found in another image.

    Raises:
        UsageError: One has no point of this image.
    """
    height, width = image.shape[:2]
    for face in faces:
        left, top, right, bottom = face.xyxy
        if left >= width or top >= height or right <= 0 or bottom <= 0:
            place = ", ".join(f"{side:.0f}" for side in face.xyxy)
            received = f"a face at {place} and an image of {width} x {height} pixels"
            raise UsageError(broken_rule("`faces`", "be found in this image", received))


def _takes_whole_images(bundle: Bundle) -> bool:
    entry = bundle.card.content.get("verification")
    return isinstance(entry, dict) and entry.get("alignment") == "none"


def _weights_hash(bundle: Bundle) -> str:
    """Return the start of the hash of a bundle's weights, 64 bits."""
    return bundle.weights_hash[:16]
