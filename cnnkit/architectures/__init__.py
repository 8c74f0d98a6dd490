"""Builders of ConvNets: plain functions that return a functional `keras.Model`.

This module is the static table of names. It imports no framework: the builder's own
file is imported when `builder` is called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.names import known_network

BUILDERS: dict[str, str] = {
    "alexnet": "cnnkit.architectures.alexnet:alexnet",
    "alexnet-one-weird-trick": "cnnkit.architectures.alexnet:alexnet_one_weird_trick",
    "alexnet-ungrouped": "cnnkit.architectures.alexnet:alexnet_ungrouped",
    "efficientnet-lite0": "cnnkit.architectures.efficientnet:efficientnet_lite0",
    "efficientnet-lite1": "cnnkit.architectures.efficientnet:efficientnet_lite1",
    "efficientnet-lite2": "cnnkit.architectures.efficientnet:efficientnet_lite2",
    "efficientnet-lite3": "cnnkit.architectures.efficientnet:efficientnet_lite3",
    "efficientnet-lite4": "cnnkit.architectures.efficientnet:efficientnet_lite4",
    "embedding-small": "cnnkit.architectures.embedding:embedding_small",
    "face-resnet-v1": "cnnkit.architectures.face_resnet:face_resnet_v1",
    "googlenet": "cnnkit.architectures.inception:googlenet",
    "localizer-lite0": "cnnkit.architectures.localizer:localizer_lite0",
    "lenet-5": "cnnkit.architectures.lenet:lenet_5",
    "lenet-5-1998": "cnnkit.architectures.lenet_1998:lenet_5_1998",
    "magenta-style-predict": "cnnkit.architectures.magenta_style:magenta_style_predict",
    "magenta-style-transform": "cnnkit.architectures.magenta_style:magenta_style_transform",
    "mtcnn-output": "cnnkit.architectures.mtcnn:mtcnn_output",
    "mtcnn-proposal": "cnnkit.architectures.mtcnn:mtcnn_proposal",
    "mtcnn-refinement": "cnnkit.architectures.mtcnn:mtcnn_refinement",
    "nanodet-g": "cnnkit.architectures.nanodet:nanodet_g",
    "plain-101": "cnnkit.architectures.resnet:plain_101",
    "plain-152": "cnnkit.architectures.resnet:plain_152",
    "plain-18": "cnnkit.architectures.resnet:plain_18",
    "plain-20": "cnnkit.architectures.resnet_cifar:plain_20",
    "plain-34": "cnnkit.architectures.resnet:plain_34",
    "plain-50": "cnnkit.architectures.resnet:plain_50",
    "plain-56": "cnnkit.architectures.resnet_cifar:plain_56",
    "resnet-101": "cnnkit.architectures.resnet:resnet_101",
    "resnet-152": "cnnkit.architectures.resnet:resnet_152",
    "resnet-18": "cnnkit.architectures.resnet:resnet_18",
    "resnet-20": "cnnkit.architectures.resnet_cifar:resnet_20",
    "resnet-34": "cnnkit.architectures.resnet:resnet_34",
    "resnet-50": "cnnkit.architectures.resnet:resnet_50",
    "resnet-56": "cnnkit.architectures.resnet_cifar:resnet_56",
    "squeezenet-1.1": "cnnkit.architectures.squeezenet:squeezenet_1_1",
    "style-transformer": "cnnkit.architectures.style_transformer:style_transformer",
    "vgg-11": "cnnkit.architectures.vgg:vgg_11",
    "vgg-13": "cnnkit.architectures.vgg:vgg_13",
    "vgg-16": "cnnkit.architectures.vgg:vgg_16",
    "vgg-19": "cnnkit.architectures.vgg:vgg_19",
    "ssd-lite0": "cnnkit.architectures.ssd:ssd_lite0",
    "yolov3": "cnnkit.architectures.yolo:yolov3",
    "yolov3-tiny": "cnnkit.architectures.yolo:yolov3_tiny",
    "yunet": "cnnkit.architectures.yunet:yunet",
}


def builder_name(name: str) -> str | None:
    """Return the key of `BUILDERS` that a name in any spelling means, None if none is meant."""
    return known_network(name, BUILDERS)


def builder(name: str) -> Callable[..., Any]:
    """Return the builder of that name.

    Args:
        name: A key of `BUILDERS`, in any spelling: ``vgg16`` and ``VGG-16`` are ``vgg-16``.

    Raises:
        UsageError: There is no such architecture.
    """
    known = builder_name(name)
    if known is None:
        fix = did_you_mean(name, list(BUILDERS)) or f"Known: {', '.join(BUILDERS)}."
        raise UsageError(broken_rule("architecture", "be a known name", repr(name), fix))
    module, _, function = BUILDERS[known].partition(":")
    return getattr(import_module(module), function)
