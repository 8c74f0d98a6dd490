"""Detectors: a compiled model that finds objects in images."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import overload

import numpy as np

from cnnkit import boxes, pipeline
from cnnkit.argument_types import checks_types
from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.bundles.tasks import require_task
from cnnkit.detection.candidates import Candidates, strongest
from cnnkit.detection.decoders import decoded, make_decoder
from cnnkit.detection.selection import Selection
from cnnkit.detection.tiling import MERGE_OVERLAP, Tiles, merged, tile_windows
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import (
    DEFAULT_MAX_PIXELS,
    Found,
    ImageArgument,
    Inputs,
    InputSpec,
    Placement,
    Prepared,
    find_images,
    image_pixels,
    prepare_placed,
)
from cnnkit.images.attempts import attempt
from cnnkit.images.prepare import FITS
from cnnkit.isolation.file_readers import FileReaders
from cnnkit.results import NOT_FINITE, Detections, Failure
from cnnkit.runtime import Predictor, RuntimeOptions, predictor
from cnnkit.runtime.loaded import Loaded

DEFAULT_MODEL = "nanodet-g"
# Of one image, before suppression: at the confidence of an evaluation NanoDet has 20,000 more,
# which cost minutes and count for nothing.
MOST_CANDIDATES = 3000
DETECTING_FITS = tuple(fit for fit in FITS if fit != "crop")


class Detector(Loaded):
    """Detects objects in images. Create one with `Detector.load`.

    Attributes:
        bundle: The model.
        spec: Preprocessing of the network's input.
        predictor: The compiled model.
        least: Minimum score of each class, float64 (classes,).
        iou: IoU threshold of non-maximum suppression.
        max_pixels: Largest number of pixels of an image to decode.
    """

    @checks_types
    def __init__(
        self,
        bundle: Bundle,
        compiled: Predictor,
        spec: InputSpec,
        selection: Selection | None = None,
        tile: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        workers: int | None = None,
    ) -> None:
        selection = selection or Selection()
        section = detector_spec(bundle.card)
        self.bundle = bundle
        self.predictor = compiled
        self.spec = spec
        self.least = selection.least_scores(bundle.labels, section)
        self.iou = section.iou if selection.iou is None else selection.iou
        self._groups = selection.groups(bundle.labels)
        self._decoder = make_decoder(section, bundle.card)
        asked = selection.iou is not None or selection.agnostic is not None
        self._suppresses = asked or not self._decoder.end_to_end
        self._tile = tile
        self.max_pixels = max_pixels
        self._workers = workers or RuntimeOptions().workers
        self._only: int | None = None

    @checks_types
    def of_class(self, index: int) -> Detector:
        """Return a detector with the same network that gives the objects of one class alone.

        They are those that this one gives, unless classes suppress each other here. With a low
        minimum score, suppressing the boxes of all classes takes most of the time beside the
        network.

        Args:
            index: The class's number.

        Raises:
            UsageError: It is none of a class.
        """
        last = len(self.bundle.labels) - 1
        if not 0 <= index <= last:
            raise UsageError(broken_rule("`index`", f"lie between 0 and {last}", index))
        made = copy.copy(self)
        made._only = index
        return made

    @classmethod
    @checks_types
    def load(
        cls,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        weights: str | os.PathLike[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
        confidence: float | Mapping[str, float] | None = None,
        iou: float | None = None,
        classes: str | Sequence[str] = (),
        agnostic: bool | Sequence[Sequence[str]] = False,
        tile: int | None = None,
        fit: str | None = None,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        batch_size: int | None = None,
        expected: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Detector:
        """Open and compile a model.

        Args:
            model: An embedded name, a bundle folder, a Darknet ``.cfg`` file, an ONNX, TFLite,
                or OpenVINO ``.xml`` file, or a SavedModel folder.
            weights: The ``.weights`` file that belongs to a ``.cfg`` file.
            labels: A file with one label per line, for a model without labels.
            confidence: Minimum score, for all classes or by class name. In a mapping, the empty
                name stands for all other classes.
            iou: IoU threshold of non-maximum suppression.
            classes: Name of the class to keep, or several; all if empty.
            agnostic: True suppresses overlapping boxes regardless of class; or groups of classes
                within which boxes suppress each other.
            tile: Side of overlapping tiles, in pixels of the image, to search in addition to
                the whole image; 0 uses the network's input size; None searches the whole only.
            fit: ``pad`` or ``stretch``; the model's default if None.
            device: ``auto``, ``cpu`` or ``gpu``.
            runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
            threads: Number of CPU threads; 0 uses all that are available.
            batch_size: Images per batch; chosen for the runtime by default.
            expected: Expected number of images, if known.
            max_pixels: Largest number of pixels of an image to decode.

        Raises:
            UsageError: An argument is invalid.
            BundleError: The model cannot be opened, or is unsafe to open.
            RuntimeUnavailableError: The requested device, runtime or precision is not available.
        """
        selection = Selection.of(confidence, iou, classes, agnostic)
        return cls.from_bundle(
            open_model(model, weights, labels),
            selection,
            tile=tile,
            fit=fit,
            options=RuntimeOptions(device, runtime, precision, threads),
            batch_size=batch_size,
            expected=expected,
            max_pixels=max_pixels,
        )

    @classmethod
    @checks_types
    def from_bundle(
        cls,
        bundle: Bundle,
        selection: Selection | None = None,
        *,
        tile: int | None = None,
        fit: str | None = None,
        options: RuntimeOptions | None = None,
        batch_size: int | None = None,
        expected: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Detector:
        """Compile an opened model; see `load`."""
        options = options or RuntimeOptions()
        require_task(bundle, "detect")
        spec = bundle.card.input.with_fit(fit, DETECTING_FITS, "A crop would lose objects.")
        if tile is not None and tile != 0 and tile < 32:
            raise UsageError(broken_rule("`tile`", "be at least 32 pixels", tile))
        # Checked before the model is compiled, which takes seconds.
        checked = cls(
            bundle,
            None,  # type: ignore[arg-type]
            spec,
            selection,
            tile,
            max_pixels,
            options.workers,
        )
        expected = None if tile is not None else expected
        checked.predictor = predictor(
            bundle.source(), options, batch_size=batch_size, expected=expected
        )
        return checked

    # A path is an iterable of paths too, but the first signature that fits is taken.
    @overload
    def predict(self, images: ImageArgument) -> Detections | Failure: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[ImageArgument]) -> list[Detections | Failure]: ...

    def predict(
        self, images: ImageArgument | Iterable[ImageArgument]
    ) -> Detections | Failure | list[Detections | Failure]:
        """Detect objects in an image, or in several in batches.

        Args:
            images: One or more images: a path, a uint8 RGB array, a PIL image, or encoded bytes.

        Returns:
            The result of one image, a list of results in order for several. A result is
            `Detections`, possibly empty, or a `Failure` with the reason.
        """
        return pipeline.predictions(images, self.stream)

    @checks_types
    def stream(
        self, inputs: Inputs, workers: int | None = None
    ) -> Iterator[tuple[str, Detections | Failure]]:
        """Detect objects in any number of images in order, with bounded memory.

        Args:
            inputs: One or more files, folders and glob patterns; what is named twice comes once.
            workers: Threads that read and predict; by default one more than `threads`.

        Yields:
            The path and the result of each image.

        Raises:
            UsageError: An argument is invalid.
        """

        def task(batch: list[Found]) -> list[tuple[str, Detections | Failure]]:
            """Find the objects in some images; those that cannot be read take no part."""
            paths = [item.path for item in batch if not item.failure]
            results = iter(self._detect(paths, readers))
            return [(item.path, item.failure or next(results)) for item in batch]

        # Tiles of one image fill the batches by themselves.
        batch_size = 1 if self._tile is not None else self.predictor.batch_size
        found, workers = find_images(inputs), workers or self._workers
        with closing(FileReaders(self.spec, self.max_pixels, workers)) as readers:
            yield from pipeline.in_order(found, task, readers.sizes(batch_size), workers)

    @checks_types
    def find_weaker(self, share: float) -> np.ndarray:
        """Also find objects whose score is that share of the least wanted one, for a tracker.

        Args:
            share: Factor of the minimum scores, 0 to 1.

        Returns:
            The least wanted score of each class, float64 (classes,).

        Raises:
            UsageError: It is no number.
        """
        wanted = self.least
        self.least = wanted * share
        return wanted

    @property
    def tiles(self) -> bool:
        """Whether images are also searched in tiles."""
        return self._tile is not None

    # --- one batch -----------------------------------------------------------------------

    def _detect(
        self, images: Sequence[ImageArgument], readers: FileReaders
    ) -> list[Detections | Failure]:
        if self._tile is not None:
            return [attempt(image, self._detect_tiled) for image in images]
        prepared = readers.many(images)
        sound = [one for one in prepared if not isinstance(one, Failure)]
        candidates = iter(self._candidates(sound))
        return [
            one if isinstance(one, Failure) else self._result(next(candidates), one)
            for one in prepared
        ]

    def _prepare(self, image: ImageArgument) -> Prepared:
        return prepare_placed(image, self.spec, max_pixels=self.max_pixels)

    def _candidates(self, prepared: Sequence[Prepared]) -> list[Candidates | Failure]:
        """Run the network; give the candidates of each image in the image's own pixels.

        NaN is above no threshold: a network that gives nothing else seems to find nothing.
        """
        if not prepared:
            return []
        outputs = self.predictor.predict(np.stack([one.pixels for one in prepared]))
        found: list[Candidates | Failure] = []
        several = decoded(self._decoder, outputs, self.least)
        for position, (one, candidates) in enumerate(zip(prepared, several, strict=True)):
            raw = strongest(candidates, MOST_CANDIDATES)
            own = (values[position] for values in outputs.values())
            if not len(raw.scores) and not _has_numbers(own):
                found.append(Failure("failed", NOT_FINITE))
                continue
            found.append(raw._replace(boxes=mapping_of(one).to_image(raw.boxes)))
        return found

    def _result(self, candidates: Candidates | Failure, image: Prepared) -> Detections | Failure:
        if isinstance(candidates, Failure):
            return candidates
        kept = self._suppressed(candidates)
        return self._detections(kept, image.height, image.width)

    def _suppressed(self, candidates: Candidates) -> Candidates:
        """Return what stays, best first; of an end-to-end network all, unless asked for."""
        if self._only is not None:
            some = candidates.classes == self._only
            candidates = Candidates(*(values[some] for values in candidates))
        if not self._suppresses:
            order = np.argsort(-candidates.scores, kind="stable")
            return Candidates(*(values[order] for values in candidates))
        groups = self._groups[candidates.classes]
        kept = boxes.nms(candidates.boxes, candidates.scores, self.iou, groups)
        return Candidates(*(values[kept] for values in candidates))

    def _detections(self, found: Candidates, height: int, width: int) -> Detections:
        """Cut at the image's borders; what lies outside is omitted."""
        inside = boxes.clip(found.boxes, height, width)
        some = boxes.area(inside) > 0
        classes = found.classes[some]
        labels = tuple(self.bundle.labels[index] for index in classes.tolist())
        return Detections(width, height, inside[some], found.scores[some], classes, labels)

    def _detect_tiled(self, image: ImageArgument) -> Detections | Failure:
        """Look at the whole image and at overlapping tiles of it."""
        pixels = image_pixels(image, max_pixels=self.max_pixels)
        whole = self._prepare(pixels)
        height, width = whole.height, whole.width
        side = self._tile or max(self.spec.height, self.spec.width)
        windows = tile_windows(height, width, side)
        (first,) = self._candidates([whole])
        if isinstance(first, Failure):
            return first
        parts = [self._suppressed(first)]
        cut = [np.zeros(len(parts[0].scores), bool)]
        step = self.predictor.batch_size
        for start in range(0, len(windows), step):
            some = windows[start : start + step]
            views = [self._prepare(pixels[w.top : w.bottom, w.left : w.right]) for w in some]
            for window, raw in zip(some, self._candidates(views), strict=True):
                if isinstance(raw, Failure):
                    return raw
                found = self._suppressed(raw)
                cut.append(window.cuts(found.boxes, height, width))
                moved = found.boxes + np.array([window.left, window.top] * 2)
                parts.append(found._replace(boxes=moved))
        joined = Candidates(*(np.concatenate(values) for values in zip(*parts, strict=True)))
        tiles = Tiles(joined, np.concatenate(cut), self._groups[joined.classes])
        return self._detections(merged(tiles, self.iou, MERGE_OVERLAP), height, width)


def _has_numbers(outputs: Iterable[np.ndarray]) -> bool:
    """Return whether no output of an image is NaN throughout."""
    return not any(values.size and np.isnan(values).all() for values in outputs)


def mapping_of(prepared: Prepared) -> boxes.Letterbox:
    """Return how a prepared image's own pixels map to the network's input."""
    placement: Placement = prepared.placement
    window = placement.window
    return boxes.Letterbox(
        scale_x=window.full[1] / prepared.width,
        scale_y=window.full[0] / prepared.height,
        left=placement.left - window.left,
        top=placement.top - window.top,
    )
