"""The whole of an export: refuse early, convert, check, describe, put in place."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cnnkit.bundles import Bundle
from cnnkit.bundles.graphs.scanning import sha256_of_each
from cnnkit.errors import RuntimeUnavailableError, UsageError, broken_rule
from cnnkit.exporting.checking import ExpectedOutputs, compare, reference
from cnnkit.exporting.checking_integers import Int8Output, compare_integers
from cnnkit.exporting.conversion import convert, deployable
from cnnkit.exporting.formats import FORMATS
from cnnkit.exporting.integers import (
    activations_of,
    check_precision,
    convert_in_integers,
    precision_of,
)
from cnnkit.exporting.networks import NetworkExport, Output
from cnnkit.exporting.places import (
    bytes_of,
    check_target,
    description_path,
    parts,
    put_in_place,
    scratch_folder,
)
from cnnkit.runtime.process import backend_name
from cnnkit.version import __version__

# 2: lists of inputs and outputs, for every task.
DESCRIPTION_VERSION = 2


@dataclass(frozen=True)
class Exported:
    """A finished and verified export.

    Attributes:
        path: The file or folder; for several networks, the folder that holds them.
        descriptions: The JSON file beside each network.
        bytes: Size on disk, without the descriptions.
        images: Number of images that it was verified with (the maximum over its networks).
        differences: The largest relative difference of each kind of output.
        precision: ``float32`` or ``int8``.
        int8: Of an export in 8-bit integers, how near each output is to float32.
    """

    path: Path
    descriptions: tuple[Path, ...]
    bytes: int
    images: int
    differences: tuple[tuple[Output, float], ...]
    precision: str = "float32"
    int8: tuple[Int8Output, ...] = ()

    @property
    def description(self) -> Path:
        """The first JSON file."""
        return self.descriptions[0]

    @property
    def difference(self) -> float:
        """The largest difference of all as a share of what it is measured by."""
        return max(difference for _, difference in self.differences)


def export_model(
    bundle: Bundle,
    networks: Sequence[NetworkExport],
    form: str,
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    precision: str = "float32",
) -> Exported:
    """Write the networks of a model in another form, check them by running them, describe them.

    Args:
        bundle: The model.
        networks: Its networks, as `cnnkit.exporting.classifier`, `cnnkit.detection.exporting`,
            `cnnkit.faces.exporting` or `cnnkit.style.exporting` describes them.
        form: A key of `FORMATS`.
        target: The file, with the form's suffix, or the folder to write; with several networks
            a folder of them, whatever the form.
        overwrite: Whether an earlier export of that name may be replaced.
        precision: One of `cnnkit.exporting.integers.PRECISIONS`.

    Raises:
        UsageError: An argument breaks its rule, or the target exists.
        RuntimeUnavailableError: A library that the form needs is not installed, or the model has
            no activation ranges for 8-bit integers.
        OutputError: The model cannot be converted, or the file cannot be written.
        CheckFailedError: The export runs differently; nothing was left behind.
    """
    target = Path(target)
    names = [exported.name or "" for exported in networks] if len(networks) > 1 else []
    check_form(form)
    check_precision(precision, form, bundle)
    check_target(form, target, names, overwrite)
    check_environment(form)
    with scratch_folder(target) as scratch:
        fresh = scratch / target.name
        if names:
            fresh.mkdir()
        done: dict[str | None, ExpectedOutputs] = {}
        found: list[tuple[Output, float]] = []
        int8: list[Int8Output] = []
        paths = []
        for exported in networks:
            path = fresh / f"{exported.name}{FORMATS[form].suffix}" if names else fresh
            paths.append(path)
            differences, of_int8 = _export_network(bundle, exported, form, path, done, precision)
            found += differences
            int8 += of_int8
        finished = Exported(
            target,
            tuple(target.parent / description_path(p).relative_to(scratch) for p in paths),
            sum(bytes_of(part) for path in paths for part in parts(path)),
            max(truth.images for truth in done.values()),
            _worst_of_each(found),
            precision,
            tuple(int8),
        )
        check_target(form, target, names, overwrite)  # another run may have just finished it
        whole = [fresh] if names else (description_path(fresh), *reversed(parts(fresh)))
        for part in whole:  # what is asked for comes last
            put_in_place(part, target.with_name(part.name), scratch)
    return finished


def _export_network(
    bundle: Bundle,
    exported: NetworkExport,
    form: str,
    path: Path,
    done: dict[str | None, ExpectedOutputs],
    precision: str,
) -> tuple[list[tuple[Output, float]], tuple[Int8Output, ...]]:
    """Write, check and describe one network; its truth joins those of the ones before it."""
    network = bundle.build(network_name=exported.name)
    earlier = {name: truth.expected for name, truth in done.items()}
    truth = reference(bundle, exported, network, earlier)
    model = deployable(network, exported)
    precision = precision_of(precision, bundle, exported)
    int8: tuple[Int8Output, ...] = ()
    if precision == "int8":
        activations = activations_of(bundle, exported)
        convert_in_integers(network, model, exported, activations, form, path)
        int8 = compare_integers(bundle, exported, network, form, path, truth)
        differences = {one.output.name: one.export.largest for one in int8}
        said = checked_integers(truth, int8)
    else:
        convert(model, form, path)
        differences = compare(form, path, exported, truth)
        said = checked(exported, truth, differences)
    shapes = {name: list(tensor.shape) for name, tensor in model.output.items()}
    content = describe(bundle, exported, form, path, shapes)
    content |= {"precision": precision, "checked": said, "made_by": MADE_BY}
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    description_path(path).write_text(text, "utf-8")
    done[exported.name] = truth
    return [(output, differences[output.name]) for output in exported.outputs], int8


def _worst_of_each(found: Sequence[tuple[Output, float]]) -> tuple[tuple[Output, float], ...]:
    """Return the largest difference of each kind of output, by what messages call it."""
    worst: dict[str, tuple[Output, float]] = {}
    for output, difference in found:
        if output.noun not in worst or difference > worst[output.noun][1]:
            worst[output.noun] = output, difference
    return tuple(worst.values())


def check_form(form: str) -> None:
    """Refuse a form that is none.

    Raises:
        UsageError: It is not one of `FORMATS`.
    """
    if form not in FORMATS:
        raise UsageError(broken_rule("`format`", f"be one of {', '.join(FORMATS)}", repr(form)))


def check_environment(form: str) -> None:
    """Refuse what cannot work here, before the model is built.

    Raises:
        RuntimeUnavailableError: A library is missing, or Keras has another backend.
    """
    if missing := [name for name in FORMATS[form].libraries if find_spec(name) is None]:
        fix = "Install it with: pip install 'cnnkit[export]'"
        rule = f"have {' and '.join(missing)} installed"
        raise RuntimeUnavailableError(
            broken_rule(f"`format={form!r}`", rule, "an environment without", fix)
        )
    if backend_name() != "tensorflow":
        rule = "run on Keras's TensorFlow backend"
        received = f"KERAS_BACKEND={backend_name()}"
        raise RuntimeUnavailableError(
            broken_rule("cnnkit export", rule, received, "Unset KERAS_BACKEND.")
        )


MADE_BY = f"cnnkit {__version__}"


def describe(
    bundle: Bundle,
    exported: NetworkExport,
    form: str,
    path: Path,
    shapes: Mapping[str, list[int | None]],
) -> dict[str, Any]:
    """Return all that one needs to use the export without cnnkit; docs/export.md explains it."""
    card = bundle.card
    return {
        "schema_version": DESCRIPTION_VERSION,
        "format": form,
        "files": [part.name for part in parts(path)],
        "sha256": sha256_of_each(path),
        "task": card.task,
        "model": {
            "name": card.name,
            "network": exported.name,
            "weights_sha256": card.weights.get("sha256"),
            "license": card.content.get("license"),
        },
        "inputs": [
            {"name": one.name, "dtype": one.dtype, "shape": [exported.batch, *one.shape]}
            | dict(one.contract)
            for one in exported.inputs
        ],
        "outputs": [
            {
                "name": one.name,
                "dtype": "float32",
                "shape": shapes[one.name],
                "meaning": one.meaning,
            }
            for one in exported.outputs
        ],
        **exported.facts,
    }


def checked(
    exported: NetworkExport, truth: ExpectedOutputs, differences: Mapping[str, float]
) -> dict[str, Any]:
    """Return what the check found, for the description."""
    return {
        "against": "the model itself in TensorFlow, float32",
        "images": truth.images,
        "outputs": {
            output.name: {
                "largest_difference": differences[output.name],
                "tolerance": output.tolerance,
                "as_a_share_of": output.share_of,
            }
            for output in exported.outputs
        },
    }


def checked_integers(truth: ExpectedOutputs, found: Sequence[Int8Output]) -> dict[str, Any]:
    """Return what the check of an export in 8-bit integers found, for the description."""
    return {
        "against": "the model itself in TensorFlow, float32",
        "images": truth.images,
        "outputs": {
            one.output.name: {
                "mean_difference": one.export.mean,
                "largest_difference": one.export.largest,
                "same_top_1": one.export.same_first,
                "own_int8": {
                    "mean_difference": one.own.mean,
                    "largest_difference": one.own.largest,
                    "same_top_1": one.own.same_first,
                },
                "as_a_share_of": one.output.unit_name or "1",
            }
            for one in found
        },
    }
