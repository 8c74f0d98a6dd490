"""Stylizers: apply a style to images, in one pass or by optimization."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from cnnkit import pipeline
from cnnkit.argument_types import checks_types
from cnnkit.bundles import open_model
from cnnkit.errors import UsageError, is_required
from cnnkit.images import (
    DEFAULT_MAX_PIXELS,
    Found,
    ImageArgument,
    Inputs,
    find_images,
    image_with_alpha,
    one_or_several,
    shown_name,
)
from cnnkit.images.attempts import attempt
from cnnkit.results import Failure
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.keras_predictor import set_backend_threads
from cnnkit.runtime.loaded import Loaded
from cnnkit.style import features
from cnnkit.style.images import Content, check_format, check_mask, encoded, read_styles
from cnnkit.style.job import Workspace
from cnnkit.style.method import ByOptimization, Choices, Watch
from cnnkit.style.one_pass import DEFAULT_MODEL, OnePassPainter
from cnnkit.style.one_pass_method import InOnePass, OnePassChoices
from cnnkit.style.settings import OptimizationSettings, loss_weights, tile_choice
from cnnkit.writers.replacing import replacing

# One image is painted while the next one is read.
WORKERS = 2

Images = ImageArgument | Iterable[ImageArgument]


@dataclass(frozen=True, eq=False)
class StylizedImage:
    """A stylized image.

    Attributes:
        pixels: uint8 RGB (height, width, 3).
        alpha: Alpha channel of the photo, uint8 at the photo's own size (height, width, 1);
            None if it is opaque.
        figures: ``seconds``, and for an optimization the ``steps`` and
            losses.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    figures: dict[str, Any]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @checks_types
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the image, with the photo's alpha channel if the format supports it.

        Args:
            path: The file to write: a PNG, JPEG or WebP by its suffix.

        Raises:
            UsageError: It has another suffix.
            OutputError: The output cannot be written.
        """
        path = Path(path)
        check_format("`path`", path)
        with replacing(path) as file:
            file.write(encoded(self.pixels, self.alpha, path.suffix))

    def to_dict(self) -> dict[str, Any]:
        """Return the size and the figures as they appear in an output row."""
        return {"width": self.width, "height": self.height, **self.figures}


class Stylizer(Loaded):
    """Stylizes images. Create one with `Stylizer.load` or `Stylizer.by_optimization`.

    Attributes:
        method: How an image is painted.
    """

    @checks_types
    def __init__(
        self, method: InOnePass | ByOptimization, max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> None:
        self.method = method
        self._max_pixels = max_pixels
        self._painting = threading.Lock()
        self._position = 0

    def _summary(self) -> str:
        known = self.method.settings
        how = [str(known[name]) for name in ("method", "runtime", "precision") if name in known]
        return ", ".join(how)

    @classmethod
    @checks_types
    def load(
        cls,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        styles: Images = (),
        style_weights: Sequence[float] | None = None,
        style_scale: float = 1.0,
        strength: float = 1.0,
        preserve_color: bool = False,
        mask: str | os.PathLike[str] | None = None,
        size: int | None = None,
        tile: int | str = "auto",
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Stylizer:
        """Open a network that stylizes an image in one pass: a second instead of a minute.

        Args:
            model: An embedded name, or a bundle from `train_style`.
            styles: The style image, or several to blend; none for a model with one style.
            style_weights: Weight of each style; equal by default.
            style_scale: Scale factor of the brush strokes.
            strength: Strength of the style, from 0 (the photo) to 1 (the style).
            preserve_color: Keep the photo's colors.
            mask: An image whose white regions are stylized, or a folder with one mask per photo.
            size: Long side of the result in pixels; 1024 by default, or the photo's if that is
                smaller. 0: the photo's own.
            tile: Side of the tiles in pixels; ``none`` for no tiles; ``auto`` for large images.
            device: ``auto``, ``cpu`` or ``gpu``.
            runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
            threads: Number of CPU threads; 0 uses all that are available.
            max_pixels: Largest number of pixels of an image to decode.

        Raises:
            UsageError: An argument is invalid, or a style image cannot be read.
            BundleError: The model cannot be opened, or is unsafe to open.
            RuntimeUnavailableError: The requested device, runtime or precision is not available.
        """
        options = RuntimeOptions(device, runtime, precision, threads)
        read = read_styles(_listed(styles), style_weights, max_pixels)
        choices = OnePassChoices(
            size=size,
            strength=strength,
            style_scale=style_scale,
            preserve_color=preserve_color,
            tile=tile_choice(tile),
            mask=check_mask(mask),
            max_pixels=max_pixels,
        )
        bundle = open_model(model)
        painter = OnePassPainter(bundle, options)
        return cls(InOnePass(painter, read, choices, bundle.identity), max_pixels)

    @classmethod
    @checks_types
    def by_optimization(
        cls,
        styles: Images,
        *,
        style_weights: Sequence[float] | None = None,
        style_scale: float = 1.0,
        strength: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        preserve_color: bool = False,
        mask: str | os.PathLike[str] | None = None,
        size: int | None = None,
        steps: int = 400,
        time_budget: float | None = None,
        start: str | os.PathLike[str] = "content",
        optimizer: str = "adam",
        variation: float | None = None,
        tile: int | str = "auto",
        seed: int = 0,
        network: str = features.DEFAULT,
        weights: str | os.PathLike[str] | None = None,
        preview: int | None = None,
        threads: int = 0,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        watch: Watch | None = None,
    ) -> Stylizer:
        """Prepare the optimization of images: any style, and the best results, in a minute each.

        Args:
            styles: The style image, or several to blend.
            style_weights: Weight of each style; equal by default.
            style_scale: Scale factor of the brush strokes.
            strength: From 0, the photo, to 1, the style; 0.8 by default.
            alpha: Weight of the content loss, with `beta`, instead of `strength`.
            beta: Weight of the style loss.
            preserve_color: Keep the photo's colors.
            mask: An image whose white regions are stylized, or a folder with one mask per photo.
            size: Long side of the result in pixels; 512 by default, or the photo's if that is
                smaller.
            steps: Total number of optimization steps.
            time_budget: Time limit per image in seconds.
            start: What the optimization starts from: ``content``, ``noise``, or an image's path.
            optimizer: ``adam`` or ``l-bfgs``.
            variation: Weight of the total variation; 2.5 by default.
            tile: Side of the tiles in pixels; ``none`` for no tiles; ``auto`` if memory is
                short.
            seed: Random seed for the noise.
            network: The loss network: ``squeezenet-1.1``, ``keras:vgg16`` or ``keras:vgg19``.
            weights: Weights for ``keras:NAME``, instead of Keras's download.
            preview: In a folder job: write a preview every this many steps.
            threads: Number of CPU threads; 0 uses all that are available.
            max_pixels: Largest number of pixels of an image to decode.
            watch: Called with the position of the image, from 1, and a
                `cnnkit.style.optimization.OptimizationProgress` after each step.

        Raises:
            UsageError: An argument is invalid, or an image cannot be read.
            BundleError: The loss network cannot be opened.
        """
        read = read_styles(_listed(styles), style_weights, max_pixels)
        given: dict[str, Any] = {"variation": variation, "size": size}
        given |= loss_weights(strength, alpha, beta)
        settings = OptimizationSettings(
            steps=steps,
            style_scale=style_scale,
            optimizer=optimizer,
            start=os.fspath(start),
            seed=seed,
            preserve_color=preserve_color,
            time_budget=time_budget,
            **{name: value for name, value in given.items() if value is not None},
        )
        if not read:
            fix = "Give an image to learn from."
            raise UsageError(is_required("`styles`", fix))
        if threads:
            set_backend_threads(threads)
        choices = Choices(size, tile_choice(tile), check_mask(mask), preview or 0, max_pixels)
        loss_network = features.open_loss_network(
            network, None if weights is None else os.fspath(weights)
        )
        return cls(ByOptimization(loss_network, read, settings, choices, watch), max_pixels)

    # A path is an iterable of paths too, but the first signature that fits is taken.
    @overload
    def predict(self, images: ImageArgument) -> StylizedImage | Failure: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[ImageArgument]) -> list[StylizedImage | Failure]: ...

    def predict(
        self, images: ImageArgument | Iterable[ImageArgument]
    ) -> StylizedImage | Failure | list[StylizedImage | Failure]:
        """Stylize an image, or several one after the other.

        Args:
            images: One or more images: a path, a uint8 RGB array, a PIL image, or encoded bytes.

        Returns:
            One result for one image, or a list of results in order for several. A result is a
            `StylizedImage`, or a `Failure` that says why there is none.
        """
        return pipeline.predictions(images, self.stream)

    @checks_types
    def stream(
        self, inputs: Inputs, workers: int | None = None
    ) -> Iterator[tuple[str, StylizedImage | Failure]]:
        """Paint any number of images in bounded memory, in order.

        Args:
            inputs: One or more files, folders and glob patterns; what is named twice comes once.
            workers: Threads that read ahead; one image is painted at a time, on all processors.

        Yields:
            The path and the result of each image.

        Raises:
            UsageError: An argument is invalid.
        """

        def task(batch: list[Found]) -> list[tuple[str, StylizedImage | Failure]]:
            """Read and paint some images."""
            return [
                (item.path, item.failure or attempt(item.path, self._painted)) for item in batch
            ]

        yield from pipeline.in_order(find_images(inputs), task, 1, workers or WORKERS)

    def _painted(self, image: ImageArgument) -> StylizedImage:
        pixels, alpha = image_with_alpha(image, max_pixels=self._max_pixels)
        content = Content(shown_name(image, "an image"), pixels, alpha, sha256="")
        with self._painting:
            self._position += 1
            painted = self.method.paint(content, Workspace(self._position))
        return StylizedImage(painted.pixels, alpha, painted.row)


def _listed(styles: Images) -> list[ImageArgument]:
    """Return one style image or several as a list."""
    return list(one_or_several(styles)[0])
