from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.data.augment import Augmenter
from cnnkit.data.box_loaders import BoxImages, BoxLoader, in_square
from cnnkit.data.recipes import read_recipe
from cnnkit.formats import AnnotatedImage, BoxAnnotation, read_boxes
from cnnkit.images import InputSpec
from cnnkit.runtime.processes import Share
from tests.formats.drawn_boxes import CLASSES, COLORS, draw_boxes

SPEC = InputSpec(64, 64, "pad", 1.0, "bilinear")


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> BoxImages:
    folder = draw_boxes(tmp_path_factory.mktemp("shapes"), count=10)
    return BoxImages(read_boxes(str(folder)).images, CLASSES, SPEC)


def loader(boxed: BoxImages, **changes) -> BoxLoader:
    augmenter = Augmenter(read_recipe("boxes"), 3)
    ours = {
        "training": True,
        "augmenter": augmenter,
        "mosaic_until": 9,
        "sizes": (32, 64),
        "seed": 3,
    }
    return BoxLoader(boxed, 4, **{**ours, **changes})


def share_of_color(pixels: np.ndarray, color: tuple[int, int, int]) -> float:
    return float((np.abs(pixels.astype(int) - color).max(-1) < 60).mean())


def test_boxes_lie_on_their_shapes_in_the_square(boxed: BoxImages) -> None:
    with loader(boxed, training=False) as plain:
        batch = plain.batch(0, 0)
    assert batch.images.shape == (4, 64, 64, 3)
    assert batch.valid.sum() == 8
    for pixels, boxes, classes in zip(batch.images, batch.boxes, batch.classes, strict=True):
        for (x, y, w, h), label in zip(boxes * 64, classes, strict=True):
            inner = pixels[int(y - h / 4) : int(y + h / 4), int(x - w / 4) : int(x + w / 4)]
            assert share_of_color(inner, COLORS[CLASSES[label]]) > 0.9


def test_a_batch_depends_on_seed_epoch_and_step_alone(boxed: BoxImages) -> None:
    with loader(boxed, workers=1) as one, loader(boxed, workers=3) as other:
        first, again, later = one.batch(1, 0), other.batch(1, 0), one.batch(2, 0)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.images.shape != later.images.shape or (first.images != later.images).any()


def test_shares_of_a_batch_make_up_the_batch_and_have_one_width(boxed: BoxImages) -> None:
    with loader(boxed) as drawn:
        whole = drawn.padded(drawn.batch(1, 0))
        parts = [drawn.padded(drawn.batch(1, 0, Share(part, 2))) for part in range(2)]
    assert whole.boxes.shape[1] == 4 * max(map(len, boxed.boxes))  # four images of a mosaic
    for name in whole._fields:
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_drawn_boxes_stay_on_the_shapes(boxed: BoxImages) -> None:
    with loader(boxed, augmenter=Augmenter(read_recipe("boxes"), 1), sizes=()) as drawn:
        batches = [drawn.batch(epoch, 0) for epoch in range(3)]
    hits = []
    for batch in batches:
        for pixels, boxes, valid in zip(batch.images, batch.boxes, batch.valid, strict=True):
            for x, y, w, h in boxes[valid > 0] * 64:
                assert x - w / 2 >= -0.5
                assert x + w / 2 <= 64.5
                rows = slice(int(y - h / 4), int(y + h / 4) + 1)
                inner = pixels[rows, int(x - w / 4) : int(x + w / 4) + 1]
                spread = inner.reshape(-1, 3).astype(int)
                hits.append(np.ptp(spread.mean(0)) > 30)  # colored, unlike the ground
    assert np.mean(hits) > 0.85  # a few images are made gray


def test_tensorflow_gets_the_same_batches(boxed: BoxImages) -> None:
    pytest.importorskip("tensorflow")
    with loader(boxed) as ours:
        [(images, truth), *_] = list(ours.dataset(first_epoch=1, epochs=1))
        expected = ours.batch(1, 0)
    np.testing.assert_array_equal(images.numpy(), expected.images)
    np.testing.assert_array_equal(truth["boxes"].numpy(), expected.boxes)
    assert set(truth) == {"boxes", "classes", "valid"}


def test_crowds_difficult_and_unknown_boxes_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 20)).save(path)
    box = BoxAnnotation("disc", (0.0, 0.0, 20.0, 20.0))
    others = (
        dataclasses.replace(box, crowd=True),
        dataclasses.replace(box, difficult=True, box=(1.0, 1.0, 5.0, 5.0)),
        BoxAnnotation("?", (2.0, 2.0, 5.0, 5.0)),
    )
    image = AnnotatedImage("a.png", 40, 20, (box, *others), str(path))
    boxed = BoxImages([image], CLASSES, SPEC)
    assert boxed.boxes[0].tolist() == [[0, 16, 32, 48]]
    assert boxed.sizes.tolist() == [[20, 40]]
    assert len(boxed.images[0].boxes) == 3  # the evaluation needs to know of the others


def test_boxes_of_another_size_are_scaled(caplog: pytest.LogCaptureFixture) -> None:
    image = AnnotatedImage("a.png", 400, 200, (), "a.png")
    corners = np.array([[100, 50, 200, 100]], float)
    assert in_square(corners, image, (20, 40), SPEC).tolist() == [[16, 24, 32, 32]]
    assert not caplog.records
    in_square(corners, dataclasses.replace(image, width=200, height=400), (20, 40), SPEC)
    assert "its boxes were made for 200 x 400" in caplog.text


def test_boxes_are_turned_with_their_image_and_other_proportions_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it clockwise
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 32)).save(tmp_path / name, exif=exif)
    box = (BoxAnnotation("disc", (0.0, 0.0, 16.0, 8.0)),)
    stored = AnnotatedImage("a.png", 64, 32, box, str(tmp_path / "a.png"))
    other = AnnotatedImage("b.png", 64, 64, box, str(tmp_path / "b.png"))
    with BoxImages([stored, other], CLASSES, SPEC) as boxed:
        assert len(boxed) == 1
        # 32 x 64 shown: the box's top left corner is now at the top right; 16 pixels of border.
        assert boxed.boxes[0].tolist() == [[40, 0, 48, 16]]
