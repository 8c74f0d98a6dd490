"""Explaining any score of an image by occlusion: a detection's, or that of a pair of faces.

What is asked of an image comes from outside, as a function, because this package knows nothing of
detectors and faces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from cnnkit import pipeline
from cnnkit.bundles import Bundle
from cnnkit.errors import ImageError, UsageError, broken_rule
from cnnkit.explanation.explainer import Explanation, Finish, Seen
from cnnkit.explanation.heat import BOX_SHARE, Region, box_around
from cnnkit.explanation.occlusion import Score, occluded_heat
from cnnkit.images import DEFAULT_MAX_PIXELS, Found, ImageArgument, InputSpec
from cnnkit.images.arguments import opened_image
from cnnkit.images.attempts import attempt
from cnnkit.results import Failure
from cnnkit.runtime import available_cpus

# Hundreds of copies of an image are looked at: no larger than this.
LONG_SIDE = 640
CELLS = 12
METHOD = "occlusion"


class Question(NamedTuple):
    """What is asked of one image.

    Attributes:
        label: What is explained.
        class_id: Its number in the model's order.
        predicted: What the model says.
        score: What it gives, 0 to 1.
        target: What the score is about: left, top, right, bottom in pixels; or None.
        part: The part of the image that is hidden piece by piece, in its pixels.
        pixels: That part, uint8 RGB (height, width, 3), perhaps smaller.
        score_of: Gives the score of changed parts, (n, height, width, 3).
    """

    label: str
    class_id: int
    predicted: str
    score: float
    target: tuple[float, float, float, float] | None
    part: Region
    pixels: np.ndarray
    score_of: Score


Ask = Callable[[np.ndarray], Question]


class Engine(NamedTuple):
    """What runs the model, for the record of a run."""

    runtime: str
    precision: str


class ScoredExplainer:
    """Explains scores; used like `cnnkit.explanation.Explainer`.

    Attributes:
        bundle: The model.
        method: ``occlusion``.
        spec: Preprocessing of the network's input.
        predictor: What runs the model.
    """

    def __init__(
        self,
        bundle: Bundle,
        ask: Ask,
        spec: InputSpec,
        engine: Engine,
        *,
        box_share: float = BOX_SHARE,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Prepare to explain.

        Args:
            bundle: The model.
            ask: Says what to ask of an image, uint8 RGB (height, width, 3); raises `ImageError`
                where there is nothing to ask.
            spec: Preprocessing of the network's input.
            engine: What runs the model.
            box_share: Share of the maximum heat that the box encloses, over 0 and up to 1.
            max_pixels: Largest number of pixels of an image to decode.
        """
        if not 0 < box_share <= 1:
            raise UsageError(broken_rule("`box_share`", "be over 0 and up to 1", box_share))
        self.bundle, self.method, self.spec, self.predictor = bundle, METHOD, spec, engine
        self._ask, self._box_share, self._max_pixels = ask, box_share, max_pixels

    def predict(self, images: Any) -> Any:
        """Explain one image, or several; see `Explainer.predict`."""
        return pipeline.predictions(images, self._stream)

    def _stream(self, found: Iterable[Found]) -> Iterator[Any]:
        return self.stream_finished(found, lambda path, result, seen: (path, result))

    def stream_finished(
        self,
        found: Iterable[Found],
        finish: Finish,
        workers: int | None = None,
        long_side: int | None = None,
    ) -> Iterator[Any]:
        """Explain any number of images in bounded memory; see `Explainer.stream_finished`."""

        def task(batch: list[Found]) -> list[Any]:
            """Explain some images one by one."""
            results = []
            for item in batch:
                made = item.failure or attempt(item.path, self._of)
                result, seen = (made, None) if isinstance(made, Failure) else made
                results.append(finish(item.path, result, seen))
            return results

        return pipeline.in_order(found, task, 1, workers or available_cpus() + 1)

    def _of(self, source: ImageArgument) -> tuple[Explanation, Seen]:
        image = opened_image(source, max_pixels=self._max_pixels)
        height, width = image.height, image.width
        pixels = image.to_srgb(np.array(image.content))
        scale = min(1.0, LONG_SIDE / max(pixels.shape[:2]))
        size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
        question = self._ask(pixels)
        to_image = width / pixels.shape[1], height / pixels.shape[0]
        heat = occluded_heat(question.pixels, question.score_of, CELLS)
        region = question.part.scaled(*to_image)
        target = None
        if question.target is not None:
            left, top, right, bottom = Region(*question.target).scaled(*to_image)
            target = (round(left), round(top), round(right), round(bottom))
        explanation = Explanation(
            question.class_id,
            question.label,
            question.score,
            question.predicted,
            heat,
            region,
            box_around(heat, region, height, width, self._box_share),
            height,
            width,
            region,
            target,
        )
        return explanation, Seen(height, width, image)


def nothing_to_ask(message: str) -> ImageError:
    """Return the error of an image in which there is nothing to explain."""
    return ImageError("failed", message)
