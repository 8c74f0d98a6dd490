"""Training steps of TensorFlow on a CPU: updates in one operation, gradients of wide kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from cnnkit.runtime.hardware import backend_drives_gpu
from cnnkit.runtime.process import backend_name

# From this many input channels times output channels on, products are faster on processors with
# AVX2 than oneDNN's own gradient of a kernel, which also leaves cores idle. Narrower layers are
# faster as they are.
WIDE = 128 * 128


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
    """Let wide convolutions find their kernels' gradients by products for a while.

    The outputs stay what they are. Only on a CPU by TensorFlow, where a layer is `eligible`;
    functions that are compiled meanwhile keep it.

    Args:
        layers: Any layers of Keras, built.
    """
    usable = backend_name() == "tensorflow" and not backend_drives_gpu()
    changed = [layer for layer in layers if usable and eligible(layer)]
    for layer in changed:
        layer.convolution_op = _convolved
    try:
        yield
    finally:
        for layer in changed:
            del layer.convolution_op  # the class's own again


def eligible(layer: Any) -> bool:
    """Return whether products make the gradient of a layer's kernel, and make it faster.

    It is a float32 convolution that learns, of odd sides from 3 on, in steps of 1, zeros around
    the image, `WIDE`.
    """
    import keras

    if type(layer) is not keras.layers.Conv2D or not layer.trainable:
        return False
    plain = layer.strides == layer.dilation_rate == (1, 1) and layer.groups == 1
    sides = all(side % 2 == 1 for side in layer.kernel_size) and max(layer.kernel_size) > 1
    around = layer.padding == "same" and layer.data_format == "channels_last"
    *_, inputs, outputs = layer.kernel.shape
    wide = inputs * outputs >= WIDE
    return plain and sides and around and wide and layer.compute_dtype == "float32"


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
    """Return the gradient of a convolution's kernel: for each of its places a product.

    The place (i, j) saw the images moved by it; the product of these, transposed, with what came
    from above sums over all pixels of the batch.

    Args:
        images: The convolution's input, float32 (batch, height, width, inputs).
        upstream: The gradient of its output, float32 (batch, height, width, outputs).
        shape: The kernel's: height and width, both odd, inputs and outputs.

    Returns:
        float32 of that shape.
    """
    import tensorflow as tf

    tall, wide, inputs, outputs = shape
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    padded = tf.pad(images, [(0, 0), (tall // 2,) * 2, (wide // 2,) * 2, (0, 0)])
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
