"""The loss network: a pretrained classifier whose layers say what content and style are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit import architectures
from cnnkit.bundles import applications, embedded_folder, open_model
from cnnkit.bundles.opening import WEIGHTS
from cnnkit.bundles.weights import load_weights
from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.runtime import building_defaults

DEFAULT = "squeezenet-1.1"


@dataclass(frozen=True)
class LossRecipe:
    """The layers of a network that the losses look at.

    Attributes:
        content: The layers whose features are to stay, with their weights, such that the
            course's 10 to 40 gives a result in which both are plain to see.
        style: The layers whose Gram matrices are to become the style's, with their weights.
        stride: Pixels of the image for each position of the deepest of them.
        reach: Pixels on each side that a position of the deepest of them sees beyond its own.
        bytes_per_pixel: What a step takes of memory for each pixel, measured by
            benchmarks/stylize.py --memory.
        content_bytes_per_pixel: What the content's features take, for one place of the grid.
        smallest: The shortest side of an image that leaves every layer a few positions.
    """

    content: Mapping[str, float]
    style: Mapping[str, float]
    stride: int
    reach: int
    bytes_per_pixel: int
    content_bytes_per_pixel: int = 32
    smallest: int = 64


# The first layers hold color and brushwork, the later ones larger forms.
RECIPES: dict[str, LossRecipe] = {
    "squeezenet-1.1": LossRecipe(
        content={"fire3_join": 0.25},
        style={
            "conv1_activation": 0.2,
            "fire2_join": 0.2,
            "fire3_join": 0.2,
            "fire5_join": 0.2,
            "fire7_join": 0.2,
        },
        stride=16,
        reach=72,
        bytes_per_pixel=700,
    ),
    "keras:VGG16": LossRecipe(
        content={"block4_conv2": 0.25},
        style={f"block{block}_conv1": 0.2 for block in range(1, 6)},
        stride=16,
        reach=72,
        bytes_per_pixel=2700,
    ),
    "keras:VGG19": LossRecipe(
        content={"block4_conv2": 0.25},
        style={f"block{block}_conv1": 0.2 for block in range(1, 6)},
        stride=16,
        reach=80,
        bytes_per_pixel=2800,
    ),
}


@dataclass(frozen=True)
class LossNetwork:
    """A loss network, built, with its weights.

    Attributes:
        name: A key of `RECIPES`.
        recipe: Its layers.
        model: From RGB 0 to 255, float32 (batch, height, width, 3) of any size, to a dict of
            each layer's features (batch, height', width', channels). Nothing in it is trained.
        content_model: The same up to the content's layers only.
        identity: A hash of all that its features depend on.
    """

    name: str
    recipe: LossRecipe
    model: Any
    content_model: Any
    identity: str


def network_name(name: str) -> str:
    """Return a loss network's name as `RECIPES` has it.

    Raises:
        UsageError: There is no such loss network.
    """
    for known in RECIPES:
        if known.lower() == name.lower():
            return known
    fix = did_you_mean(name, tuple(RECIPES)) or "The embedded one needs no download."
    raise UsageError(broken_rule("`network`", f"be one of {', '.join(RECIPES)}", name, fix))


def open_loss_network(name: str = DEFAULT, weights: str | None = None) -> LossNetwork:
    """Open a loss network.

    Args:
        name: A key of `RECIPES`, in any case.
        weights: A weights file of ``keras:NAME``, with or without the dense layers; None:
            Keras's own download. The embedded network has its own.

    Raises:
        UsageError: There is no such network, or no such file.
        BundleError: The weights cannot be had, or do not fit.
    """
    name = network_name(name)
    recipe = RECIPES[name]
    bundle = open_model(name, weights)
    with building_defaults() as keras:
        if bundle.card.builder:
            full = architectures.builder(bundle.card.builder)(
                **{**bundle.card.arguments, "input_shape": (None, None, 3)}
            )
            file = bundle.card.weights.get("file", WEIGHTS)
            load_weights(full, Path(embedded_folder(name)) / file)
        else:
            full = applications.build_convolutions(
                keras, applications.application_name(name), weights
            )
        smooth = with_average_pooling(keras, full)
        model = _with_outputs(keras, smooth, [*recipe.content, *recipe.style])
        content_model = _with_outputs(keras, smooth, list(recipe.content))
    return LossNetwork(name, recipe, model, content_model, bundle.identity)


def with_average_pooling(keras: Any, model: Any) -> Any:
    """Return a network whose maximum poolings are averages, with the same weights.

    The gradient of a maximum reaches one pixel in four or nine and draws hatching; that of an
    average reaches all. The paper recommends it, and the forms of a style come out larger.
    """

    def cloned(layer: Any) -> Any:
        """Return a copy of a layer, of a maximum pooling an average one."""
        if isinstance(layer, keras.layers.MaxPooling2D):
            names = ("name", "pool_size", "strides", "padding", "data_format")
            config = {name: layer.get_config()[name] for name in names}
            return keras.layers.AveragePooling2D(**config)
        return type(layer).from_config(layer.get_config())

    smooth = keras.models.clone_model(model, clone_function=cloned)
    smooth.set_weights(model.get_weights())
    return smooth


def _with_outputs(keras: Any, model: Any, layers: list[str]) -> Any:
    outputs = {layer: model.get_layer(layer).output for layer in layers}
    found = keras.Model(model.inputs[0], outputs, name="loss_network")
    found.trainable = False
    return found
