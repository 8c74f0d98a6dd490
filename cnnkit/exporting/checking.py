"""Runs an export beside the bundle itself: the two must agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import CnnkitError, broken_rule
from cnnkit.exporting.conversion import first_line
from cnnkit.exporting.formats import FORMATS, Run
from cnnkit.exporting.networks import Arrays, Batches, NetworkExport, Output
from cnnkit.runtime import RuntimeOptions, any_size_network
from cnnkit.runtime.process import silenced_standard_error


class CheckFailedError(CnnkitError):
    """The export does not give what the bundle gives; it was not kept.

    Attributes:
        difference: The largest difference, as a share; NaN or infinity where the outputs cannot
            be compared.
    """

    def __init__(self, message: str, difference: float) -> None:
        super().__init__(message)
        self.difference = difference


@dataclass(frozen=True)
class ExpectedOutputs:
    """What a network is run on, and what the bundle itself says of it.

    Attributes:
        samples: The inputs of some calls, by name.
        expected: The outputs of the export for each, float (n, ...).
    """

    samples: Batches
    expected: Batches

    @property
    def images(self) -> int:
        """How many images there are in all."""
        return sum(len(_first(batch)) for batch in self.samples)


def reference(
    bundle: Bundle, exported: NetworkExport, network: Any, earlier: Mapping[str | None, Batches]
) -> ExpectedOutputs:
    """Return what the bundle itself says: TensorFlow on the processor in float32.

    What stands behind the network is NumPy's, so that its form in the export is checked as well.

    Args:
        bundle: The model.
        exported: One of its networks.
        network: That network, built.
        earlier: What the networks before it gave for their samples.
    """
    named = None if exported.name is None else bundle.network_name(exported.name)
    source = replace(bundle.source(network_name=named), build=lambda precision: network)
    options = RuntimeOptions(device="cpu", runtime="tensorflow", precision="float32")
    itself = any_size_network(source, options)
    samples = list(exported.samples(earlier))
    image, *others = (one.name for one in exported.inputs)
    with silenced_standard_error():  # TensorFlow finds fault with a graph for each network
        raw = [itself.run(one[image], **{name: one[name] for name in others}) for one in samples]
    expected = [exported.expected(outputs) for outputs in raw]
    return ExpectedOutputs(samples, expected)


def compare(
    form: str, path: Path, exported: NetworkExport, truth: ExpectedOutputs
) -> dict[str, float]:
    """Run an export and return the largest difference of each output, see `Output.difference`.

    A dynamic batch is tried with all images of a call at once and one by one.

    Raises:
        CheckFailedError: It cannot be run, or differs by more than an output's tolerance.
    """
    with unchecked_is_refused(form):
        run = FORMATS[form].opener(path)
        worst = differences(run, exported.outputs, truth, exported.batch)
    for output in exported.outputs:
        if not worst[output.name] <= output.tolerance:  # NaN fails too
            rule = f"differ by at most {output.tolerance:g} of {output.share_of} from the model"
            received = f"{worst[output.name]:.3g} on {truth.images} images"
            subject = f"{path.name}: {output.name}"
            message = broken_rule(subject, f"{rule} itself", received, "It was deleted.")
            raise CheckFailedError(message, worst[output.name])
    return worst


def differences(
    run: Run, outputs: tuple[Output, ...], truth: ExpectedOutputs, batch: int | None
) -> dict[str, float]:
    """Return the largest difference of each output over all samples."""
    found: dict[str, list[float]] = {output.name: [] for output in outputs}
    for given, wanted in answers(run, truth, batch):
        for output in outputs:
            difference = output.difference(given[output.name], wanted[output.name])
            found[output.name].append(difference)
    return {name: float(np.max(values)) for name, values in found.items()}


def answers(run: Run, truth: ExpectedOutputs, batch: int | None) -> Iterator[tuple[Arrays, Arrays]]:
    """Yield what an export gives in each call, and what it should give."""
    for sample, expected in zip(truth.samples, truth.expected, strict=True):
        count = len(_first(sample))
        for size in (batch,) if batch else sorted({count, 1}, reverse=True):
            for chosen in _chosen(count, size):
                given = run({name: values[chosen] for name, values in sample.items()})
                yield given, {name: values[chosen] for name, values in expected.items()}


@contextmanager
def unchecked_is_refused(form: str) -> Iterator[None]:
    """Refuse an export that an engine cannot run.

    Raises:
        CheckFailedError: The block raises anything.
    """
    try:
        with silenced_standard_error():
            yield
    except Exception as error:  # engines raise whatever they like; unchecked, nothing is kept
        reason = f"the {form} export cannot be run: {first_line(error)}"
        raise CheckFailedError(f"{reason} It was deleted.", float("nan")) from error


def _chosen(count: int, size: int) -> Iterator[np.ndarray]:
    """Yield the images of each call; a last batch is filled up from the first on."""
    for start in range(0, count, size):
        yield np.arange(start, start + size) % count


def _first(batch: Arrays) -> np.ndarray:
    return next(iter(batch.values()))
