"""Converts one network in a process of its own, as `cnnkit.runtime.children` starts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cnnkit.bundles import open_model
from cnnkit.errors import CnnkitError
from cnnkit.explanation.networks import build
from cnnkit.runtime.openvino_predictor import REFUSAL, save_keras_model


def main(request: str, folder: str) -> int:
    """Convert the network of a JSON request into a folder; returns the exit status."""
    wanted = json.loads(request)
    try:
        model = build(open_model(**wanted["model"]), wanted["plan"])
    except CnnkitError as error:
        (Path(folder) / REFUSAL).write_text(str(error), encoding="utf-8")
        return 2
    save_keras_model(model, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
