"""Writing a bundle: a folder that appears whole, or not at all.

Every training command leaves its model through here. The folder grows under a hidden name
beside its target and takes the target's name in one step at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cnnkit.bundles import own_graphs
from cnnkit.bundles.card import CARD, SCHEMA_VERSION, file_sha256, read_card, read_labels
from cnnkit.bundles.measuring_ranges import TrainingImages, int8_sections
from cnnkit.bundles.opening import KERAS_FILE, LABELS, WEIGHTS, Bundle, open_model
from cnnkit.bundles.own_graphs import write_own_graph
from cnnkit.bundles.stored_graphs import GRAPHS, ONLY, read_graph
from cnnkit.bundles.weights import save_weights, variables_by_path
from cnnkit.errors import BundleError, OutputError, broken_rule
from cnnkit.images import InputSpec
from cnnkit.runtime.process import backend_name
from cnnkit.writers.targets import check_folder_name

UNFINISHED = ".cnnkit-unfinished-"
REPLACED = ".cnnkit-replaced-"


@dataclass(frozen=True)
class NewBundle:
    """What is to be written.

    Attributes:
        name: Name of the model.
        task: One of `cnnkit.bundles.card.TASKS`.
        description: One sentence.
        model: A flat functional `keras.Model`, its preprocessing inside.
        labels: The classes' names, in the model's order.
        input: How an image becomes the network's input.
        builder: A name in `cnnkit.architectures.BUILDERS` that builds the network again with
            `arguments`; None: ``model.keras`` is what is opened.
        arguments: Arguments of the builder.
        outputs: The card's ``outputs``.
        calibration: The card's ``calibration``.
        verification: The card's ``verification``, of an embedder of faces.
        detector: The card's ``detector``, see `cnnkit.bundles.detector_card`.
        license: License of the weights, if known.
        training: How the model was made, JSON values.
        images: What it learned from, if it is to be computed in 8-bit integers.
        backbone: What the training began with, for the rounding bits of kernels that it kept.
    """

    name: str
    task: str
    description: str
    model: Any
    labels: Sequence[str]
    input: InputSpec
    builder: str | None
    arguments: Mapping[str, Any]
    outputs: Mapping[str, Any]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    detector: Mapping[str, Any] = field(default_factory=dict)
    license: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    images: TrainingImages | None = None
    backbone: Bundle | None = None


def check_target(folder: Path, overwrite: bool) -> None:
    """Refuse a place where no bundle can be put, before the work begins.

    Raises:
        OutputError: Something is there and must stay, or the folder above cannot be written.
        UsageError: It has the name of a file.
    """
    check_folder_name("`output`", folder)
    if os.path.lexists(folder):
        if not overwrite:
            raise OutputError(f"{folder} exists already. Use `overwrite=True` to overwrite it.")
        if folder.is_symlink() or not (folder / CARD).is_file():
            fix = "Only bundles are overwritten: choose another name, or remove it yourself."
            received = "something else with that name"
            raise OutputError(broken_rule(str(folder), "be a bundle to replace", received, fix))
    above = folder.absolute().parent
    if not above.is_dir():
        raise OutputError(broken_rule(str(folder), "be in an existing folder", f"{above}"))
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written: {above} allows no new files.")


@contextlib.contextmanager
def writing_bundle(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder that takes the place of `folder` when the block ends well.

    If the block raises, the new folder is removed and `folder` stays as it was. A killed run
    leaves at most a hidden ``.cnnkit-unfinished-*`` beside it, which the next one for the same
    target removes.

    Raises:
        OutputError: The target must stay, or something cannot be written.
    """
    check_target(folder, overwrite)
    prefix = _unfinished(folder)
    fresh = folder.absolute().with_name(f"{prefix}{secrets.token_hex(8)}")
    try:
        _remove_left(folder.absolute().parent, prefix)
        fresh.mkdir()
        with _held(fresh):
            yield fresh
            _flush(fresh)
            _put_in_place(fresh, folder, overwrite)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _unfinished(folder: Path) -> str:
    """Return how the hidden names of a target's unfinished folders begin."""
    name = os.fsencode(folder.absolute().name)
    return f"{UNFINISHED}{hashlib.sha256(name).hexdigest()[:16]}-"


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock, which ends with the process; give whether nobody else holds it.

    Where there are no such locks (Windows), no folder is ever taken for a killed run's.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:  # held, or a file system without locks
            free = False
        yield free
    finally:
        os.close(descriptor)


def _remove_left(above: Path, prefix: str) -> None:
    """Remove what killed runs for the same target left; that of a running one stays."""
    named = re.compile(re.escape(prefix) + "[0-9a-f]{16}")
    for left in above.iterdir():
        if named.fullmatch(left.name) and left.is_dir() and not left.is_symlink():
            with contextlib.suppress(OSError), _held(left) as free:
                if free:
                    shutil.rmtree(left)


def _flush(folder: Path) -> None:
    """Hand every file to the disk before the folder takes its name."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put_in_place(fresh: Path, folder: Path, overwrite: bool) -> None:
    """Rename; an old bundle steps aside first, and comes back if the new one cannot follow."""
    check_target(folder, overwrite)
    if not folder.exists():
        fresh.rename(folder)
        return
    aside = folder.absolute().with_name(f"{REPLACED}{secrets.token_hex(8)}")
    folder.rename(aside)
    try:
        fresh.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_model(folder: Path, bundle: NewBundle) -> None:
    """Write a model's card, labels and weights into an empty folder, and read them back.

    Args:
        folder: Folder returned by `writing_bundle`.
        bundle: The model.

    Raises:
        BundleError: The card or the labels break a rule of their own format.
    """
    (folder / LABELS).write_text("".join(f"{label}\n" for label in bundle.labels), "utf-8")
    save_weights(bundle.model, folder / WEIGHTS)
    bundle.model.save(folder / KERAS_FILE)
    card = _card(folder, bundle)
    _write_card(folder, card)
    read_labels(folder / LABELS, read_card(folder / CARD).classes)
    if sections := _sections_of_network(folder, bundle):
        _write_card(folder, card | sections)


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    # An undecodable byte of a file name becomes the escape that JSON has for it.
    (folder / CARD).write_bytes(text.encode("utf-8", "backslashreplace"))


def _sections_of_network(folder: Path, bundle: NewBundle) -> dict[str, Any]:
    """Write the network's graph, and return what the card says of it and of 8-bit integers.

    On JAX there is neither: OpenVINO converts TensorFlow alone, so that such a bundle is converted
    in a process of its own when it is first opened.
    """
    if backend_name() != "tensorflow":
        return {}
    opened = open_model(folder)
    if all(layer.compute_dtype == "float32" for layer in bundle.model.layers):
        # The weights are those of the file: it need not be built once more.
        opened = replace(opened, load=lambda *network_name: bundle.model)
    network, outputs = _with_most_outputs(opened)
    section = write_own_graph(network, folder, folder / WEIGHTS, opened.card, outputs)
    sections: dict[str, Any] = {own_graphs.SECTION: section} if section else {}
    if bundle.images is not None:
        command = f"cnnkit {bundle.training.get('command', '')}".rstrip()
        # What was written is what was just converted.
        graph = read_graph(folder / GRAPHS, ONLY, folder / WEIGHTS) if section else None
        sections |= int8_sections(
            *(network, bundle.images, bundle.input, opened.card, command, graph, folder),
            bundle.backbone,
        )
    return sections


def _with_most_outputs(opened: Bundle) -> tuple[Any, own_graphs.Outputs]:
    """Return a bundle's network and its outputs, of a classifier the features as well."""
    if not opened.card.networks:
        with contextlib.suppress(BundleError, ValueError):
            return opened.build(features=True), opened.outputs(features=True)
    return opened.build(), opened.outputs()


def _card(folder: Path, bundle: NewBundle) -> dict[str, Any]:
    weights = folder / (WEIGHTS if bundle.builder else KERAS_FILE)
    variables = variables_by_path(bundle.model).values()
    card = {
        "schema_version": SCHEMA_VERSION,
        "name": bundle.name,
        "task": bundle.task,
        "description": bundle.description,
        "architecture": {"builder": bundle.builder, "arguments": dict(bundle.arguments)},
        "input": bundle.input.to_dict(),
        "outputs": dict(bundle.outputs),
        "classes": len(bundle.labels),
        "weights": {
            "file": weights.name,
            "sha256": file_sha256(weights),
            "bytes": weights.stat().st_size,
            "parameters": sum(_elements(variable.shape) for variable in variables),
            "dtype": "float32",
        },
        "labels": {"file": LABELS, "sha256": file_sha256(folder / LABELS)},
        "calibration": dict(bundle.calibration),
        "license": bundle.license,
        "training": dict(bundle.training),
    }
    if bundle.detector:
        card["detector"] = dict(bundle.detector)
    if not bundle.builder:
        card["architecture"] = {"builder": None, "arguments": {}}
    if bundle.verification:
        card["verification"] = dict(bundle.verification)
    return card


def _elements(shape: Sequence[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
