"""Training steps of TensorFlow on a CPU: updates in one operation, gradients of kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from cnnkit.runtime.hardware import backend_drives_gpu
from cnnkit.runtime.precision import has_avx2_alone
from cnnkit.runtime.process import backend_name

# From so many input channels times output channels on, products are faster on processors with AVX2
# than oneDNN's own gradient of a kernel: of any image, and of one that grows by at most this share
# when zeros are put around it.
WIDE = 128 * 128
NARROW = 32 * 32
LITTLE_GROWTH = 0.1


def can_fuse(variable: Any) -> bool:
    """Return whether `adam_update` can update a variable: one of TensorFlow, float32, whole."""
    if backend_name() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(variable.dtype == tf.float32) and not tf.distribute.has_strategy()


def adam_update(
    variable: Any,
    moments: tuple[Any, Any],
    gradient: Any,
    *,
    step: Any,
    rate: Any,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """Update a variable and its moments by Adam, in one operation in place of a dozen.

    Kingma and Ba, https://arxiv.org/abs/1412.6980, in the form of its section 2:
    ``rate * sqrt(1 - beta2**step) / (1 - beta1**step) * m / (sqrt(v) + epsilon)`` is subtracted.

    Args:
        variable: A `tf.Variable`, float32; see `can_fuse`.
        moments: The first and second moment, `tf.Variable` of its shape.
        gradient: A tensor of its shape.
        step: Number of this step, from 1, a tensor.
        rate: The learning rate, a tensor.
        betas: How much of the moments stays at each step.
        epsilon: Keeps the divisor from zero.
    """
    import tensorflow as tf

    step = tf.cast(step, tf.float32)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=moments[0].handle,
        v=moments[1].handle,
        beta1_power=tf.pow(betas[0], step),
        beta2_power=tf.pow(betas[1], step),
        lr=tf.cast(rate, tf.float32),
        beta1=betas[0],
        beta2=betas[1],
        epsilon=epsilon,
        grad=tf.convert_to_tensor(gradient),
    )


@contextlib.contextmanager
def faster_kernel_gradients(layers: Iterable[Any]) -> Iterator[None]:
    """Let convolutions find their kernels' gradients by products for a while.

    The outputs stay what they are. Only by TensorFlow on a CPU with AVX2 alone, the kind on which
    products were measured to be faster, where a layer is `eligible`; functions that are compiled
    meanwhile keep it.

    Args:
        layers: Any layers of Keras, built.
    """
    usable = backend_name() == "tensorflow" and has_avx2_alone() and not backend_drives_gpu()
    changed = [layer for layer in layers if usable and eligible(layer)]
    for layer in changed:
        layer.convolution_op = _convolved
    try:
        yield
    finally:
        for layer in changed:
            del layer.convolution_op  # the class's own again


def eligible(layer: Any) -> bool:
    """Return whether products can make the gradient of a layer's kernel, and make it faster.

    It is a float32 convolution that learns, of odd sides from 3 on, in steps of 1, with zeros
    around the image, and at least `NARROW`.
    """
    import keras

    if type(layer) is not keras.layers.Conv2D or not layer.trainable:
        return False
    plain = layer.strides == layer.dilation_rate == (1, 1) and layer.groups == 1
    sides = all(side % 2 == 1 for side in layer.kernel_size) and max(layer.kernel_size) > 1
    around = layer.padding == "same" and layer.data_format == "channels_last"
    *_, inputs, outputs = layer.kernel.shape
    many = inputs * outputs >= NARROW
    return plain and sides and around and many and layer.compute_dtype == "float32"


def _convolved(images: Any, kernel: Any) -> Any:
    """Return the convolution of (batch, height, width, inputs), as an eligible layer makes it."""
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(images: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            to_images = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(images),
                filter=kernel,
                out_backprop=upstream,
                strides=[1, 1, 1, 1],
                padding="SAME",
            )
            return to_images, kernel_gradient(images, upstream, tuple(kernel.shape))

        return tf.nn.conv2d(images, kernel, 1, "SAME"), gradient

    return convolve(images, tf.convert_to_tensor(kernel))


def kernel_gradient(images: Any, upstream: Any, shape: tuple[int, int, int, int]) -> Any:
    """Return the gradient of a convolution's kernel, by products where they are faster.

    Args:
        images: The convolution's input, float32 (batch, height, width, inputs).
        upstream: The gradient of its output, float32 (batch, height, width, outputs).
        shape: The kernel's: height and width, both odd, inputs and outputs.

    Returns:
        float32 of that shape.
    """
    import tensorflow as tf

    tall, wide, inputs, outputs = shape
    height, width = upstream.shape[1:3]
    if height and width:
        growth = (height + tall - 1) * (width + wide - 1) / (height * width) - 1
        if growth <= LITTLE_GROWTH:
            return products_of_views(images, upstream, shape)
    if inputs * outputs >= WIDE:
        return products_of_copies(images, upstream, shape)
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=shape,
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding="SAME",
    )


def products_of_copies(images: Any, upstream: Any, shape: tuple[int, int, int, int]) -> Any:
    """Return the gradient of a kernel, see `kernel_gradient`: for each of its places a product.

    The place (i, j) saw the images moved by it; the product of these, transposed, with what came
    from above sums over all pixels of the batch.
    """
    import tensorflow as tf

    tall, wide, inputs, outputs = shape
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    padded = _with_zeros_around(images, shape)
    above = tf.reshape(upstream, (-1, outputs))
    products = [
        tf.matmul(
            tf.reshape(padded[:, i : i + height, j : j + width], (-1, inputs)),
            above,
            transpose_a=True,
        )
        for i in range(tall)
        for j in range(wide)
    ]
    return tf.reshape(tf.stack(products), shape)


def products_of_views(images: Any, upstream: Any, shape: tuple[int, int, int, int]) -> Any:
    """Return what `products_of_copies` does, of images that are moved without a copy.

    With the zeros around them, all images' pixels are one row of pixels, and moving them by (i, j)
    is beginning i lines and j pixels later. What came from above is brought to the same lines; the
    zeros that it gets there keep out the pixels that come from the next line or image.
    """
    import tensorflow as tf

    tall, wide, inputs, outputs = shape
    line = tf.shape(images)[2] + wide - 1
    pixels = tf.reshape(_with_zeros_around(images, shape), (-1, inputs))
    above = tf.pad(upstream, [(0, 0), (0, tall - 1), (0, wide - 1), (0, 0)])
    count = tf.shape(pixels)[0] - (tall - 1) * line - (wide - 1)
    above = tf.reshape(above, (-1, outputs))[:count]
    starts = [i * line + j for i in range(tall) for j in range(wide)]
    products = [
        tf.matmul(pixels[start : start + count], above, transpose_a=True) for start in starts
    ]
    return tf.reshape(tf.stack(products), shape)


def _with_zeros_around(images: Any, shape: tuple[int, int, int, int]) -> Any:
    """Return images with as many zeros around them as a convolution sees that keeps their size."""
    import tensorflow as tf

    return tf.pad(images, [(0, 0), (shape[0] // 2,) * 2, (shape[1] // 2,) * 2, (0, 0)])
