"""A graph opened: planned from the file itself, or by the card of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cnnkit.bundles.graphs.graph_card import GraphSpec
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.network import info_of, prepared
from cnnkit.bundles.graphs.planning import Planned, families, plan
from cnnkit.bundles.graphs.quantized_input import as_pixels, quantization_of
from cnnkit.bundles.graphs.reading import graph_model
from cnnkit.bundles.graphs.said import said_by
from cnnkit.bundles.graphs.scanning import GraphFile, scan
from cnnkit.errors import BundleError, broken_rule

# From the tensor of each output and the number of scores to the `openvino.Model` that runs.
RunningModel = Callable[[Mapping[str, str], int], Any]
# Prefixes of models elsewhere, and how to export one to ONNX there.
ELSEWHERE = {
    "keras-hub:": "model.export('model.onnx', format='onnx')",
    "timm:": "torch.onnx.export(timm.create_model(NAME, pretrained=True), images, 'model.onnx')",
    "hf:": "optimum-cli export onnx -m REPO DIR",
}


def plan_graph(path: Path, labels: str | None) -> tuple[GraphFile, Planned]:
    """Return a graph that is no bundle, checked, and how it is opened.

    Raises:
        BundleError: It cannot be opened.
        UsageError: It does not say enough of itself.
    """
    file = scan(path)
    ask = f"Make a bundle of it with cnnkit models import, like one of {families()}."
    return file, plan(file, graph_model(file), said_by(file), GraphWish(labels=labels), ask)


def running_model(path: Path, spec: GraphSpec, size: tuple[int, int]) -> RunningModel:
    """Return what makes the model that runs of a graph.

    Args:
        path: The file or folder.
        spec: What its input expects.
        size: Height and width of the images.
    """
    return partial(_running, path, spec, size)


def _running(
    path: Path, spec: GraphSpec, size: tuple[int, int], outputs: Mapping[str, str], rows: int
) -> Any:
    file = scan(path)
    if file.form != spec.form:
        raise BundleError(broken_rule(str(path), f"be of the form {spec.form}", file.form))
    _check_quantization(file, spec)
    try:
        return prepared(graph_model(file), spec, size, outputs, rows)
    except RuntimeError as error:
        from cnnkit.bundles.graphs.network import one_line

        rule = "be a graph that OpenVINO can run"
        raise BundleError(broken_rule(str(path), rule, one_line(error))) from error


def _check_quantization(file: GraphFile, spec: GraphSpec) -> None:
    """Refuse a bundle made when pixels entered a quantized input as they are, if that is wrong."""
    scale = file.metadata.get("input.scale")
    if scale is None or spec.scale is not None:
        return
    dtype = next(
        (one.dtype for one in info_of(graph_model(file)).inputs if one.name == spec.input), ""
    )
    how = quantization_of(file, dtype)
    if how is not None and as_pixels(how) is None:
        rule = "say how its input is quantized in its card"
        fix = "Import its file again, with this version."
        raise BundleError(broken_rule(str(file.path), rule, "nothing", fix))


def elsewhere(model: str) -> str | None:
    """Return how to export a model of another hub to ONNX, or None if it is not named so."""
    found = next((prefix for prefix in ELSEWHERE if model.startswith(prefix)), None)
    if found is None:
        return None
    return f"Export it to ONNX where it is installed ({ELSEWHERE[found]}), and give the file."
