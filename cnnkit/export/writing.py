"""The whole of an export: refuse early, convert, check, describe, put in place."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit import __version__
from cnnkit.bundles import Bundle, ModelCard
from cnnkit.errors import OutputError, RuntimeUnavailableError, UsageError, broken_rule
from cnnkit.export.checking import TOLERANCE, compare, reference, synthetic_pictures
from cnnkit.export.conversion import convert, deployable
from cnnkit.export.formats import FORMATS, INPUT, OUTPUT, form_of_suffix
from cnnkit.runtime.process import backend_name

DESCRIPTION_VERSION = 1


@dataclass(frozen=True)
class Exported:
    """A finished, checked export.

    Attributes:
        path: The file or folder.
        description: The JSON file beside it.
        bytes: What the export takes on disk without its description.
        pictures: How many pictures it was checked on.
        difference: The largest difference of a probability as a share of it.
    """

    path: Path
    description: Path
    bytes: int
    pictures: int
    difference: float


def export_model(
    bundle: Bundle,
    form: str,
    target: str | os.PathLike[str],
    *,
    batch: int | None = None,
    pictures: np.ndarray | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a classifier in another form, check it by running it, and describe it.

    Args:
        bundle: The model.
        form: A key of `FORMATS`.
        target: The file, with the form's suffix, or the folder to write.
        batch: Pictures per call, fixed; None: any number.
        pictures: What to check on, uint8 (n, height, width, 3) of the card's size; by default
            `synthetic_pictures`.
        overwrite: Whether an earlier export of that name may be replaced.

    Raises:
        UsageError: An argument breaks its rule, or the target exists.
        RuntimeUnavailableError: A library that the form needs is not installed.
        OutputError: The model cannot be converted, or the file not written.
        CheckFailedError: The export runs differently; nothing was left behind.
    """
    target = Path(target)
    check_request(bundle.card, form, target, batch, overwrite)
    network = bundle.build()
    if pictures is None:
        pictures = synthetic_pictures(bundle.card.input.height, bundle.card.input.width)
    expected = reference(bundle, network, pictures)
    model = deployable(network, bundle.card, batch)
    with _scratch_folder(target) as scratch:
        fresh = scratch / target.name
        convert(model, form, fresh, batch)
        difference = compare(form, fresh, pictures, expected, batch)
        description = describe(bundle, form, target, batch, len(pictures), difference)
        beside = _description_path(fresh)
        beside.write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", "utf-8")
        size = sum(_file_bytes(path) for path in _parts(fresh))
        for path in (beside, *reversed(_parts(fresh))):  # what is asked for comes last
            _put_in_place(path, target.with_name(path.name), scratch)
    return Exported(target, _description_path(target), size, len(pictures), difference)


def check_request(
    card: ModelCard, form: str, target: Path, batch: int | None, overwrite: bool
) -> None:
    """Refuse what cannot work, before the model is built.

    Raises:
        UsageError: The task, the form, the batch or the target breaks a rule.
        RuntimeUnavailableError: A library is missing.
    """
    if form not in FORMATS:
        raise UsageError(broken_rule("--format", f"be one of {', '.join(FORMATS)}", repr(form)))
    if card.task != "classify":
        raise UsageError(broken_rule("the model", "be a classifier", f"one for {card.task}"))
    if batch is not None and batch < 1:
        raise UsageError(broken_rule("--batch", "be at least 1 or dynamic", batch))
    _check_target(form, target, overwrite)
    if missing := [name for name in FORMATS[form].libraries if find_spec(name) is None]:
        fix = "Install it with: pip install 'cnnkit[export]'"
        rule = f"have {' and '.join(missing)} installed"
        raise RuntimeUnavailableError(
            broken_rule(f"--format {form}", rule, "an environment without", fix)
        )
    if backend_name() != "tensorflow":
        rule = "run on Keras's TensorFlow backend"
        received = f"KERAS_BACKEND={backend_name()}"
        raise RuntimeUnavailableError(
            broken_rule("cnnkit export", rule, received, "Unset KERAS_BACKEND.")
        )


def _check_target(form: str, target: Path, overwrite: bool) -> None:
    suffix = FORMATS[form].suffix
    if suffix and target.suffix != suffix:
        raise UsageError(broken_rule("-o", f"end in {suffix} for --format {form}", target))
    if not suffix and (of_file := form_of_suffix(target)):
        fix = f"For a file use --format {of_file}."
        raise UsageError(broken_rule("-o", f"name a folder for --format {form}", target, fix))
    if not target.parent.is_dir():
        raise UsageError(broken_rule("-o", "lie in a folder that exists", target))
    # A folder is only ever replaced by its like: --overwrite must not delete a user's files.
    is_export = not suffix and (target / "saved_model.pb").is_file()
    for path in (*_parts(target), _description_path(target)):
        if path.is_dir() and not (is_export and path == target):
            rule = f"leave the name {path.name} free, or to an earlier export"
            raise UsageError(broken_rule("-o", rule, f"the folder {path}"))
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path} exists already. Use --overwrite to make it anew.")
    if not suffix and target.exists() and not target.is_dir():
        raise UsageError(broken_rule("-o", "name a folder", f"the file {target}"))


def describe(
    bundle: Bundle, form: str, target: Path, batch: int | None, pictures: int, difference: float
) -> dict[str, Any]:
    """Return all that one needs to use the export without cnnkit; docs/export.md explains it."""
    card = bundle.card
    spec = card.input.to_dict()
    return {
        "schema_version": DESCRIPTION_VERSION,
        "format": form,
        "files": [path.name for path in _parts(target)],
        "model": {
            "name": card.name,
            "weights_sha256": card.weights.get("sha256"),
            "license": card.content.get("license"),
        },
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": [batch, card.input.height, card.input.width, 3],
            "axes": ["batch", "height", "width", "channel"],
            "channels": "RGB",
            "values": "0 to 255, as in the picture: normalisation is inside",
            **{name: spec[name] for name in ("fit", "crop_fraction", "interpolation")},
        },
        "output": {
            "name": OUTPUT,
            "dtype": "float32",
            "shape": [batch, len(bundle.labels)],
            "meaning": "probability of each label: softmax and temperature are inside",
        },
        "calibration": {"temperature": card.temperature, "threshold": card.threshold},
        "labels": list(bundle.labels),
        "checked": {
            "against": "the model itself in TensorFlow, float32",
            "pictures": pictures,
            "largest_relative_difference": difference,
            "tolerance": TOLERANCE,
        },
        "made_by": f"cnnkit {__version__}",
    }


def _description_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _parts(path: Path) -> list[Path]:
    """Return what an export consists of: OpenVINO keeps the weights in a file of their own."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def _file_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


@contextmanager
def _scratch_folder(target: Path) -> Iterator[Path]:
    """Give a folder beside the target, gone afterwards whatever happens."""
    try:
        with tempfile.TemporaryDirectory(
            prefix=".cnnkit-", suffix=".part", dir=target.parent
        ) as folder:
            yield Path(folder)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error


def _put_in_place(fresh: Path, target: Path, scratch: Path) -> None:
    """Give a finished part its name; a folder of that name moves into the scratch folder."""
    if target.is_dir() and not target.is_symlink():
        target.rename(scratch / f"{target.name}.replaced")
    os.replace(fresh, target)
