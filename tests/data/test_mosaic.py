from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.data.mosaic import BoxedImage, cut_boxes, mosaic
from cnnkit.images.prepare import PAD_VALUE

SIDE = 64


def tile(color: int, box: tuple[int, int, int, int]) -> BoxedImage:
    """A dark image with one bright square, exactly in its box."""
    pixels = np.full((SIDE, SIDE, 3), 20, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = color
    return BoxedImage(pixels, np.array([box], np.float32), np.array([color], np.int32))


TILES = [tile(color, (16, 8, 48, 56)) for color in (150, 180, 210, 240)]


@given(st.integers(0, 2**32 - 1))
def test_every_box_lies_on_what_it_shows(seed: int) -> None:
    made = mosaic(TILES, np.random.default_rng(seed))
    assert made.pixels.shape == (SIDE, SIDE, 3)
    assert len(made.boxes) == len(made.classes)
    for (left, top, right, bottom), color in zip(made.boxes, made.classes, strict=True):
        assert left >= 0
        assert top >= 0
        assert right <= SIDE
        assert bottom <= SIDE
        middle = made.pixels[int((top + bottom) / 2), int((left + right) / 2), 0]
        assert abs(int(middle) - int(color)) <= 2
        outside = made.pixels[..., 0] == color
        outside[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = False
        assert not outside.any()


def test_the_same_seed_gives_the_same_mosaic() -> None:
    one, other = (mosaic(TILES, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    assert (one.pixels == PAD_VALUE).any() or one.pixels.min() >= 0


def test_cut_boxes_drops_what_is_hardly_left() -> None:
    boxes = np.array([[0, 0, 10, 10], [-8, 0, 2, 10], [-5, 0, 5, 10], [20, 20, 30, 30]], np.float32)
    cut, kept = cut_boxes(boxes, (0, 0, 16, 16))
    assert kept.tolist() == [0, 2]
    assert cut.tolist() == [[0, 0, 10, 10], [0, 0, 5, 10]]
    assert cut_boxes(np.zeros((0, 4)), (0, 0, 9, 9))[0].shape == (0, 4)
