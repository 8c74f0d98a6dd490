"""The method ``sliding``: every window of the whole image scored in one pass."""

from __future__ import annotations

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import UsageError, broken_rule
from cnnkit.explanation import networks
from cnnkit.explanation.graph import trace
from cnnkit.explanation.heat import Region
from cnnkit.explanation.target import Target
from cnnkit.explanation.windows import Sliding, sliding_of
from cnnkit.images.decode import DecodedImage
from cnnkit.images.prepare import PAD_VALUE, InputSpec, fit
from cnnkit.runtime import RuntimeOptions, building_defaults, predictor

SCALE = 2.0
MAX_SCALE = 8.0


class SlidingMethod:
    """Runs a classifier over a canvas larger than its input, the whole image in its corner.

    Attributes:
        sliding: The windows.
        height: Height of the canvas.
        width: Width of the canvas.
    """

    def __init__(
        self,
        bundle: Bundle,
        target: Target,
        options: RuntimeOptions,
        scale: float = SCALE,
        batch_size: int | None = None,
        expected: int | None = None,
    ) -> None:
        """Compile the network that scores every window at once.

        Args:
            bundle: A classifier.
            target: The class; of none, each image's best.
            options: Where and how the network runs.
            scale: The canvas's side in sides of a window.
            batch_size: Images of a call; the runtime's own by default.
            expected: How many images are to come, if known.

        Raises:
            UsageError: The scale is too small or too large.
            BundleError: The network's windows cannot slide.
        """
        if not 1 <= scale <= MAX_SCALE:
            raise UsageError(broken_rule("`scale`", f"lie between 1 and {MAX_SCALE:g}", scale))
        self._bundle, self._target = bundle, target
        with building_defaults() as keras:
            graph = trace(keras, bundle.build(), bundle.card.input.size)
            self.sliding: Sliding = sliding_of(graph)
        window, stride = self.sliding.window, self.sliding.stride
        down, across = (int((scale - 1) * w // s) for w, s in zip(window, stride, strict=True))
        self.height, self.width = self.sliding.size((down, across))
        plan = {"kind": "windows", "steps": [down, across]}
        shape = (self.height, self.width, 3)
        source = networks.source(bundle, plan, shape)
        self._compiled = predictor(source, options, batch_size=batch_size, expected=expected)
        compiled = self._compiled
        self.runtime, self.precision = compiled.runtime, compiled.precision
        self.device, self.batch_size = compiled.device, compiled.batch_size
        self.concurrency = compiled.concurrency

    def spec(self, height: int, width: int) -> InputSpec:
        """Return how an image of that size is resized: whole, as large as the canvas takes."""
        scale = min(self.height / height, self.width / width)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        how = self._bundle.card.input.interpolation
        return InputSpec(rows, columns, "stretch", 1.0, how)

    def prepare(self, image: DecodedImage) -> np.ndarray:
        """Return an image in the corner of the canvas, gray beside it: uint8 (h, w, 3)."""
        canvas = np.full((self.height, self.width, 3), PAD_VALUE, np.uint8)
        pixels = fit(image, self.spec(image.height, image.width))
        canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
        return canvas

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return ``scores`` (n, rows, columns, classes) of every window of canvases."""
        return self._compiled.predict(images)

    def read(
        self, scores: np.ndarray, height: int, width: int
    ) -> tuple[int, np.ndarray, Region, Region]:
        """Return what the windows of one image say.

        Args:
            scores: Float (rows, columns, classes), of one canvas.
            height: Height of the image.
            width: Width of the image.

        Returns:
            The class: that of the surest window, or the one asked for. Its probability in every
            window, float32 (rows, columns). The region of the image that those cells tile, and
            the best window, both in pixels of the image.
        """
        spec = self.spec(height, width)
        scores = scores[self._inside(spec)]
        probabilities = np.apply_along_axis(self._bundle.probabilities, -1, scores)
        index = self._target.index
        if index is None:
            index = int(probabilities.max(axis=(0, 1)).argmax())
        heat = probabilities[..., index].astype(np.float32)
        row, column = map(int, np.unravel_index(int(heat.argmax()), heat.shape))
        (down, across), (high, wide) = self.sliding.stride, self.sliding.window
        to_image = (width / spec.width, height / spec.height)
        left, right = _tiled(spec.width, wide, across, heat.shape[1])
        top, bottom = _tiled(spec.height, high, down, heat.shape[0])
        tiled = Region(left, top, right, bottom)
        best = Region(column * across, row * down, column * across + wide, row * down + high)
        return index, heat, tiled.scaled(*to_image), best.scaled(*to_image)

    def _inside(self, spec: InputSpec) -> tuple[slice, slice]:
        """Return the windows that lie in the image; where it is smaller, those at its edge."""
        sides = zip(
            (spec.height, spec.width), self.sliding.window, self.sliding.stride, strict=True
        )
        rows, columns = (
            slice(0, max(0, side - window) // stride + 1) for side, window, stride in sides
        )
        return rows, columns


def _tiled(side: int, window: int, stride: int, cells: int) -> tuple[float, float]:
    """Return from where to where the cells of windows lie along a side of the resized image.

    A cell lies around its window's center. A window that is longer than the image sees all of that
    side: around the window's center there may be nothing of the image.
    """
    if window > side:
        return 0.0, float(side)
    first = (window - stride) / 2
    return first, first + stride * cells
