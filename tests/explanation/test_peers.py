"""Heat beside that of pytorch-grad-cam, on the same network with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.explanation.methods import GradientMethod, PixelMethod, plus_plus_weights
from cnnkit.explanation.target import Target
from cnnkit.images import prepare
from models.convert.efficientnet_lite0 import variable_path

pytestmark = pytest.mark.peer
TABBY = 281
# EfficientNet-Lite0 in float32 both times; the differences are those of the order of sums.
TOLERANCE = 2e-3


class Seen(NamedTuple):
    """One method of the library, and what it worked on: float32 (n, channels, height, width)."""

    cam: Any
    activations: np.ndarray
    gradients: np.ndarray
    heat: np.ndarray


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


def in_torch_order(path: str, values: np.ndarray) -> np.ndarray:
    """Return a variable's values with PyTorch's order of axes; see `in_keras_order`."""
    if path.endswith("_depthwise/kernel"):
        return values.transpose(2, 3, 0, 1)
    if path.endswith("_conv/kernel"):
        return values.transpose(3, 2, 0, 1)
    return values.T if path == "classifier/kernel" else values


@pytest.fixture(scope="module")
def original(torch: Any, bundle: Any) -> Any:
    """The PyTorch port with the embedded weights."""
    port = pytest.importorskip("efficientnet_lite_pytorch")
    model = port.EfficientNet.from_name("efficientnet-lite0").eval()
    embedded = {variable.path: np.array(variable) for variable in bundle.build().variables}
    for name, tensor in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):  # a counter of training
            path = variable_path(name)
            tensor.copy_(torch.from_numpy(in_torch_order(path, embedded[path]).copy()))
    return model


@pytest.fixture(scope="module")
def library(torch: Any) -> Any:
    # Only torchvision's transforms are used, but its import asks for these operators, which a
    # build for another kind of torch (CUDA beside CPU) does not bring.
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    yield pytest.importorskip("pytorch_grad_cam")


@pytest.fixture(scope="module")
def bundle() -> Any:
    return open_model("efficientnet-lite0")


@pytest.fixture(scope="module")
def images(bundle: Any, examples: Any) -> np.ndarray:
    names = ("cat.jpg", "coffee.jpg")
    return np.stack([prepare(str(examples / name), bundle.card.input) for name in names])


def as_tensor(torch: Any, images: np.ndarray) -> Any:
    """Return images as the port takes them, float32 (n, 3, height, width)."""
    scaled = (images.astype(np.float32) - 127) / 128
    return torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def seen(torch: Any, library: Any, original: Any, images: np.ndarray) -> Callable[[str], Seen]:
    """What the library saw in one of its methods, run at the last normalization."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def run(name: str) -> Seen:
        tensor, targets = as_tensor(torch, images), [ClassifierOutputTarget(TABBY)] * len(images)
        cam = getattr(library, name)(model=original, target_layers=[original._bn1])
        assert cam(input_tensor=tensor, targets=targets).shape == (2, 224, 224)
        kept = cam.activations_and_grads
        some, other = kept.activations[0].detach().numpy(), kept.gradients[0].detach().numpy()
        heat = cam.get_cam_image(tensor, original._bn1, targets, some, other, False)
        return Seen(cam, some, other, np.maximum(heat, 0))

    return run


def assert_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Image by image, in shares of the highest heat."""
    assert theirs.max() > 0
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=0, atol=TOLERANCE * np.abs(their).max())


def test_grad_cam_is_that_of_pytorch_grad_cam(bundle, images, seen):
    """Theirs before it is scaled to 0 to 1 and enlarged."""
    ours = GradientMethod(bundle, Target(TABBY), "grad-cam", "head_bn", 2).predict(images)
    assert_alike(ours["heat"], seen("GradCAM").heat)


def test_grad_cam_plus_plus_is_that_of_pytorch_grad_cam_less_its_epsilon(bundle, images, seen):
    """The library adds 1e-6 below the fraction, where squared gradients are 1e-6 too here.

    So its weights are compared at gradients 1,000 times larger, and the heat is made of its
    activations and gradients by those weights.
    """
    theirs = seen("GradCAMPlusPlus")
    last = tuple(np.moveaxis(part, 1, -1) for part in (theirs.activations, theirs.gradients))
    larger = theirs.gradients * 1000
    expected = theirs.cam.get_cam_weights(None, None, None, theirs.activations, larger)
    found = plus_plus_weights(last[0], last[1] * 1000)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    heat = np.maximum(np.einsum("nhwc,nc->nhw", last[0], plus_plus_weights(*last)), 0)
    ours = GradientMethod(bundle, Target(TABBY), "grad-cam++", "head_bn", 2).predict(images)
    assert_alike(ours["heat"], heat)


def test_plain_gradients_are_autograds(torch, original, bundle, images):
    """Of a score by every pixel; ours counts pixels from 0 to 255, so 128 times less."""
    tensor = as_tensor(torch, images).requires_grad_()
    original(tensor)[:, TABBY].sum().backward()
    theirs = tensor.grad.abs().amax(dim=1).numpy() / 128
    ours = PixelMethod(bundle, Target(TABBY), "gradients", None, 2).predict(images)["heat"]
    assert_alike(ours, theirs)
