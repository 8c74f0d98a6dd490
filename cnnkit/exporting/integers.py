"""Exports that are computed in 8-bit integers, by the ranges of the bundle's card.

The kernels have 7 bits (`HALF_RANGE`): such a file gives the same on every processor, while one
with 8 would saturate silently where there is neither VNNI nor AMX.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.bundles.weights import variables_by_path
from cnnkit.errors import OutputError, RuntimeUnavailableError, UsageError, broken_rule, requires
from cnnkit.exporting.conversion import convert, refusal
from cnnkit.exporting.networks import NetworkExport
from cnnkit.exporting.onnx_integers import quantize_onnx
from cnnkit.runtime import building_defaults
from cnnkit.runtime.keras_conversion import named_graph
from cnnkit.runtime.process import (
    import_openvino,
    silenced_standard_error,
    without_compiled_files,
)
from cnnkit.runtime.quantization import HALF_RANGE, LayerInputs, quantize

PRECISIONS = ("float32", "int8")
FORMS = ("onnx", "openvino")


def check_precision(precision: str, form: str, bundle: Bundle) -> None:
    """Refuse a precision that an export cannot have.

    Raises:
        UsageError: It is not one of `PRECISIONS`, or the form has none but float32.
        RuntimeUnavailableError: It is int8, and no network of the bundle has ranges.
    """
    if precision not in PRECISIONS:
        rule = f"be one of {', '.join(PRECISIONS)}"
        raise UsageError(broken_rule("`precision`", rule, repr(precision)))
    if precision == "float32":
        return
    if form not in FORMS:
        raise UsageError(
            requires("`precision='int8'`", "`format='onnx'` or `format='openvino'`", f"Got {form}.")
        )
    names: list[str | None] = [*bundle.card.networks] or [None]
    sources = [bundle.source(network_name=name) for name in names]
    if all(source.quantization is None for source in sources):
        raise RuntimeUnavailableError(requires("`precision='int8'`", *sources[0].without_int8))


def precision_of(precision: str, bundle: Bundle, exported: NetworkExport) -> str:
    """Return the precision of one network's export: without ranges it stays in float32.

    Args:
        precision: Of the whole export, see `check_precision`.
        bundle: The model.
        exported: One of its networks.
    """
    source = bundle.source(network_name=exported.name)
    return "float32" if source.quantization is None else precision


def activations_of(bundle: Bundle, exported: NetworkExport) -> LayerInputs:
    """Return the ranges, means, and bits of one of a bundle's networks, which has ranges.

    Raises:
        BundleError: The file of the means and bits cannot be read.
    """
    how = bundle.source(network_name=exported.name).quantization
    if how is None:
        return LayerInputs({}, {})
    means, bits = ({} if read is None else read() for read in (how.means, how.bits))
    return LayerInputs(how.ranges, means, bits)


def convert_in_integers(
    network: Any,
    model: Any,
    exported: NetworkExport,
    activations: LayerInputs,
    form: str,
    path: Path,
) -> None:
    """Write a `deployable` model in 8-bit integers.

    Args:
        network: The network inside it, whose weights the ranges name.
        model: From `cnnkit.exporting.conversion.deployable`.
        exported: What its ends are.
        activations: The network's, see `activations_of`.
        form: One of `FORMS`.
        path: Where to write.

    Raises:
        OutputError: The converter cannot, or the network lacks a layer of a range.
    """
    variables, ranges = variables_by_path(network), activations.ranges
    if missing := sorted(set(ranges) - set(variables)):
        rule = "have a layer for each activation range of its card"
        raise OutputError(broken_rule(path.name, rule, f"none for {missing[0]}"))
    if form == "onnx":
        convert(model, form, path)
        kernels = {name: np.asarray(variables[name].numpy()) for name in ranges}
        quantize_onnx(path, kernels, activations, HALF_RANGE)
        return
    with building_defaults(), silenced_standard_error(), without_compiled_files():
        try:
            graph = named_graph(model, variables, own_dtypes=True)
        except Exception as error:  # converters raise whatever their own libraries do
            raise refusal(path, form, error) from error
        try:
            means, bits = activations.means, activations.bits
            graph = quantize(graph, ranges, HALF_RANGE, means=means, bits=bits, stored=True)
            if exported.batch is not None:
                _fix_batch(graph, exported.batch)
            import_openvino().save_model(graph, path, compress_to_fp16=False)
        except (KeyError, ValueError, RuntimeError, OSError) as error:  # all else is our fault
            raise refusal(path, form, error) from error


def _fix_batch(graph: Any, batch: int) -> None:
    shapes = {}
    for tensor in graph.inputs:
        shape = tensor.get_partial_shape()
        shape[0] = batch
        shapes[tensor] = shape
    graph.reshape(shapes)
