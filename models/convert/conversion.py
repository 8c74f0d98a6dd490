"""From a pinned artifact to a finished bundle, held to the original on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from cnnkit.errors import broken_rule
from models.convert import (
    detector,
    efficientnet_lite0,
    efficientnet_lite3,
    magenta_style,
    nanodet_g,
    squeezenet,
    style_bundle,
    yolov3_tiny,
)
from models.convert.artifacts import fetch, read_member
from models.convert.bundle_writer import add_measured, write_bundle
from models.convert.golden import (
    GoldenError,
    golden_difference,
    golden_inputs,
    golden_pixels,
    read_golden,
    with_logits,
    write_golden,
)
from models.convert.network_conversion import NETWORK_SOURCES, convert_network
from models.convert.source import Source
from models.convert.variables import (
    largest_difference,
    logits_of,
    network_with,
    require_close,
)

SOURCES: dict[str, Source] = {
    module.SOURCE.name: module.SOURCE
    for module in (efficientnet_lite0, efficientnet_lite3, squeezenet)
}
DETECTORS: dict[str, detector.DetectorSource] = {
    module.SOURCE.name: module.SOURCE for module in (nanodet_g, yolov3_tiny)
}
ORIGINAL_TOLERANCE = 1e-4  # of a logit, before rounding
ROUNDING_TOLERANCE = 0.05  # of a logit, float16 weights against float32
PARITY = "largest difference of a logit from the original, before rounding"


def convert(source: Source, cache: Path, check_original: bool) -> float:
    """Write the bundle of a source.

    Args:
        source: One of `SOURCES`.
        cache: Folder of downloads.
        check_original: Whether to run the original network, hold the conversion to all its
            logits and write the golden anew; otherwise it is held to the golden.

    Returns:
        The largest difference of a logit from the original, before rounding.

    Raises:
        cnnkit.errors.CnnkitError: The artifact is not the pinned one, the arrays do not fit
            the network, or a logit differs too much. Nothing is written then.
    """
    path = fetch(source.artifact, cache)
    member = read_member(source.artifact, path)
    arrays = source.read_arrays(member)
    stored = source.stored(member)
    inputs = golden_inputs() if check_original else kept_golden(source)
    pixels = golden_pixels(inputs, source.card["input"])
    exact = logits_of(network_with(source.name, arrays), pixels)
    embedded = logits_of(network_with(source.name, stored), pixels)
    if check_original:
        original = source.original_logits(path, member, pixels)
        difference = largest_difference(original, exact)
    else:
        difference = golden_difference(inputs, exact, "original")
    require_close(f"{source.name} and the original", difference, ORIGINAL_TOLERANCE)
    rounding = largest_difference(exact, embedded)
    require_close(f"{source.name} as it is stored and in float32", rounding, ROUNDING_TOLERANCE)
    write_bundle(source, stored)
    if check_original:
        golden = map(with_logits, inputs, original, embedded)
        write_golden(source.bundle / "golden.json", list(golden))
        command = f"python -m models.convert {source.name} --check-original"
        figures = {PARITY: float(f"{difference:.1e}")}
        add_measured(source, figures, "inputs of golden.json", command)
    return difference


def kept_golden(source: Source) -> list[dict]:
    """Return the golden in the bundle's folder."""
    path = source.bundle / "golden.json"
    if not path.exists():
        fix = "Make it with --check-original."
        raise GoldenError(broken_rule(str(path), "exist", "no such file", fix))
    return read_golden(path)


# How to convert each model: the cache of downloads and whether to run the original -> the
# largest difference from it. Networks that are no classifiers bring a function of their own.
CONVERSIONS: dict[str, Callable[[Path, bool], float]] = {
    **{name: partial(convert, source) for name, source in SOURCES.items()},
    **{name: partial(convert_network, source) for name, source in NETWORK_SOURCES.items()},
    magenta_style.NAME: style_bundle.convert,
    **{name: partial(detector.convert, source) for name, source in DETECTORS.items()},
}
