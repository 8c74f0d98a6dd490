"""The input of a graph that takes the image: its layout, size, and what enters it."""

from __future__ import annotations

from typing import Any, NamedTuple

from cnnkit.bundles.graphs.graph_card import GraphSpec
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.network import GraphInfo, TensorInfo, other_input
from cnnkit.bundles.graphs.own_normalization import OwnNormalization, own_normalization
from cnnkit.bundles.graphs.quantized_input import QuantizedInput, as_pixels, quantization_of
from cnnkit.bundles.graphs.scanning import GraphFile
from cnnkit.errors import BundleError, UsageError, broken_rule

WHOLE_NUMBERS = ("u16", "i16", "u32", "i32", "u64", "i64", "boolean")
INTEGER_PIXELS = ("u8", "i8", *WHOLE_NUMBERS[:-1])
PIXEL_KINDS = ("f16", "bf16", "f32", "f64", *INTEGER_PIXELS)


class ImageInput(NamedTuple):
    """The input of the image.

    Attributes:
        tensor: As the graph has it.
        layout: ``NHWC`` or ``NCHW``.
        size: Height and width.
        channels: 1 or 3.
        quantized: How its numbers stand for real ones, if they do.
        own: How the graph itself normalizes pixels, if it does.
    """

    tensor: TensorInfo
    layout: str
    size: tuple[int, int]
    channels: int
    quantized: QuantizedInput | None = None
    own: OwnNormalization | None = None

    def spec(self, form: str) -> GraphSpec:
        """Return what is known of it already, to run the graph with."""
        colors = "RGB" if self.channels == 3 else "gray"
        return GraphSpec(form, self.tensor.name, self.layout, colors)

    @property
    def takes_pixels(self) -> bool:
        """Whether pixels enter as they are where nobody says more."""
        if self.quantized is not None:
            return as_pixels(self.quantized) is not None
        return self.tensor.dtype in INTEGER_PIXELS or self.own is not None


def image_of(
    file: GraphFile,
    model: Any,
    info: GraphInfo,
    wish: GraphWish,
    said_size: tuple[int, int] | None,
) -> ImageInput:
    """Return the input of the image, its layout, and its size.

    Raises:
        BundleError: There is none.
        UsageError: Its layout or size is not known.
    """
    images = [one for one in info.inputs if len(one.shape) == 4]
    others = [one.name for one in info.inputs if one not in images]
    if len(images) != 1 or any(other_input(name, (1, 1)) is None for name in others):
        shown = [f"{one.name[:40]} {list(one.shape)}".replace("None", "?") for one in info.inputs]
        rule = "take one image (batch, height, width, channels)"
        raise BundleError(broken_rule(str(file.path), rule, f"the inputs {', '.join(shown[:8])}"))
    if images[0].dtype not in PIXEL_KINDS:
        rule = f"take pixels as one of {', '.join(PIXEL_KINDS)}"
        raise BundleError(broken_rule(str(file.path), rule, images[0].dtype))
    shape = images[0].shape
    layout = wish.layout or _layout(file, shape)
    sides = shape[1:3] if layout == "NHWC" else shape[2:4]
    channels = shape[3] if layout == "NHWC" else shape[1]
    size = tuple(
        own or wanted for own, wanted in zip(sides, wish.size or said_size or (0, 0), strict=True)
    )
    if not all(size):
        rule = "be given for a graph that takes images of any size"
        raise UsageError(broken_rule("`size`", rule, f"none for {file.path}", "Such as 224x224."))
    if wish.size is not None and wish.size != size:
        rule = f"be {size[0]}x{size[1]} for {file.path}"
        raise UsageError(broken_rule("`size`", rule, "{}x{}".format(*wish.size)))
    if channels not in (None, 1, 3):
        rule = "take images of 1 or 3 channels"
        raise BundleError(broken_rule(str(file.path), rule, f"{channels} ({layout})"))
    quantized = quantization_of(file, images[0].dtype)
    found = ImageInput(images[0], layout, (size[0], size[1]), channels or 3, quantized)
    if quantized is not None or images[0].dtype == "i8":
        return found
    own = own_normalization(model, images[0].name, layout, found.size, found.channels)
    return found._replace(own=own)


def _layout(file: GraphFile, shape: tuple[int | None, ...]) -> str:
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first != last:
        return "NCHW" if first else "NHWC"
    rule = "be given where the shape does not say it"
    received = f"{list(shape)} in {file.path}".replace("None", "?")
    raise UsageError(broken_rule("`layout`", rule, received, "Use NHWC or NCHW."))
