"""Runs an export in 8-bit integers beside the model's own 8-bit integers and float32.

Rounding moves every number, so no export in 8-bit integers gives what float32 gives. What can be
demanded is that it is no further from float32 than what cnnkit itself computes in 8-bit integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.bundles.weights import variables_by_path
from cnnkit.errors import broken_rule
from cnnkit.exporting.checking import (
    CheckFailedError,
    ExpectedOutputs,
    answers,
    unchecked_is_refused,
)
from cnnkit.exporting.formats import FORMATS, Run
from cnnkit.exporting.networks import Arrays, NetworkExport, Output
from cnnkit.runtime import RuntimeOptions, any_size_network
from cnnkit.runtime.keras_conversion import named_graph
from cnnkit.runtime.process import silenced_standard_error

# Engines round in another order; none of it may add up.
AS_FAR = 2.0
# A mean difference that is as good as none.
NEXT_TO_NOTHING = 1e-5
IN_INT8 = RuntimeOptions(device="cpu", runtime="openvino", precision="int8")


@dataclass(frozen=True)
class Closeness:
    """How near an output is to the model itself in float32.

    Attributes:
        mean: The mean difference, as a share, see `cnnkit.exporting.networks.Output.unit`.
        largest: The largest difference, as a share.
        same_first: The share of the images of which the largest number is the same one; None: the
            numbers are no probabilities.
    """

    mean: float
    largest: float
    same_first: float | None


@dataclass(frozen=True)
class Int8Output:
    """What the check of one output found.

    Attributes:
        output: The output.
        export: How near the export is to float32.
        own: How near the model's own 8-bit integers are, in OpenVINO on this machine.
    """

    output: Output
    export: Closeness
    own: Closeness


def compare_integers(
    bundle: Bundle,
    exported: NetworkExport,
    network: Any,
    form: str,
    path: Path,
    truth: ExpectedOutputs,
) -> tuple[Int8Output, ...]:
    """Run an export in 8-bit integers, and return how near each output is to float32.

    Args:
        bundle: The model.
        exported: One of its networks.
        network: That network, built.
        form: A key of `FORMATS`.
        path: The export.
        truth: What the network gives in float32.

    Raises:
        CheckFailedError: It cannot be run, or an output is on average more than `AS_FAR` times as
            far from float32 as the model's own 8-bit integers are.
    """
    with unchecked_is_refused(form):
        given = closeness(FORMATS[form].opener(path), exported.outputs, truth, exported.batch)
    own = closeness(_own_integers(bundle, exported, network), exported.outputs, truth, None)
    found = tuple(Int8Output(one, given[one.name], own[one.name]) for one in exported.outputs)
    for one in found:
        limit = max(AS_FAR * one.own.mean, NEXT_TO_NOTHING)
        if not one.export.mean <= limit:  # NaN fails too
            rule = f"differ on average by at most {limit:.3g} from the model itself in float32"
            fix = f"The model's own int8 differs by {one.own.mean:.3g}. It was deleted."
            subject = f"{path.name}: {one.output.name}"
            message = broken_rule(subject, rule, f"{one.export.mean:.3g}", fix)
            raise CheckFailedError(message, one.export.mean)
    return found


def closeness(
    run: Run, outputs: Iterable[Output], truth: ExpectedOutputs, batch: int | None
) -> dict[str, Closeness]:
    """Return how near each output of what `run` runs is to the truth, by its name."""
    calls = list(answers(run, truth, batch))
    return {one.name: _closeness(one, calls) for one in outputs}


def _closeness(output: Output, calls: Iterable[tuple[Arrays, Arrays]]) -> Closeness:
    shares, same = [], []
    for all_given, all_wanted in calls:
        given, wanted = all_given[output.name], all_wanted[output.name]
        if given.shape != wanted.shape:
            raise ValueError(f"{output.name} has the shape {given.shape}, not {wanted.shape}.")
        shares.append(np.abs(given - wanted) / output.unit(wanted))
        same.append(given.argmax(axis=-1) == wanted.argmax(axis=-1))
    whole = np.concatenate([share.ravel() for share in shares])
    agreement = float(np.mean(np.concatenate(same))) if output.noun == "probability" else None
    return Closeness(float(whole.mean()), float(whole.max()), agreement)


def _own_integers(bundle: Bundle, exported: NetworkExport, network: Any) -> Run:
    """Return what runs the bundle itself in 8-bit integers, and gives the outputs of the export."""
    source = bundle.source(network_name=exported.name)
    kept = source.stored

    def stored() -> Any:
        """Return the graph whose layers have the names of the card's ranges."""
        graph = kept() if kept is not None else None
        if graph is None:
            with silenced_standard_error():
                graph = named_graph(network, variables_by_path(network))
        return graph

    itself = any_size_network(replace(source, stored=stored), IN_INT8)
    image, *others = (one.name for one in exported.inputs)

    def run(inputs: Mapping[str, np.ndarray]) -> Arrays:
        raw = itself.run(inputs[image], **{name: inputs[name] for name in others})
        return exported.expected(raw)

    return run
