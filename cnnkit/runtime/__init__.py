"""The only owner of process state: device, precision, threads, seed, environment, XLA.

`predictor` turns a `ModelSource` into a `Predictor` that runs where the machine is
fastest; `compile` and `value_and_gradient` are the two places that know which backend
Keras uses. Importing this package imports no framework.
"""

from __future__ import annotations

from cnnkit.runtime.any_size import AnySizeNetwork, any_size_network
from cnnkit.runtime.contract import ModelSource, Predictor, Quantization
from cnnkit.runtime.differentiation import compile, compile_model, value_and_gradient
from cnnkit.runtime.options import RuntimeOptions
from cnnkit.runtime.prediction import predictor
from cnnkit.runtime.process import (
    available_cpus,
    building_defaults,
    built_for_weights,
    built_if_accepted,
    cache_folder,
    import_keras,
    seed_everything,
    variables_without_memory,
)

__all__ = [
    "AnySizeNetwork",
    "ModelSource",
    "Predictor",
    "Quantization",
    "RuntimeOptions",
    "any_size_network",
    "available_cpus",
    "building_defaults",
    "built_for_weights",
    "built_if_accepted",
    "cache_folder",
    "compile",
    "compile_model",
    "import_keras",
    "predictor",
    "seed_everything",
    "value_and_gradient",
    "variables_without_memory",
]
