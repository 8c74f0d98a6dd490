"""Explainers: which regions of an image drive a prediction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

import numpy as np

from cnnkit import pipeline
from cnnkit.argument_types import checks_types
from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.tasks import require_task
from cnnkit.errors import UsageError, broken_rule, mutually_exclusive, requires
from cnnkit.explanation.heat import (
    BOX_SHARE,
    TARGET_COLOR,
    Region,
    box_around,
    clipped,
    on_image,
    overlay,
    pixel_box,
    with_box,
)
from cnnkit.explanation.methods import check_method, method_predictor
from cnnkit.explanation.sliding import SCALE, SlidingMethod
from cnnkit.explanation.target import Target
from cnnkit.images import (
    DEFAULT_MAX_PIXELS,
    Found,
    ImageArgument,
    Inputs,
    find_images,
    image_pixels,
)
from cnnkit.images.arguments import opened_image
from cnnkit.images.decode import DecodedImage
from cnnkit.images.prepare import check_fit, decoded_size, kept_size, prepare_and_keep
from cnnkit.results import NOT_FINITE, ComparedByValue, Failure
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.loaded import Loaded

DEFAULT_MODEL = "efficientnet-lite0"


@dataclass(frozen=True, eq=False)
class Explanation(ComparedByValue):
    """The explanation of one image: the regions that drive the prediction.

    Attributes:
        class_id: Index of the explained class in the model's labels, from 0.
        label: Name of the explained class.
        score: Probability of the class, 0 to 1; for ``sliding``, that of the best window.
        predicted: Name of the predicted class.
        heat: Heat map, float32 (rows, columns), unscaled: contribution of each region to the score.
        region: The rectangle of the image that `heat` covers with equal cells: left, top,
            right, bottom in pixels of the upright image. May extend beyond the image.
        xyxy: Box around the hottest region in whole pixels: left, top, right, bottom (exclusive).
            For ``sliding``, the best window. None if there is no heat.
        height: Height of the upright image.
        width: Width of the upright image.
        seen: The rectangle of the image that the network saw, in pixels of the image.
        target: The detected object or the face that the score is about: left, top, right,
            bottom in whole pixels. None for the whole image.
    """

    class_id: int
    label: str
    score: float
    predicted: str
    heat: np.ndarray = field(repr=False)
    region: Region
    xyxy: tuple[int, int, int, int] | None
    height: int
    width: int
    seen: Region
    target: tuple[int, int, int, int] | None = None

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Left, top, width, height of the box in whole pixels, as in an output row."""
        if self.xyxy is None:
            return None
        left, top, right, bottom = self.xyxy
        return left, top, right - left, bottom - top

    @property
    def xywh(self) -> tuple[int, int, int, int] | None:
        """The same as `box`."""
        return self.box

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as it appears in an output row, without the heat map."""
        about = {} if self.target is None else {"target": _sides(self.target)}
        return about | {
            "label": self.label,
            "score": round(min(1.0, max(0.0, self.score)), 6),
            "class_id": self.class_id,
            "predicted": self.predicted,
            "box": None if self.box is None else list(self.box),
            "region": [round(float(side), 2) for side in _sides(self.region)],
        }

    def over(self, image: ImageArgument, box: bool = True) -> np.ndarray:
        """Draw the heat map, and optionally the box, over an image.

        Args:
            image: The image at any scale, see `ImageArgument`.
            box: Whether to draw the box.

        Raises:
            ImageError: It is not an image, or cannot be read.
            UsageError: It has other proportions: it is another image, or not turned upright.
        """
        image = image_pixels(image)
        height, width = image.shape[:2]
        self._check_proportions(height, width)
        scales = (width / self.width, height / self.height)
        drawn = None
        if box and self.xyxy is not None:
            drawn = pixel_box(Region(*self.xyxy).scaled(*scales), height, width)
        region, seen = self.region.scaled(*scales), self.seen.scaled(*scales)
        shown = overlay(image, self.heat, region, drawn, seen)
        if box and self.target is not None:
            target = clipped(Region(*self.target).scaled(*scales), height, width)
            shown = with_box(shown, target, TARGET_COLOR)
        return shown

    def _check_proportions(self, height: int, width: int) -> None:
        # The sides of a scaled image are rounded.
        if abs(width - height * self.width / self.height) <= 1:
            return
        if abs(height - width * self.height / self.width) <= 1:
            return
        rule = f"have the proportions of the explained image, {self.width} x {self.height} pixels"
        fix = "A photo must be upright, as its EXIF data say."
        raise UsageError(broken_rule("`image`", rule, f"{width} x {height}", fix))


def _sides(edges: tuple[float, float, float, float]) -> list[float]:
    """Return left, top, width, height of left, top, right, bottom."""
    left, top, right, bottom = edges
    return [left, top, right - left, bottom - top]


class Seen(NamedTuple):
    """Data of an image that is kept while it is explained.

    Attributes:
        height: Height of the upright image.
        width: Width of the upright image.
        image: The image itself, if an overlay will be drawn.
    """

    height: int
    width: int
    image: DecodedImage | None


Finish = Callable[[str, "Explanation | Failure", "Seen | None"], Any]


class Explainer(Loaded):
    """Explains the predictions of a classifier. Create one with `Explainer.load`.

    Attributes:
        bundle: The model.
        method: One of `cnnkit.explanation.methods.METHODS`.
        spec: Preprocessing of the network's input.
        predictor: The compiled method.
    """

    @checks_types
    def __init__(
        self,
        bundle: Bundle,
        method: str = "grad-cam",
        *,
        class_name: str | None = None,
        layer: str | None = None,
        fit: str | None = None,
        scale: float | None = None,
        box_share: float = BOX_SHARE,
        options: RuntimeOptions | None = None,
        batch_size: int | None = None,
        expected: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Prepare a method for an opened model; see `load`."""
        check_method(method, layer)
        options = options or RuntimeOptions()
        if options.precision == "int8" and method != "occlusion":
            fix = f"{method} does not compute in int8: use `precision='float32'` or auto."
            raise UsageError(requires("`precision='int8'`", "`method='occlusion'`", fix))
        if bundle.graph is not None and method != "occlusion":
            rule = f"be occlusion for {bundle.card.name}, a graph that can only be run"
            raise UsageError(broken_rule("`method`", rule, method))
        _check(bundle, method, fit, scale, box_share)
        self.bundle, self.method = bundle, method
        self.spec = bundle.card.input.with_fit(fit)
        self._target = Target.named(bundle, class_name)
        self._box_share, self._max_pixels = box_share, max_pixels
        self._workers = options.workers
        self._sliding: SlidingMethod | None = None
        if method == "sliding":
            self._sliding = SlidingMethod(
                bundle, self._target, options, scale or SCALE, batch_size, expected
            )
            self.predictor: Any = self._sliding
        else:
            self.predictor = method_predictor(
                bundle, method, self._target, layer, options, batch_size, expected
            )

    @classmethod
    @checks_types
    def load(
        cls,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        method: str = "grad-cam",
        *,
        weights: str | os.PathLike[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
        class_name: str | None = None,
        layer: str | None = None,
        fit: str | None = None,
        scale: float | None = None,
        box_share: float = BOX_SHARE,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        batch_size: int | None = None,
        expected: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Explainer:
        """Open a model and prepare a method.

        Args:
            model: An embedded name, a bundle folder, a ``.keras`` file, or ``keras:NAME``.
            method: One of `cnnkit.explanation.methods.METHODS`.
            weights: A weights file for ``keras:NAME``.
            labels: A file with one label per line, for a model without labels.
            class_name: The class to explain; the predicted class by default.
            layer: Layer for Grad-CAM; the last spatial layer by default.
            fit: ``crop``, ``pad`` or ``stretch``; the model's default if None.
            scale: For ``sliding``: image size as a multiple of the window.
            box_share: The box encloses heat above this share of the maximum, over 0 and up to 1.
            device: ``auto``, ``cpu`` or ``gpu``.
            runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
            precision: ``auto``, ``float32``, ``bfloat16``, or with ``occlusion`` ``int8``.
            threads: Number of CPU threads; 0 uses all that are available.
            batch_size: Images per batch; chosen for the runtime by default.
            expected: Expected number of images, if known.
            max_pixels: Largest number of pixels of an image to decode.

        Raises:
            UsageError: An argument is invalid.
            BundleError: The model cannot be opened, or is unsafe to open.
            RuntimeUnavailableError: The requested device, runtime or precision is not available.
        """
        return cls(
            open_model(model, weights, labels),
            method,
            class_name=class_name,
            layer=layer,
            fit=fit,
            scale=scale,
            box_share=box_share,
            options=RuntimeOptions(device, runtime, precision, threads),
            batch_size=batch_size,
            expected=expected,
            max_pixels=max_pixels,
        )

    # A path is an iterable of paths too, but the first signature that fits is taken.
    @overload
    def predict(self, images: ImageArgument) -> Explanation | Failure: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[ImageArgument]) -> list[Explanation | Failure]: ...

    def predict(
        self, images: ImageArgument | Iterable[ImageArgument]
    ) -> Explanation | Failure | list[Explanation | Failure]:
        """Explain the prediction for an image, or for several in batches.

        Args:
            images: One or more images: a path, a uint8 RGB array, a PIL image, or encoded bytes.

        Returns:
            The result of one image, a list of results in order for several. A result is an
            `Explanation`, or a `Failure` with the reason.
        """
        return pipeline.predictions(images, self.stream)

    def prepare(self, source: ImageArgument, long_side: int | None = None) -> pipeline.NetworkInput:
        """Read an image for the method.

        Args:
            source: See `ImageArgument`.
            long_side: If the image itself is needed too: its required longer side.

        Raises:
            ImageError: It cannot be read.
        """
        if self._sliding is None:
            prepared, opened = prepare_and_keep(
                source, self.spec, long_side, max_pixels=self._max_pixels
            )
            pixels = prepared.pixels
        else:
            opened = self._opened(source, self._sliding, long_side)
            pixels = self._sliding.prepare(opened)
        kept = opened if long_side is not None else None
        return pipeline.NetworkInput(pixels, Seen(opened.height, opened.width, kept))

    def _opened(
        self, source: ImageArgument, sliding: SlidingMethod, long_side: int | None
    ) -> DecodedImage:
        def needed(height: int, width: int) -> tuple[int, int]:
            """Return the least sides of the decoded image that network and drawing need."""
            least = decoded_size(sliding.spec(height, width))(height, width)
            return kept_size(least, (height, width), long_side)

        return opened_image(source, max_pixels=self._max_pixels, at_least=needed)

    def interpret(self, outputs: dict[str, np.ndarray], seen: Seen) -> Explanation | Failure:
        """Turn the outputs of a method for one image into an explanation.

        Returns:
            A `Failure` if the outputs are not finite.
        """
        if not all(np.all(np.isfinite(values)) for values in outputs.values()):
            return Failure("failed", NOT_FINITE)
        labels, height, width = self.bundle.labels, seen.height, seen.width
        whole = Region(0, 0, width, height)
        if self._sliding is not None:
            index, heat, region, best = self._sliding.read(outputs["scores"], height, width)
            found = pixel_box(best, height, width)
            score, predicted = float(heat.max()), labels[index]
            return Explanation(
                index, labels[index], score, predicted, heat, region, found, height, width, whole
            )
        probabilities = self.bundle.probabilities(outputs["scores"])
        index, heat = self._target.of(probabilities), outputs["heat"]
        region = on_image(Region(0, 0, self.spec.width, self.spec.height), height, width, self.spec)
        box = box_around(heat, region, height, width, self._box_share)
        predicted = labels[int(np.argmax(probabilities))]
        score = float(probabilities[index])
        return Explanation(
            index, labels[index], score, predicted, heat, region, box, height, width, region
        )

    @checks_types
    def stream(
        self, inputs: Inputs, workers: int | None = None
    ) -> Iterator[tuple[str, Explanation | Failure]]:
        """Explain any number of images in order, with bounded memory.

        Args:
            inputs: One or more files, folders and glob patterns; what is named twice comes once.
            workers: Threads that read and explain; by default one more than `threads`.

        Yields:
            The path and the result of each image.

        Raises:
            UsageError: An argument is invalid.
        """
        return self.stream_finished(find_images(inputs), _without_image, workers)

    def stream_finished(
        self,
        found: Iterable[Found],
        finish: Finish,
        workers: int | None = None,
        long_side: int | None = None,
    ) -> Iterator[Any]:
        """Explain any number of images in order, and finish each in its worker.

        Args:
            found: The inputs, from `cnnkit.images.find_images`.
            finish: Called in a worker with each path, result and image; its result is yielded.
            workers: Threads that read and explain.
            long_side: If `finish` draws: longer side of the images passed to it.
        """

        def finished(outcome: pipeline.Outcome) -> Any:
            """Interpret one image and let the caller finish it, within the worker."""
            if outcome.failure is not None:
                return finish(outcome.path, outcome.failure, None)
            result = self.interpret(outcome.outputs, outcome.context)
            return finish(outcome.path, result, outcome.context)

        return pipeline.stream(
            found,
            lambda path: self.prepare(path, long_side),
            self.predictor,
            workers or self._workers,
            lambda outcomes: list(map(finished, outcomes)),
        )


def _without_image(
    path: Any, result: Explanation | Failure, seen: Seen | None
) -> tuple[Any, Explanation | Failure]:
    return path, result


def _check(
    bundle: Bundle, method: str, fit: str | None, scale: float | None, box_share: float
) -> None:
    require_task(bundle, "classify")
    check_fit(fit)
    if method == "sliding" and fit is not None:
        fix = "It uses the whole image."
        raise UsageError(mutually_exclusive("`fit`", "`method='sliding'`", fix))
    if scale is not None and method != "sliding":
        raise UsageError(requires("`scale`", "`method='sliding'`"))
    if not 0 < box_share <= 1:
        raise UsageError(broken_rule("`box_share`", "be over 0 and up to 1", box_share))
