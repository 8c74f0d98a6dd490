"""keras.applications by name: each family's input size and preprocessing, as a table.

The names can be listed without importing Keras; a test holds the table to Keras's own. A name that
is not in it is looked for in the installed Keras, which may be newer.
"""

from __future__ import annotations

import inspect
from functools import cache, partial
from typing import Any, NamedTuple

from cnnkit.errors import BundleError, UsageError, broken_rule, did_you_mean
from cnnkit.images import InputSpec
from cnnkit.names import known_network
from cnnkit.runtime import import_keras, variables_without_memory

PREFIX = "keras:"


class Application(NamedTuple):
    """Where keras.applications keeps a network, and the side of its square input."""

    module: str
    size: int = 224


APPLICATIONS: dict[str, Application] = {
    "ConvNeXtBase": Application("convnext"),
    "ConvNeXtLarge": Application("convnext"),
    "ConvNeXtSmall": Application("convnext"),
    "ConvNeXtTiny": Application("convnext"),
    "ConvNeXtXLarge": Application("convnext"),
    "DenseNet121": Application("densenet"),
    "DenseNet169": Application("densenet"),
    "DenseNet201": Application("densenet"),
    "EfficientNetB0": Application("efficientnet", 224),
    "EfficientNetB1": Application("efficientnet", 240),
    "EfficientNetB2": Application("efficientnet", 260),
    "EfficientNetB3": Application("efficientnet", 300),
    "EfficientNetB4": Application("efficientnet", 380),
    "EfficientNetB5": Application("efficientnet", 456),
    "EfficientNetB6": Application("efficientnet", 528),
    "EfficientNetB7": Application("efficientnet", 600),
    "EfficientNetV2B0": Application("efficientnet_v2", 224),
    "EfficientNetV2B1": Application("efficientnet_v2", 240),
    "EfficientNetV2B2": Application("efficientnet_v2", 260),
    "EfficientNetV2B3": Application("efficientnet_v2", 300),
    "EfficientNetV2L": Application("efficientnet_v2", 480),
    "EfficientNetV2M": Application("efficientnet_v2", 480),
    "EfficientNetV2S": Application("efficientnet_v2", 384),
    "InceptionResNetV2": Application("inception_resnet_v2", 299),
    "InceptionV3": Application("inception_v3", 299),
    "MobileNet": Application("mobilenet"),
    "MobileNetV2": Application("mobilenet_v2"),
    "MobileNetV3Large": Application("mobilenet_v3"),
    "MobileNetV3Small": Application("mobilenet_v3"),
    "NASNetLarge": Application("nasnet", 331),
    "NASNetMobile": Application("nasnet", 224),
    "ResNet101": Application("resnet"),
    "ResNet101V2": Application("resnet_v2"),
    "ResNet152": Application("resnet"),
    "ResNet152V2": Application("resnet_v2"),
    "ResNet50": Application("resnet"),
    "ResNet50V2": Application("resnet_v2"),
    "VGG16": Application("vgg16"),
    "VGG19": Application("vgg19"),
    "Xception": Application("xception", 299),
}


def application(name: str) -> Application:
    """Return where a network is, of a name that `application_name` gives."""
    return APPLICATIONS.get(name) or installed()[name]


@cache
def installed() -> dict[str, Application]:
    """Return the classifiers that the installed Keras has and the table has not."""
    public = import_keras().applications
    families = {
        name: family
        for name, family in vars(public).items()
        if inspect.ismodule(family) and hasattr(family, "preprocess_input")
    }
    found = {}
    for name, build in vars(public).items():
        if name in APPLICATIONS or not (inspect.isfunction(build) and name[0].isupper()):
            continue
        # The families by name, so that of two with one builder it is always the same.
        for module in sorted(families):
            if getattr(families[module], name, None) is build:
                found[name] = Application(module, _own_side(build))
                break
    return found


def _own_side(build: Any) -> int:
    """Return the side of a network's own square input, 224 where it takes any."""
    with variables_without_memory():
        return build(weights=None).inputs[0].shape[1] or Application("").size


def application_name(model: str) -> str:
    """Return the exact name of ``keras:NAME``, however it is spelled.

    Raises:
        UsageError: Keras has no such classifier.
    """
    wanted = model.removeprefix(PREFIX)
    names = list(APPLICATIONS)
    if known_network(wanted, names) is None:
        names += installed()
    known = known_network(wanted, names)
    if known is not None:
        return known
    fix = did_you_mean(f"{PREFIX}{wanted}", [f"{PREFIX}{name}" for name in names])
    raise UsageError(
        broken_rule("`model='keras:NAME'`", "name a keras.applications classifier", model, fix)
    )


def input_spec(name: str) -> InputSpec:
    """Return how an image becomes the network's input: its own size, the usual center crop."""
    size = application(name).size
    return InputSpec(size, size, fit="crop", crop_fraction=0.875, interpolation="bicubic")


def build_application(keras: Any, name: str, weights: str | None) -> Any:
    """Build a network with its preprocessing inside, and give it weights.

    Args:
        keras: The Keras module.
        name: Name returned by `application_name`.
        weights: A weights file, or None for Keras's own download.

    Returns:
        A functional model from RGB pixels 0-255 to logits (batch, 1000).

    Raises:
        BundleError: The download failed, or the file does not fit.
    """
    found = application(name)
    module = getattr(keras.applications, found.module)
    build = getattr(keras.applications, name)
    pretrained = _with_weights(keras, name, build, weights)
    image = keras.Input((found.size, found.size, 3), name="image")
    # One flat graph: features inside a nested network could not be reached from outside.
    flat = build(
        weights=None, input_tensor=module.preprocess_input(image), classifier_activation=None
    )
    flat.set_weights(pretrained.get_weights())
    return keras.Model(image, flat.output, name=name.lower())


def build_convolutions(keras: Any, name: str, weights: str | None) -> Any:
    """Build a network's convolutions, for images of any size, with its preprocessing inside.

    Args:
        keras: The Keras module.
        name: Name returned by `application_name`.
        weights: A weights file, with or without the dense layers, or None for Keras's own
            download.

    Returns:
        A functional model from RGB pixels 0-255 (batch, height, width, 3) to the last feature
        map, its layers named as Keras names them.

    Raises:
        BundleError: The download failed, or the file does not fit.
    """
    module = getattr(keras.applications, application(name).module)
    build = getattr(keras.applications, name)
    try:
        pretrained = _with_weights(keras, name, partial(build, include_top=False), weights)
    except BundleError as error:
        if weights is None or isinstance(error.__cause__, OSError):  # no file of weights at all
            raise
        pretrained = _with_weights(keras, name, build, weights)
    image = keras.Input((None, None, 3), name="image")
    flat = build(
        weights=None, include_top=False, input_tensor=module.preprocess_input(image), pooling=None
    )
    flat.set_weights(pretrained.get_weights()[: len(flat.weights)])
    return keras.Model(image, flat.output, name=name.lower())


def _with_weights(keras: Any, name: str, build: Any, weights: str | None) -> Any:
    if weights is None:
        try:
            return build(weights="imagenet", classifier_activation=None)
        except (TypeError, AttributeError, NameError):  # a fault of the call, not of the network
            raise
        except Exception as error:  # Keras reports a failed download as a plain Exception
            reason = (str(error).strip().splitlines() or ["no message"])[0][:200]
            raise BundleError(
                f"keras:{name} needs its ImageNet weights, and Keras's own download failed: "
                f"{reason.rstrip('.')}. Give the file with `weights`."
            ) from error
    network = build(weights=None, classifier_activation=None)
    try:
        network.load_weights(weights)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no message"])[0][:200]
        raise BundleError(
            f"{weights} must hold the weights of keras:{name}. Received: {reason}"
        ) from error
    return network
