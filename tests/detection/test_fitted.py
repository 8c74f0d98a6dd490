"""Smaller inputs for photos that are no squares: which, and that they show the same objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnnkit.detection import Detector, detector
from cnnkit.detection.fitted import GRAIN, begins, fitted, fitted_sizes
from cnnkit.images import InputSpec, decode, prepare_placed, read_bytes
from cnnkit.results import Detections
from cnnkit.runtime import other_sizes


def padded(side: int) -> InputSpec:
    return InputSpec(side, side, "pad", 1.0, "bilinear", 0)


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        (padded(416), ((288, 416), (416, 288), (352, 416), (416, 352))),
        (padded(320), ((256, 320), (320, 256))),
        (padded(96), ()),
        (padded(400), ()),
        (InputSpec(416, 416, "stretch"), ()),
    ],
)
def test_sizes_begin_on_cells_of_the_whole(spec: InputSpec, sizes: tuple) -> None:
    assert fitted_sizes(spec) == sizes
    assert all(start % GRAIN == 0 for size in sizes for start in begins(spec.size, size))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), (352, 416)),
        ((640, 480), (416, 352)),
        ((427, 640), (288, 416)),
        ((1920, 1080), (416, 288)),
        ((20, 900), (288, 416)),
        ((600, 640), (416, 416)),
        ((500, 500), (416, 416)),
    ],
)
def test_the_whole_image_is_in_the_smallest_size_that_shows_it(shape: tuple, size: tuple) -> None:
    image = np.full((*shape, 3), 255, np.uint8)
    prepared = prepare_placed(image, padded(416))
    pixels = fitted(prepared, fitted_sizes(padded(416)))
    assert pixels.shape[:2] == size
    assert pixels.sum() == prepared.pixels.sum() > 0
    assert fitted(prepared, ()) is prepared.pixels


@pytest.fixture(scope="module")
def fitting() -> Detector:
    return Detector.load(precision="float32", confidence=0.1)


@pytest.fixture
def square(monkeypatch: pytest.MonkeyPatch) -> Iterator[Detector]:
    monkeypatch.setattr(detector, "fitted_sizes", lambda spec: ())
    yield Detector.load(precision="float32", confidence=0.1)


def photos(examples: Path) -> list[np.ndarray]:
    """Photos of several proportions."""
    images = [decode(read_bytes(str(path))) for path in sorted(examples.glob("*.jpg"))]
    lying = cv2.resize(images[0], (640, 360), interpolation=cv2.INTER_AREA)
    return [*images, lying, np.ascontiguousarray(images[1][:, : images[1].shape[1] // 2])]


def sure(found: Detections) -> list[int]:
    return np.flatnonzero(found.scores >= 0.25).tolist()


def test_what_the_square_shows_is_found(
    fitting: Detector, square: Detector, examples: Path
) -> None:
    """Scores within 0.08, boxes nearly the same: the bars beside an image say little."""
    assert other_sizes(fitting.predictor) and not other_sizes(square.predictor)
    assert fitting.predictor.precision == "float32"
    images, compared = photos(examples), 0
    for found, other in zip(fitting.predict(images), square.predict(images), strict=True):
        assert isinstance(found, Detections) and isinstance(other, Detections)
        for some, others in ((found, other), (other, found)):
            for index in sure(some):
                low = np.maximum(some.xyxy[index, :2], others.xyxy[:, :2])
                high = np.minimum(some.xyxy[index, 2:], others.xyxy[:, 2:])
                common = np.maximum(high - low, 0).prod(axis=1)
                area, areas = (
                    (b[..., 2:] - b[..., :2]).prod(axis=-1) for b in (some.xyxy[index], others.xyxy)
                )
                overlaps = common / (area + areas - common)
                overlaps[[label != some.labels[index] for label in others.labels]] = 0
                best = int(overlaps.argmax())
                assert overlaps[best] > 0.9
                assert abs(others.scores[best] - some.scores[index]) < 0.08
                compared += 1
    assert compared >= 8


def test_images_of_several_sizes_in_a_batch_have_what_they_have_alone(
    fitting: Detector, examples: Path
) -> None:
    images = photos(examples)
    batched = Detector.load(precision="float32", confidence=0.1, batch_size=4)
    assert batched.predictor.batch_size == 4
    for together, alone in zip(batched.predict(images), map(fitting.predict, images), strict=True):
        assert isinstance(together, Detections) and isinstance(alone, Detections)
        assert together.labels == alone.labels
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-4)
        np.testing.assert_allclose(together.xyxy, alone.xyxy, atol=0.05)


def test_eight_bits_and_other_runtimes_keep_the_square() -> None:
    assert other_sizes(Detector.load(precision="int8").predictor) == ()
    assert other_sizes(Detector.load(runtime="tensorflow", device="cpu").predictor) == ()
    assert other_sizes(Detector.load("yolov3-tiny", precision="float32").predictor) == ()
    assert other_sizes(Detector.load(fit="stretch", precision="float32").predictor) == ()
