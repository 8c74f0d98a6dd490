"""The backbone: an opened model whose features a new head stands on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit import architectures
from cnnkit.architectures.feature_roots import ROOTING_BUILDERS
from cnnkit.bundles import (
    Bundle,
    applications,
    embedded_folder,
    embedded_name,
    embedded_names,
    network,
    open_model,
)
from cnnkit.bundles.opening import WEIGHTS
from cnnkit.bundles.weights import read_weights, variables_by_path
from cnnkit.classification.training.head import DenseHead
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import InputSpec
from cnnkit.images.prepare import check_fit
from cnnkit.runtime import building_defaults

DROPOUT = 0.2


@dataclass(frozen=True)
class Backbone:
    """A pretrained network.

    Attributes:
        name: As the user typed it.
        bundle: The network with its own head.
        spec: Preprocessing of the network's input.
        weights: The file of ``keras:NAME``'s weights, or None.
    """

    name: str
    bundle: Bundle
    spec: InputSpec
    weights: str | None = None

    @property
    def builder(self) -> str | None:
        """The name of its builder, or None if a ``.keras`` file must hold the network."""
        return self.bundle.card.builder

    @property
    def takes_roots(self) -> bool:
        """Whether a head can stand on the square roots of its features."""
        return self.builder in ROOTING_BUILDERS

    def arguments(self, head: DenseHead) -> dict[str, Any]:
        """Return the builder's arguments for a network with a new head."""
        own = {k: v for k, v in self.bundle.card.arguments.items() if k != "root_features"}
        roots = {"root_features": True} if head.root_features else {}
        return {**own, "classes": len(head.bias), **roots}

    def build(self, head: DenseHead) -> Any:
        """Build the network with a new head, flat, its preprocessing inside.

        Args:
            head: Over the backbone's features.

        Returns:
            A functional `keras.Model` from RGB 0-255 to logits, float32 (batch, classes).
        """
        with building_defaults() as keras:
            if self.builder is None:
                return _application_with_head(keras, self, head)
            return _builder_with_head(self, head)


def open_backbone(name: str, weights: str | None = None, fit: str | None = None) -> Backbone:
    """Open a backbone.

    Args:
        name: An embedded classifier, ``keras:NAME``, or a bundle folder of a known builder.
        weights: A weights file for ``keras:NAME``.
        fit: ``crop``, ``pad`` or ``stretch``; the backbone's own by default.

    Raises:
        UsageError: There is no such model, or it cannot be a backbone.
        BundleError: It exists but cannot be opened, or is unsafe to open.
    """
    check_fit(fit)
    name = embedded_name(name) or name
    bundle = open_model(name, weights, parameter="backbone", words=("auto",))
    card = bundle.card
    if card.task != "classify" or not (card.builder or name.startswith(applications.PREFIX)):
        rule = "be an embedded classifier, keras:NAME, or a bundle of a known architecture"
        raise UsageError(broken_rule("`backbone`", rule, name))
    spec = card.input.with_fit(fit)
    return Backbone(name, bundle, spec, weights)


def head_layer(model: Any) -> Any:
    """Return the last layer with a kernel: dense, or a convolution of one pixel."""
    return next(x for x in reversed(model.layers) if type(x).__name__ in ("Dense", "Conv2D"))


def put_head(model: Any, head: DenseHead) -> None:
    """Put a head's weights into the last layer of a network."""
    kernel, bias = head_layer(model).weights
    kernel.assign(head.kernel.reshape(kernel.shape))
    bias.assign(head.bias)


def _builder_with_head(backbone: Backbone, head: DenseHead) -> Any:
    build = architectures.builder(backbone.builder or "")
    model = build(**backbone.arguments(head))
    own = {variable.path for variable in head_layer(model).weights}
    variables = variables_by_path(model)
    for path, value in read_weights(_weights_file(backbone), variables.keys() - own):
        variables[path].assign(value)
    put_head(model, head)
    return model


def _weights_file(backbone: Backbone) -> Path:
    """Return the file of a backbone's weights, which was checked when it was opened."""
    folder = Path(backbone.bundle.request["model"])
    if backbone.name in embedded_names():
        folder = embedded_folder(backbone.name)
    return folder / backbone.bundle.card.weights.get("file", WEIGHTS)


def _application_with_head(keras: Any, backbone: Backbone, head: DenseHead) -> Any:
    """Build a network of keras.applications as one graph, with a dense layer as its end."""
    full = backbone.bundle.load()
    features = network.penultimate(full)
    if len(features.shape) == 4:  # (batch, height, width, channels)
        features = keras.layers.GlobalAveragePooling2D(name="features")(features)
    else:
        features = keras.layers.Activation("linear", name="features")(features)
    x = keras.layers.Dropout(DROPOUT, name="head_dropout")(features)
    x = keras.layers.Dense(len(head.bias), name="classifier")(x)
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(x)
    model = keras.Model(full.inputs[0], logits, name=full.name)
    put_head(model, head)
    return model
