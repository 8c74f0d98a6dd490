"""From pinned artifacts to the bundle of a network that is no classifier."""

from __future__ import annotations

from pathlib import Path

from cnnkit.errors import broken_rule
from models.convert import dlib_face, mtcnn, yunet
from models.convert.bundle_writer import add_measured, write_bundle
from models.convert.golden import GoldenError
from models.convert.network_source import (
    Arrays,
    NetworkSource,
    difference_from,
    golden_of,
    outputs_of,
    read_network_golden,
    write_network_golden,
)
from models.convert.rounding import rounded_arrays
from models.convert.variables import largest_difference, require_close

NETWORK_SOURCES: dict[str, NetworkSource] = {
    module.SOURCE.name: module.SOURCE for module in (dlib_face, mtcnn, yunet)
}
PARITY = "largest difference of an output from the original, before rounding"
ROUNDING = "largest move of an output by rounding the weights to float16"


def convert_network(source: NetworkSource, cache: Path, check_original: bool) -> float:
    """Write the bundle of a source; see `models.convert.conversion.convert`.

    Returns:
        The largest difference of an output from the original, before rounding.
    """
    path, members = source.fetch(cache)
    arrays = source.read_arrays(members)
    rounded = rounded_arrays(arrays)
    inputs = source.golden_inputs()
    exact, embedded = (outputs_of(source, values, inputs) for values in (arrays, rounded))
    golden_file = source.bundle / "golden.json"
    if check_original:
        original = source.original_outputs(path, members, inputs)
        difference = largest_over(original, exact)
    elif golden_file.exists():
        difference = difference_from(read_network_golden(golden_file), exact, "original")
    else:
        fix = "Make it with --check-original."
        raise GoldenError(broken_rule(str(golden_file), "exist", "no such file", fix))
    require_close(f"{source.name} and the original", difference, source.tolerance)
    rounding = largest_over(exact, embedded)
    require_close(f"{source.name} in float16 and float32", rounding, source.rounding_tolerance)
    write_bundle(source, rounded)
    if check_original:
        write_network_golden(golden_file, golden_of(original, embedded))
        command = f"python -m models.convert {source.name} --check-original"
        figures = {PARITY: float(f"{difference:.1e}"), ROUNDING: float(f"{rounding:.1e}")}
        add_measured(source, figures, "patterns and a face, see golden.json", command)
    return difference


def largest_over(some: Arrays, others: Arrays) -> float:
    """Return the largest difference over all outputs."""
    return max(largest_difference(some[name], others[name]) for name in some)
