"""Model bundles: pretrained models and the users' own, opened by one door.

A bundle is a folder with ``card.json``, ``labels.txt`` and ``weights.safetensors``, or
``model.keras``. `open_model` also takes an embedded name, a bare ``.keras`` file and
``keras:NAME``. Opening reads and checks; the network is built only when it is requested.
"""

from __future__ import annotations

from cnnkit.bundles.card import ModelCard, NetworkSpec, file_sha256, read_card, read_labels
from cnnkit.bundles.embedded import embedded_folder, embedded_name, embedded_names
from cnnkit.bundles.opening import Bundle, open_model

__all__ = [
    "Bundle",
    "ModelCard",
    "NetworkSpec",
    "embedded_folder",
    "embedded_name",
    "embedded_names",
    "file_sha256",
    "open_model",
    "read_card",
    "read_labels",
]
