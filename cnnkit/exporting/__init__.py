"""A model bundle as a file for another engine, checked by running it before it is done.

Every export takes RGB pixels as they are, uint8 (batch, height, width, 3) named ``image``: what
the network does to them first is inside. A classifier gives class probabilities, float32 (batch,
classes) named ``probabilities``, calibrated; a detector boxes and scores; what the other tasks
give stands in the description beside the file. So whoever runs the file needs no cnnkit to get
the figures that cnnkit gives.

A converter can write a file that runs and is wrong without a word (a grouped convolution in
ONNX, for one). So the file is run on images beside the bundle's own TensorFlow output in
float32, in a folder of its own; only what agrees takes the name that was requested.
"""

from __future__ import annotations

from cnnkit.exporting.checking import CheckFailedError
from cnnkit.exporting.checking_integers import Int8Output
from cnnkit.exporting.classifier import classifier_networks
from cnnkit.exporting.formats import FORMATS, form_of_suffix
from cnnkit.exporting.images import images_in
from cnnkit.exporting.networks import Input, NetworkExport, Output, Request
from cnnkit.exporting.writing import Exported, export_model

__all__ = [
    "FORMATS",
    "CheckFailedError",
    "Exported",
    "Input",
    "Int8Output",
    "NetworkExport",
    "Output",
    "Request",
    "classifier_networks",
    "export_model",
    "form_of_suffix",
    "images_in",
]
