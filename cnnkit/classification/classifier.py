"""Classifiers: a compiled model with its preprocessing and calibration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import overload

import numpy as np

from cnnkit import pipeline
from cnnkit.argument_types import checks_types
from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.tasks import require_task
from cnnkit.classification.example_classes import ExampleClasses, ExampleFiles
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import (
    DEFAULT_MAX_PIXELS,
    ImageArgument,
    Inputs,
    InputSpec,
    find_images,
    prepare,
)
from cnnkit.isolation.file_readers import FileReaders
from cnnkit.results import NOT_FINITE, UNKNOWN, Classification, Failure, Prediction
from cnnkit.runtime import Predictor, RuntimeOptions, predictor
from cnnkit.runtime.loaded import Loaded

DEFAULT_MODEL = "efficientnet-lite0"


@dataclass(frozen=True)
class Decision:
    """How scores are turned into a decision.

    Attributes:
        top_k: Number of predictions per image.
        threshold: Minimum score; below it, the label is ``unknown``. None uses the model's own
            threshold, if it has one, or the one calibrated on the examples.

    Raises:
        UsageError: An argument is invalid.
    """

    top_k: int = 5
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise UsageError(broken_rule("`top_k`", "be at least 1", self.top_k))
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(broken_rule("`threshold`", "lie between 0 and 1", self.threshold))


class Classifier(Loaded):
    """Classifies images. Create one with `Classifier.load` or `Classifier.by_examples`.

    Attributes:
        bundle: The model.
        spec: Preprocessing of the network's input.
        predictor: The compiled model.
        examples: The classes, where they are given by examples; None: they are the model's.
    """

    @checks_types
    def __init__(
        self,
        bundle: Bundle,
        compiled: Predictor,
        spec: InputSpec,
        decision: Decision | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        workers: int | None = None,
        examples: ExampleClasses | None = None,
    ) -> None:
        self.bundle = bundle
        self.predictor = compiled
        self.spec = spec
        self._decision = decision or Decision()
        self._max_pixels = max_pixels
        self._workers = workers or RuntimeOptions().workers
        self.examples = examples
        self._threshold = self._decision.threshold
        if self._threshold is None:
            own = bundle.card.threshold
            self._threshold = own if examples is None else examples.calibrated_threshold()

    @classmethod
    @checks_types
    def load(
        cls,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        weights: str | os.PathLike[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
        fit: str | None = None,
        top_k: int = 5,
        threshold: float | None = None,
        features: bool = False,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        batch_size: int | None = None,
        expected: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Classifier:
        """Open and compile a model.

        Args:
            model: An embedded name, a bundle folder, a ``.keras`` file, ``keras:NAME``, an ONNX,
                TFLite, or OpenVINO ``.xml`` file, or a SavedModel folder.
            weights: A weights file for ``keras:NAME``.
            labels: A file with one label per line, for a model without labels.
            fit: ``crop``, ``pad`` or ``stretch``; the model's default if None.
            top_k: Number of predictions per image.
            threshold: Minimum score; below it, the label is ``unknown``.
            features: Whether results include the penultimate features.
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
        decision = Decision(top_k, threshold)
        bundle = open_model(model, weights, labels)
        return cls.from_bundle(
            bundle,
            decision,
            fit=fit,
            features=features,
            options=RuntimeOptions(device, runtime, precision, threads),
            batch_size=batch_size,
            expected=expected,
            max_pixels=max_pixels,
        )

    @classmethod
    @checks_types
    def by_examples(
        cls,
        examples: str | os.PathLike[str],
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        weights: str | os.PathLike[str] | None = None,
        fit: str | None = None,
        top_k: int = 5,
        threshold: float | None = None,
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        batch_size: int | None = None,
        expected: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Classifier:
        """Open and compile a model, and name images by their nearest examples; nothing is learned.

        A score is the mean cosine similarity with the three most similar examples of a class, 0 to
        1, measured on the penultimate features.

        Args:
            examples: A folder with one folder for each class and a few images in each, or a CSV
                with the columns file and label.
            model: As in `load`; its own classes do not matter.
            weights: A weights file for ``keras:NAME``.
            fit: ``crop``, ``pad`` or ``stretch``; the model's default if None.
            top_k: Number of predictions per image.
            threshold: Minimum similarity; below it, the label is ``unknown``. By default it is
                calibrated on the examples, see `cnnkit.classification.example_classes`.
            device: ``auto``, ``cpu`` or ``gpu``.
            runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``.
            precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``.
            threads: Number of CPU threads; 0 uses all that are available.
            batch_size: Images per batch; chosen for the runtime by default.
            expected: Expected number of images, if known.
            max_pixels: Largest number of pixels of an image to decode.

        Raises:
            UsageError: An argument is invalid, or an example cannot be read.
            BundleError: The model cannot be opened, is unsafe to open, or has no features.
            RuntimeUnavailableError: The requested device, runtime or precision is not available.
        """
        decision, files = Decision(top_k, threshold), ExampleFiles.read(examples)
        return cls.from_bundle(
            open_model(model, weights),
            decision,
            fit=fit,
            options=RuntimeOptions(device, runtime, precision, threads),
            batch_size=batch_size,
            expected=expected,
            max_pixels=max_pixels,
            examples=files,
        )

    @classmethod
    @checks_types
    def from_bundle(
        cls,
        bundle: Bundle,
        decision: Decision,
        *,
        fit: str | None = None,
        features: bool = False,
        options: RuntimeOptions | None = None,
        batch_size: int | None = None,
        expected: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        examples: ExampleFiles | None = None,
    ) -> Classifier:
        """Compile an opened model; see `load` and `by_examples`."""
        options = options or RuntimeOptions()
        require_task(bundle, "classify")
        spec = bundle.card.input.with_fit(fit)
        features = features or examples is not None
        compiled = predictor(
            bundle.source(features), options, batch_size=batch_size, expected=expected
        )
        made = cls(bundle, compiled, spec, decision, max_pixels, options.workers)
        if examples is None:
            return made
        classes = ExampleClasses.embedded(examples, made.stream)
        return cls(bundle, compiled, spec, decision, max_pixels, options.workers, classes)

    # A path is an iterable of paths too, but the first signature that fits is taken.
    @overload
    def predict(self, images: ImageArgument) -> Classification | Failure: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[ImageArgument]) -> list[Classification | Failure]: ...

    def predict(
        self, images: ImageArgument | Iterable[ImageArgument]
    ) -> Classification | Failure | list[Classification | Failure]:
        """Classify an image, or several in batches.

        Args:
            images: One or more images: a path, a uint8 RGB array, a PIL image, or encoded bytes.

        Returns:
            One result for one image, or a list of results in order for several. A result is a
            `Classification`, or a `Failure` with the reason.
        """
        return pipeline.predictions(images, self.stream)

    def prepare(self, image: ImageArgument) -> np.ndarray:
        """Read one image as the network's input, uint8 (height, width, 3).

        Raises:
            ImageError: It is not an image, or cannot be read.
        """
        return prepare(image, self.spec, max_pixels=self._max_pixels)

    @checks_types
    def stream(
        self, inputs: Inputs, workers: int | None = None
    ) -> Iterator[tuple[str, Classification | Failure]]:
        """Classify any number of images in order, with bounded memory.

        Args:
            inputs: One or more files, folders and glob patterns; what is named twice comes once.
            workers: Threads that read and predict; by default one more than `threads`.

        Yields:
            The path and the result of each image.

        Raises:
            UsageError: An argument is invalid.
        """
        found, workers = find_images(inputs), workers or self._workers

        with closing(FileReaders(self.spec, self._max_pixels, workers)) as readers:
            yield from pipeline.stream(found, readers, self.predictor, workers, self._results)

    def _results(
        self, outcomes: list[pipeline.Outcome]
    ) -> list[tuple[str, Classification | Failure]]:
        """Give paths and results: the workers do it, for one thread alone gives all rows."""
        predicted = [one.outputs for one in outcomes if one.failure is None]
        results = iter(self._interpreted(predicted))
        return [(one.path, one.failure or next(results)) for one in outcomes]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.bundle.labels if self.examples is None else self.examples.files.labels

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the class probabilities, float (classes,), of one row of the model's scores."""
        return self.bundle.probabilities(scores)

    def interpret(self, outputs: dict[str, np.ndarray]) -> Classification | Failure:
        """Turn the outputs of the model for one image into a result.

        Args:
            outputs: ``scores`` (classes,) and optionally ``features`` (n,), float32.

        Returns:
            A `Failure` if the outputs are not finite.

        Raises:
            BundleError: The scores contradict the model card.
        """
        return self._interpreted([outputs])[0]

    def _interpreted(
        self, outputs: Sequence[dict[str, np.ndarray]]
    ) -> list[Classification | Failure]:
        """Return what `interpret` gives for each image."""
        if not outputs:
            return []
        # All images at once: each step of NumPy gives up Python's lock, and waits for it again.
        if self.examples is None:
            scores = self.probabilities(np.stack([one["scores"] for one in outputs]))
        else:
            scores = np.stack([self.examples.similarities(one["features"]) for one in outputs])
        finite = np.isfinite(scores).all(axis=1)
        best = top_indices(scores, self._decision.top_k)
        return [
            self._classification(*one) if sound else Failure("failed", NOT_FINITE)
            for sound, *one in zip(finite, scores, best, outputs, strict=True)
        ]

    def _classification(
        self, scores: np.ndarray, best: np.ndarray, outputs: dict[str, np.ndarray]
    ) -> Classification:
        labels = self.labels
        guesses = tuple(Prediction(int(i), labels[i], float(scores[i])) for i in best)
        unknown = self._threshold is not None and guesses[0].score < self._threshold
        label = UNKNOWN if unknown else guesses[0].label
        return Classification(guesses, label, outputs.get("features"))


def top_indices(scores: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the indices of each row's highest scores, best first, the lower first among equals.

    Args:
        scores: Float (rows, classes); what is returned of a row with NaN means nothing.
        count: How many, at most as many as there are classes.
    """
    rows, classes = scores.shape
    count = min(count, classes)
    candidates = [np.arange(classes)] * rows
    if count < classes // 2:
        # Everything at least as high as the last one wanted, so that ties are settled alike.
        least = np.partition(scores, -count, axis=1)[:, -count, None]
        row_of, candidate = np.nonzero(scores >= least)
        candidates = np.split(candidate, np.searchsorted(row_of, np.arange(1, rows)))
    return [
        some[np.argsort(-row[some], kind="stable")[:count]]
        for row, some in zip(scores, candidates, strict=True)
    ]
