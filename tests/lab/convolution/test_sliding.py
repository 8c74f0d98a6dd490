from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import convolve2d

from cnnkit.errors import UsageError
from cnnkit.lab.arithmetic import Window
from cnnkit.lab.convolution import KERNELS, magnitude, pool, read_kernel, shown, slide
from cnnkit.lab.convolution.sliding import brightness, flipped, transposed

small = st.integers(1, 3)


def an_image(height: int = 9, width: int = 8, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(4).normal(0, 50, (height, width, channels))


@pytest.mark.parametrize("mode", ["each", "volume"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@given(st.data())
def test_it_is_what_keras_computes(mode, padding, data):
    size, strides, dilation = data.draw(st.tuples(st.tuples(small, small), small, small))
    dilation = 1 if strides > 1 else dilation
    window = Window(size, (strides,) * 2, padding, (dilation,) * 2)
    image, kernel = an_image(), np.random.default_rng(1).normal(size=(*size, 3))
    ours = slide(image, kernel, window, mode)
    options = dict(strides=strides, padding=padding, dilation_rate=dilation)
    if mode == "volume":
        theirs = keras.ops.conv(image[None], kernel[..., None], **options)
    else:
        theirs = keras.ops.depthwise_conv(image[None], kernel[..., None], **options)
    np.testing.assert_allclose(ours, np.asarray(theirs)[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["sobel-x", "sobel-y", "scharr-x", "scharr-y", "laplacian"])
def test_named_kernels_are_opencvs_up_to_the_sign(name):
    gray = an_image(channels=1)
    axis = (1, 0) if name.endswith("x") else (0, 1)
    theirs = {
        "sobel": lambda: -cv2.Sobel(gray[..., 0], cv2.CV_64F, *axis, ksize=3),
        "scharr": lambda: -cv2.Scharr(gray[..., 0], cv2.CV_64F, *axis),
        "laplacian": lambda: cv2.Laplacian(gray[..., 0], cv2.CV_64F, ksize=1),
    }[name.partition("-")[0]]()
    ours = slide(gray, read_kernel(name), Window((3, 3)), "volume")[..., 0]
    np.testing.assert_allclose(ours, theirs[1:-1, 1:-1], atol=1e-9)


def test_flipping_gives_convolution_in_the_strict_sense():
    image, kernel = an_image(channels=1), np.arange(6.0).reshape(2, 3, 1)
    ours = slide(image, flipped(kernel), Window((2, 3)), "volume")[..., 0]
    theirs = convolve2d(image[..., 0], kernel[..., 0], mode="valid")
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@given(st.tuples(small, small), small)
def test_pooling_is_what_keras_computes(kind, padding, size, strides):
    image = an_image()
    name = "max_pool" if kind == "max" else "average_pool"
    theirs = getattr(keras.ops, name)(image[None], size, strides, padding)
    ours = pool(image, kind, Window(size, (strides,) * 2, padding))
    np.testing.assert_allclose(ours, np.asarray(theirs)[0], rtol=1e-4, atol=1e-3)


def test_magnitude_does_not_depend_on_the_direction():
    ramp = np.add.outer(np.arange(8.0) * 3, np.arange(8.0) * 4)[..., None]
    kernel, window = read_kernel("sobel-x"), Window((3, 3))
    both = magnitude(
        slide(ramp, kernel, window, "volume"), slide(ramp, transposed(kernel), window, "volume")
    )
    np.testing.assert_allclose(both, 8 * 5)  # slope 5, times Sobel's factor 8


def test_gray_is_the_brightness_of_an_image():
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    expected = cv2.cvtColor(colors, cv2.COLOR_RGB2GRAY)
    found = brightness(colors.astype(np.float32))
    np.testing.assert_array_equal(np.rint(found[..., 0]), expected)


def test_float32_images_stay_float32():
    found = slide(an_image().astype(np.float32), read_kernel("blur"), Window((3, 3)), "gray")
    assert found.dtype == np.float32 and found.shape == (7, 6, 1)


@pytest.mark.parametrize(
    ("how", "expected"),
    [("signed", [0, 128, 191]), ("absolute", [255, 0, 128]), ("clip", [0, 0, 20])],
)
def test_values_are_shown(how, expected):
    values = np.array([[[-40.0], [0.0], [20.0]]])
    np.testing.assert_array_equal(shown(values, how)[0, :, 0], expected)
    assert shown(np.zeros((2, 2, 1)), how).shape == (2, 2, 3)  # nothing divides by zero


def test_what_cannot_slide_is_refused():
    with pytest.raises(UsageError, match="must fit into its input"):
        slide(an_image(2, 2), read_kernel("vertical"), Window((3, 3)), "each")
    with pytest.raises(UsageError, match="have 1 channel or the image's 3"):
        slide(an_image(), np.ones((3, 3, 2)), Window((3, 3)), "each")
    with pytest.raises(UsageError, match="have 1 channel or the image's 1"):
        slide(an_image(), np.ones((3, 3, 3)), Window((3, 3)), "gray")


def test_every_named_kernel_has_a_use_for_flat_ground():
    """Edges of nothing are nothing; blurring and sharpening leave it as it is."""
    flat = np.full((5, 5, 1), 7.0)
    for name in KERNELS:
        value = 7 if name in ("blur", "sharpen") else 0
        found = slide(flat, read_kernel(name), Window((3, 3)), "volume")
        np.testing.assert_allclose(found, value, atol=1e-9)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_a_pooling_of_nothing_is_refused(kind):
    """Windows that see padding alone gave -inf and NaN, which JSON and images cannot hold."""
    image = np.arange(9.0).reshape(3, 3, 1)
    for sides in (((2, 0), (0, 0)), ((0, 0), (0, 3))):
        with pytest.raises(UsageError, match=r"a pooling must have less padding .*2x2/2 pad"):
            pool(image, kind, Window((2, 2), (2, 2), sides))
    assert np.isfinite(pool(image, kind, Window((2, 2), (2, 2), ((1, 1), (1, 1))))).all()


@pytest.mark.parametrize("size", [1e39, 1e300])
def test_numbers_that_are_too_large_are_refused(size):
    """Infinity and NaN are no JSON, and an image of them is noise."""
    kernel = np.array([[size, -size]])[..., None]
    image = np.full((3, 3, 1), 1e10, np.float32 if size < 1e40 else np.float64)
    with pytest.raises(UsageError, match="a kernel must give finite numbers"):
        slide(image * image, kernel, Window((1, 2)), "each")
    with pytest.raises(UsageError, match="a kernel must give finite numbers"):
        magnitude(np.array(1e308), np.array(1.7e308))
