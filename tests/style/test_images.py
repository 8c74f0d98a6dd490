from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError, UsageError
from cnnkit.style.images import (
    Content,
    check_side,
    encoded,
    finished,
    mask_of,
    read_content,
    read_styles,
    result_size,
    with_colors_of,
)


def content(height: int = 20, width: int = 30, alpha: np.ndarray | None = None) -> Content:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Content("photo.png", pixels, alpha, "sha")


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((600, 800), None, (384, 512)),
        ((60, 80), None, (60, 80)),
        ((60, 80), 512, (384, 512)),
        ((2000, 500), 1000, (1000, 250)),
    ],
)
def test_sizes_of_results(shape, size, expected):
    assert result_size(*shape, size) == expected


def test_a_result_too_narrow_for_the_network_is_refused():
    check_side((64, 500), 64)
    with pytest.raises(ImageError, match="short side would have 63 pixels"):
        check_side((500, 63), 64)


def test_luma_is_the_results_and_chroma_the_contents():
    random = np.random.default_rng(1)
    ours, theirs = (random.uniform(90, 160, (8, 8, 3)).astype(np.float32) for _ in range(2))
    merged = with_colors_of(ours, theirs)
    convert = [cv2.cvtColor(x / 255, cv2.COLOR_RGB2YCrCb) for x in (merged, ours, theirs)]
    np.testing.assert_allclose(convert[0][..., 0], convert[1][..., 0], atol=0.01)
    np.testing.assert_allclose(convert[0][..., 1:], convert[2][..., 1:], atol=0.01)


def test_a_mask_keeps_the_content_where_it_is_black():
    mask = np.zeros((20, 30, 1), np.float32)
    mask[:, 15:] = 1
    photo = content()
    result = finished(np.full((20, 30, 3), 7, np.float32), photo, mask, preserve_color=False)
    np.testing.assert_array_equal(result[:, :15], photo.pixels[:, :15])
    assert (result[:, 15:] == 7).all()


def test_masks_come_from_a_file_or_a_folder_and_from_transparency(tmp_path):
    alpha = np.full((20, 30, 1), 255, np.uint8)
    alpha[:10] = 0
    photo = content(alpha=alpha)
    assert mask_of(None, photo, 10**6).sum() == 300
    light = np.zeros((40, 60), np.uint8)
    light[:, 30:] = 255
    Image.fromarray(light).save(tmp_path / "photo.png")
    for path in (tmp_path, tmp_path / "photo.png"):
        mask = mask_of(str(path), photo, 10**6)
        assert mask.shape == (20, 30, 1)
        assert mask.sum() == pytest.approx(150, abs=1)
    with pytest.raises(ImageError, match="has none for it"):
        mask_of(str(tmp_path), Content("other.png", photo.pixels, None, ""), 10**6)
    Image.fromarray(0 * light).save(tmp_path / "photo.png")
    with pytest.raises(ImageError, match="leave nothing to stylise"):
        mask_of(str(tmp_path), photo, 10**6)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_results_have_their_transparency_again(suffix):
    alpha = np.full((20, 30, 1), 255, np.uint8)
    alpha[:, :10] = 0
    image = Image.open(BytesIO(encoded(np.full((40, 60, 3), 90, np.uint8), alpha, suffix)))
    assert image.size == (60, 40)
    if suffix == ".jpg":
        assert np.asarray(image)[20, 2].min() > 250  # over white
    else:
        found = np.asarray(image)[..., 3]
        assert found[:, :16].max() == 0 and found[:, 26:].min() == 255


def test_styles_are_read_with_their_weights(examples):
    paths = [str(examples / "cat.jpg"), str(examples / "coffee.jpg")]
    assert [style.weight for style in read_styles(paths, None, 10**9)] == [1, 1]
    assert [style.weight for style in read_styles(paths, [2.0, 1.0], 10**9)] == [2, 1]
    with pytest.raises(UsageError, match="one weight for each of the 2 styles"):
        read_styles(paths, [1.0], 10**9)
    with pytest.raises(UsageError, match="must be over 0"):
        read_styles(paths, [1.0, 0.0], 10**9)
    with pytest.raises(UsageError, match="cannot be read: no such file"):
        read_styles(["none.jpg"], None, 10**9)
    with pytest.raises(UsageError, match="more than the limit"):
        read_styles(paths, None, 10)


def test_contents_know_their_hash(examples):
    found = read_content(str(examples / "cat.jpg"))
    assert len(found.sha256) == 64 and found.alpha is None
