"""A detector whose network sees what it is told: places, sizes, failures, tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.detection.detector import Detector
from cnnkit.detection.selection import Selection
from cnnkit.errors import BundleError, UsageError
from cnnkit.images import find_images
from cnnkit.results import NOT_FINITE, Detections, Failure
from tests.detection.small import raw_head, told_detector


def an_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_boxes_come_back_to_the_images_own_pixels() -> None:
    """Of 128 x 64 pixels half remains, with 16 rows of bars: y = (y - 16) * 2."""
    detector = told_detector(raw_head((1, 0, {1: 0.75})))
    found = detector.predict(an_image(64, 128))
    assert (found.width, found.height, found.labels) == (128, 64, ("dog",))
    np.testing.assert_allclose(found.xyxy, [[16, 32, 48, 64]], atol=1e-3)  # cut at the border
    assert found.to_dict() == {
        "width": 128,
        "height": 64,
        "detections": [
            {"label": "dog", "class_id": 1, "score": 0.75, "box": [16.0, 32.0, 32.0, 32.0]}
        ],
    }


def test_what_lies_in_the_bars_is_left_out() -> None:
    raw = raw_head((0, 0, {0: 0.9}))
    raw[0, 0, 1] = -30  # the center at the upper edge of the input
    raw[0, 0, 3] = np.log(0.5)  # 16 pixels high: all of it in the bars
    assert len(told_detector(raw).predict(an_image(64, 128))) == 0


@pytest.mark.parametrize("size", [(300, 200), (200, 301), (64, 64), (7, 500), (1, 1)])
def test_any_size_gives_boxes_inside(size: tuple[int, int]) -> None:
    raw = raw_head(*((r, c, {0: 0.9, 2: 0.6}) for r in (0, 1) for c in (0, 1)))
    (found,) = told_detector(raw).predict([an_image(*size)])
    assert isinstance(found, Detections)
    assert (found.xyxy >= 0).all()
    assert (found.xyxy <= np.array([size[1], size[0]] * 2)).all()


def test_a_sideways_photo_has_the_boxes_of_the_upright_one(tmp_path: Path) -> None:
    """EXIF orientation 6: the camera was turned; a viewer shows 40 x 80 as 80 x 40."""
    image = Image.fromarray(an_image(40, 80))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    found = told_detector(raw_head((1, 1, {0: 0.9}))).predict(str(tmp_path / "a.jpg"))
    assert (found.width, found.height) == (40, 80)


def test_suppression_is_by_class_unless_told_otherwise() -> None:
    raw = raw_head((0, 0, {0: 0.9, 1: 0.8}))
    assert told_detector(raw).predict(an_image(64, 64)).labels == ("person", "dog")
    for groups in ((), (("person", "dog"),)):
        selection = Selection(agnostic=groups)
        found = told_detector(raw, selection).predict(an_image(64, 64))
        assert found.labels == ("person",)


def test_a_detector_of_one_class_gives_what_the_whole_one_gives_of_it() -> None:
    raw = raw_head(*((r, c, {0: 0.9, 1: 0.6, 2: 0.3}) for r in (0, 1) for c in (0, 1)))
    detector = told_detector(raw, Selection(confidence=0.1))
    dogs, whole = (one.predict(an_image(70, 90)) for one in (detector.of_class(1), detector))
    assert set(dogs.labels) == {"dog"} and len(set(whole.labels)) == 3
    np.testing.assert_array_equal(dogs.xyxy, whole.xyxy[whole.class_id == 1])
    np.testing.assert_array_equal(dogs.scores, whole.scores[whole.class_id == 1])


def test_the_card_gives_what_the_user_does_not(tmp_path: Path) -> None:
    raw = raw_head((0, 0, {0: 0.5, 1: 0.5}))
    detector = told_detector(raw, thresholds={"dog": 0.6})
    assert detector.predict(an_image(64, 64)).labels == ("person",)
    detector = told_detector(raw, Selection(confidence=0.4), thresholds={"dog": 0.6})
    assert len(detector.predict(an_image(64, 64))) == 2


def test_a_broken_image_is_a_failure_among_the_others(tmp_path: Path) -> None:
    Image.fromarray(an_image(64, 64)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    Image.fromarray(an_image(64, 64)).save(tmp_path / "c.png")
    detector = told_detector(raw_head((0, 0, {0: 0.9})))
    results = dict(detector.stream(find_images([str(tmp_path)]), workers=2))
    kinds = [type(result) for result in results.values()]
    assert kinds == [Detections, Failure, Detections]
    assert results[str(tmp_path / "b.png")].kind == "empty"
    assert [path[-5:] for path in results] == ["a.png", "b.png", "c.png"]
    assert detector.predict([]) == []


@pytest.mark.parametrize("tile", [None, 64])
def test_a_network_that_gives_no_numbers_does_not_find_nothing(tile: int | None) -> None:
    detector = told_detector(np.full_like(raw_head(), np.nan), tile=tile)
    found = detector.predict(an_image(100, 100))
    assert found == Failure("failed", NOT_FINITE)
    detector.predictor.raw[0, 0] = raw_head()[0, 0]
    assert detector.predict(an_image(100, 100)).labels == ()


def test_tiles_see_what_is_small() -> None:
    """The same box in each of four tiles and in the whole image, at other places and sizes."""
    detector = told_detector(raw_head((0, 0, {0: 0.9})), tile=64)
    found = detector.predict(an_image(100, 100))
    seen = np.concatenate(detector.predictor.seen)
    assert len(seen) == 5
    sizes = sorted((found.xyxy[:, 2] - found.xyxy[:, 0]).round().tolist())
    assert sizes == [16, 16, 16, 16, 25]
    assert {tuple(b) for b in found.xyxy[:, :2].round().tolist()} >= {(8, 0), (44, 0), (8, 36)}
    small = detector.predict(an_image(60, 60))
    assert len(small) == 1


def test_tiles_of_a_broken_image_are_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    detector = told_detector(raw_head(), tile=64)
    ((_, result),) = detector.stream(find_images([str(tmp_path / "a.jpg")]))
    assert isinstance(result, Failure)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"fit": "crop"}, "`fit` must be one of pad, stretch"),
        ({"tile": 5}, "`tile` must be at least 32 pixels"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"model": "efficientnet-lite0"}, "`model` must be a detector. Received: a model for cla"),
        ({"classes": ["dgo"]}, "Did you mean 'dog'"),
        ({"confidence": {"dgo": 0.5}}, "Did you mean 'dog'"),
        ({"agnostic": [["dgo"]]}, "Did you mean 'dog'"),
    ],
)
def test_what_breaks_a_rule_is_refused_before_anything_is_compiled(
    arguments: dict, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cnnkit.runtime.prediction.running", lambda *_, **__: pytest.fail("compiled")
    )
    with pytest.raises(UsageError, match=told):
        Detector.load(**arguments)


def test_a_kind_that_nothing_decodes_is_refused() -> None:
    with pytest.raises(BundleError, match=r"detector.kind must be one of"):
        told_detector(raw_head(), kind="nothing")
