"""Converts one model in a process of its own, as `cnnkit.runtime.children` starts it.

The runtime starts it, so that TensorFlow is loaded, and forgotten, outside the process
that streams images.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from cnnkit.bundles.opening import Bundle, open_model
from cnnkit.bundles.weights import variables_by_path
from cnnkit.errors import CnnkitError
from cnnkit.runtime.compiled_cache import cache_is_writable, compiled_model
from cnnkit.runtime.openvino_predictor import REFUSAL, save_keras_model


def main(request: str, folder: str) -> int:
    """Convert the model of a JSON request into a folder; returns the exit status.

    The bundle's other networks are put into the cache on the way: they will be wanted next, and
    most of the time goes into starting.
    """
    wanted = json.loads(request)
    how = {name: wanted.pop(name) for name in ("features", "network_name", "statistics_form")}
    names_weights = wanted.pop("names_weights", False)
    try:
        bundle = open_model(**wanted)
        model = bundle.build(**how)
    except CnnkitError as error:
        (Path(folder) / REFUSAL).write_text(str(error), encoding="utf-8")
        return 2
    save_keras_model(model, Path(folder), variables_by_path(model) if names_weights else None)
    if not names_weights and bundle.card.task == "find-face" and cache_is_writable():
        keep_others(bundle, how["network_name"])
    return 0


def keep_others(bundle: Bundle, done: str) -> None:
    """Put the bundle's other networks into the cache."""
    for name in bundle.card.networks:
        if name == done:
            continue
        model = bundle.build(network_name=name)
        if len(model.inputs) == 1:
            identity = bundle.source(network_name=name).identity
            with compiled_model(identity, partial(save_keras_model, model)):
                pass


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
