"""A classifier run over a larger image at once: every window's scores from one pass.

Sermanet et al., "OverFeat: Integrated Recognition, Localization and Detection using Convolutional
Networks", https://arxiv.org/abs/1312.6229. The last pooling or flattening becomes a window that
slides over the larger feature map, and dense layers become 1x1 convolutions. A network without
padding gives exactly what it gives for each window cut out; one with padding sees, at a window's
border, the image's own pixels where the cut would have zeros.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cnnkit.errors import BundleError
from cnnkit.explanation.graph import INERT, OWN, Graph, GraphStep, is_map, side, trace
from cnnkit.explanation.receptive_field import fields_of
from cnnkit.lab.networks.sights import Other

# Layers and operations on each number by itself; an activation's softmax is over the last axis.
ELEMENTWISE = frozenset("Activation ReLU LeakyReLU Rescaling Sigmoid Relu Cast Sqrt".split())


class Sliding(NamedTuple):
    """How windows slide over a larger image.

    Attributes:
        window: Height and width of a window: the network's own input.
        stride: Pixels from a window to the next, down and across.
    """

    window: tuple[int, int]
    stride: tuple[int, int]

    def size(self, steps: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of an image so many strides larger than a window."""
        high, wide = (w + n * s for w, n, s in zip(self.window, steps, self.stride, strict=True))
        return high, wide


def sliding_of(graph: Graph) -> Sliding:
    """Return how the windows of a classifier slide.

    Raises:
        BundleError: Its stride is not known.
    """
    step = last_map(graph)
    field = fields_of(graph)[step.name]
    rule = "`method='sliding'` must have a network that sees each place by itself."
    if isinstance(field, Other):
        reason = f"one of which it is not known what a place of its layer {step.name} sees"
        raise BundleError(f"{rule} Received: {reason}.")
    if field is None or not all(isinstance(jump, int) and jump for jump in field.jump):
        reason = f"one whose layer {step.name} sees the whole image"
        raise BundleError(f"{rule} Received: {reason}.")
    return Sliding(side(graph.image), field.jump)  # type: ignore[arg-type]


def last_map(graph: Graph) -> GraphStep:
    """Return the last step with places.

    Raises:
        BundleError: There is none.
    """
    for step in reversed(graph.steps):
        if is_map(step.output):
            return step
    raise BundleError("The network must have a convolution. Received: none.")


def windows_model(
    keras: Any, model: Any, steps: tuple[int, int], size: tuple[int, int] | None = None
) -> Any:
    """Return the network that scores every window of a larger image.

    Args:
        keras: The Keras module.
        model: A classifier with one image in and one output.
        steps: How many strides the image is larger than a window, down and across.
        size: Height and width of a window where the model leaves them open.

    Returns:
        A model from (batch, height, width, channels) to ``scores`` (batch, steps[0] + 1,
        steps[1] + 1, classes), each like the network's own scores of that window.

    Raises:
        BundleError: A layer behind the feature map cannot slide.
    """
    native = trace(keras, model, size)
    sliding = sliding_of(native)
    shapes = {step.name: step for step in native.steps}
    names = [step.name for step in native.steps]
    ends = set(names[names.index(last_map(native).name) + 1 :])

    def call(name: str, operation: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if name not in ends:
            return operation(*arguments, **named)
        return _slid(keras, shapes[name], arguments[0])

    height, width = sliding.size(steps)
    image = keras.Input((height, width, model.inputs[0].shape[-1]), name=f"{OWN}image")
    graph = trace(keras, model, size, image, call)
    output = keras.layers.Activation("linear", dtype="float32", name=f"{OWN}scores")(graph.output)
    if side(output) != (steps[0] + 1, steps[1] + 1):
        raise BundleError(
            f"`method='sliding'` must give {steps[0] + 1} x {steps[1] + 1} windows. "
            f"Received: {side(output)[0]} x {side(output)[1]} from the network."
        )
    return keras.Model(image, {"scores": output}, name=model.name)


def _slid(keras: Any, step: GraphStep, tensor: Any) -> Any:
    """Return the sliding form of one step behind the last feature map."""
    layers = keras.layers
    before = step.inputs[0]
    if step.kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
        average = step.kind == "GlobalAveragePooling2D"
        pool = layers.AveragePooling2D if average else layers.MaxPooling2D
        return pool(side(before), strides=1, name=f"{OWN}of_{step.operation.name}")(tensor)
    if step.kind in ("Flatten", "Reshape"):
        return _unfolded(keras, before, tensor, step.operation.name)
    if step.kind in ("Softmax", "LogSoftmax"):  # over the classes, which are the last axis here
        softmax = keras.ops.softmax if step.kind == "Softmax" else keras.ops.log_softmax
        return softmax(tensor, axis=-1)
    if step.kind in INERT or step.kind in ELEMENTWISE or step.kind == "Dense":
        return step.operation(tensor)
    if step.kind in ("Conv2D", "BatchNormalization") and len(before.shape) == 4:
        return step.operation(tensor)
    if step.kind == "BatchNormalization":
        twin = type(step.operation).from_config(
            step.operation.get_config() | {"name": f"{OWN}of_{step.operation.name}"}
        )
        output = twin(tensor)
        twin.set_weights(step.operation.get_weights())
        return output
    raise BundleError(
        "`method='sliding'` must have poolings, dense layers and activations behind the last "
        f"feature map. Received: {step.kind} ({step.name})."
    )


def _unfolded(keras: Any, before: Any, tensor: Any, name: str) -> Any:
    """Return each window's features as channels: what flattening does to one window.

    The places of a window are laid side by side along the channels, row by row, as `Flatten`
    does, so that the dense layer that follows is a 1x1 convolution.
    """
    if len(before.shape) != 4 or side(before) == (1, 1):
        return tensor
    height, width = side(before)
    down, across = side(tensor)[0] - height + 1, side(tensor)[1] - width + 1
    shifted = [
        tensor[:, row : row + down, column : column + across]
        for row in range(height)
        for column in range(width)
    ]
    if len(shifted) == 1:
        return shifted[0]
    return keras.layers.Concatenate(axis=-1, name=f"{OWN}of_{name}")(shifted)
