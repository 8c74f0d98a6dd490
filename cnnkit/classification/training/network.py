"""The network that a run leaves: where it comes from, how it is built, what its card says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cnnkit import architectures
from cnnkit.bundles import Bundle
from cnnkit.classification.training.backbone import Backbone, head_layer
from cnnkit.classification.training.head import DenseHead
from cnnkit.errors import UsageError, broken_rule
from cnnkit.images import InputSpec
from cnnkit.images.prepare import MAX_SIDE, check_fit
from cnnkit.runtime import building_defaults, import_keras
from cnnkit.runtime.training_devices import seed_epoch

LEAST_SIDE = 8
RGB = 3


@dataclass(frozen=True)
class Network:
    """What a bundle says of its network.

    Attributes:
        origin: The backbone, or the architecture that was trained from scratch.
        sha256: SHA-256 of the backbone's weights, if known.
        license: License of the backbone's weights, if known.
        builder: A name in `cnnkit.architectures.BUILDERS`, or None.
        arguments: Arguments of the builder.
        spec: Preprocessing of the network's input.
        features: The card's entry of the features.
        build: Gives the `keras.Model` with its weights.
        backbone: The model of the origin; None: it was trained from scratch.
    """

    origin: str
    sha256: str | None
    license: str | None
    builder: str | None
    arguments: Mapping[str, Any]
    spec: InputSpec
    features: Mapping[str, Any]
    build: Callable[[], Any]
    backbone: Bundle | None = None

    def trained(self, model: Any) -> Network:
        """Return the same network with a model at hand in place of its own."""
        return replace(self, build=lambda: model)


def backbone_network(backbone: Backbone, head: DenseHead) -> Network:
    """Return a backbone with a new head."""
    card = backbone.bundle.card
    layer = card.features_layer if backbone.builder else "features"
    return Network(
        origin=card.name,
        sha256=card.weights.get("sha256"),
        license=card.content.get("license"),
        builder=backbone.builder,
        arguments=backbone.arguments(head) if backbone.builder else {},
        spec=backbone.spec,
        features={"layer": layer, "size": len(head.kernel)},
        build=lambda: backbone.build(head),
        backbone=backbone.bundle,
    )


def fresh_network(
    architecture: str, classes: int, *, side: int | None, fit: str | None, seed: int
) -> Network:
    """Return an architecture with random weights.

    Args:
        architecture: A name in `cnnkit.architectures.BUILDERS`.
        classes: At least 2.
        side: Side of the square input, or None for the architecture's own.
        fit: ``crop``, ``pad`` or ``stretch``; None: crop.
        seed: Random seed for the weights.

    Raises:
        UsageError: There is no such architecture, or it takes no such input.
    """
    if architecture in architectures.BUILDERS:
        import_keras()  # quietly, before the builder's own file imports it
    build = architectures.builder(architecture)
    if side is not None and not LEAST_SIDE <= side <= MAX_SIDE:
        raise UsageError(broken_rule("`size`", f"be from {LEAST_SIDE} to {MAX_SIDE}", side))
    check_fit(fit)
    arguments: dict[str, Any] = {"classes": classes}
    if side is not None:
        arguments["input_shape"] = (side, side, RGB)
    model = _built(architecture, build, arguments, seed)
    height, width, channels = model.inputs[0].shape[1:]
    if channels != RGB:  # a network for gray images: every loader gives it RGB
        arguments["input_shape"] = (height, width, RGB)
        model = _built(architecture, build, arguments, seed)
    features = {}
    if "features" in {layer.name for layer in model.layers}:
        features = {"layer": "features", "size": int(head_layer(model).kernel.shape[-2])}
    return Network(
        origin=architecture,
        sha256=None,
        license=None,
        builder=architecture,
        arguments=arguments,
        spec=InputSpec(height, width, fit or "crop"),
        features=features,
        build=lambda: model,
    )


def _built(
    architecture: str, build: Callable[..., Any], arguments: dict[str, Any], seed: int
) -> Any:
    """Build a network with the random weights of a seed.

    Raises:
        UsageError: It takes no such arguments.
    """
    seed_epoch(seed, 0)
    with building_defaults():
        try:
            return build(**arguments)
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            received = f"{architecture}: {reason}"
            rule = "name an architecture for classes and this `size`"
            raise UsageError(broken_rule("`from_scratch`", rule, received)) from error
