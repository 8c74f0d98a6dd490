"""Converts one model in a process of its own: ``python -m cnnkit.bundles.to_openvino``.

The runtime starts it, so that TensorFlow is loaded, and forgotten, outside the process
that streams pictures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cnnkit.bundles.opening import open_model
from cnnkit.errors import CnnkitError
from cnnkit.runtime.openvino_predictor import REFUSAL, save_keras_model


def main(request: str, folder: str) -> int:
    """Convert the model of a JSON request into a folder; returns the exit status."""
    wanted = json.loads(request)
    how = {name: wanted.pop(name) for name in ("features", "network_name", "statistics_form")}
    try:
        model = open_model(**wanted).build(**how)
    except CnnkitError as error:
        (Path(folder) / REFUSAL).write_text(str(error), encoding="utf-8")
        return 2
    save_keras_model(model, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
