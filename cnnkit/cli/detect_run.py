"""What ``cnnkit detect`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from cnnkit.bundles import open_model
from cnnkit.cli.display import SCORE_WIDTH, Display, failed_line
from cnnkit.commands.inputs import counting, expected_images
from cnnkit.detection.detector import Detector
from cnnkit.detection.folders import detect_folders
from cnnkit.detection.outputs import BoxOutputs, check_apart
from cnnkit.detection.selection import Selection
from cnnkit.detection.where import Where
from cnnkit.errors import UsageError, broken_rule
from cnnkit.folder_job import Outputs
from cnnkit.formats import with_form
from cnnkit.images import DEFAULT_MAX_PIXELS, Finder
from cnnkit.runtime import RuntimeOptions
from cnnkit.writers.row_tables import DetectionTable
from cnnkit.writers.terminal import fitted

log = logging.getLogger("cnnkit")


def run(paths: Iterable[str], *, quiet: bool, form: str | None, **chosen: Any) -> int:
    """Detect, show, and return how many inputs failed."""
    paths = list(paths) if not isinstance(paths, list) else paths
    outputs, further = outputs_of(chosen, paths)
    exclude = [str(folder) for folder in further.folders]
    exclude += [chosen["sort_into"]] if chosen["sort_into"] else []
    finder = Finder(paths, exclude=exclude)

    selection = selection_of(chosen)
    tile = tile_of(chosen["tile"])
    runtime = RuntimeOptions(
        chosen["device"], chosen["runtime"], chosen["precision"], chosen["threads"]
    )
    bundle = open_model(chosen["model"], chosen["weights"], chosen["labels"])
    for note in bundle.notes:
        log.info(note)
    where = Where(chosen["where"], bundle.labels) if chosen["where"] else None
    detector = Detector.from_bundle(
        bundle,
        selection,
        tile=tile,
        fit=chosen["fit"],
        options=runtime,
        batch_size=chosen["batch_size"],
        expected=expected_images(paths),
        max_pixels=chosen["max_pixels"] or DEFAULT_MAX_PIXELS,
    )
    table, to_file = DetectionTable(), bool(chosen["outputs"])
    with Display(form, to_file, quiet, table, task="detect", layout=DetectionLayout) as display:
        summary = detect_folders(
            detector,
            finder,
            outputs,
            further,
            where=where,
            options=same_on_resume(detector, selection, outputs, chosen, tile),
            workers=chosen["workers"] or (runtime.threads + 1 if runtime.threads else None),
            emit=counting(display.show, display.progress, lambda: Finder(paths, exclude=exclude)),
        )
    display.conclude(summary)
    return summary.failed


def same_on_resume(
    detector: Detector,
    selection: Selection,
    outputs: Outputs,
    chosen: dict[str, Any],
    tile: int | None,
) -> dict[str, Any]:
    """Return the options that a resumed run must have as well."""
    return {
        "model": detector.bundle.card.name,
        "confidence": selection.confidence,
        "confidences": dict(selection.confidences),
        "iou": detector.iou,
        "classes": list(selection.classes),
        "agnostic": None if selection.agnostic is None else [list(g) for g in selection.agnostic],
        "tile": tile,
        "where": chosen["where"],
        "fit": detector.spec.fit,
        "max_pixels": detector.max_pixels,
        "runtime": detector.predictor.runtime,
        "precision": detector.predictor.precision,
        "sort_into": chosen["sort_into"],
        "how": outputs.how,
    }


def selection_of(chosen: dict[str, Any]) -> Selection:
    """Return what the options say is wanted."""
    usual, single = None, {}
    for part in _parts(chosen["confidence"]):
        name, equals, value = part.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            rule = "be a number, or CLASS=NUMBER"
            raise UsageError(broken_rule("--confidence", rule, repr(part))) from None
        if equals:
            single[name.strip()] = number
        else:
            usual = number
    agnostic = chosen["agnostic"]
    if agnostic is not None:
        agnostic = [_parts([group], "+") for group in _parts([agnostic])]
    return Selection(usual, single, chosen["iou"], _parts(chosen["classes"]), agnostic)


def _parts(values: Sequence[str], separator: str = ",") -> list[str]:
    return [part.strip() for value in values for part in value.split(separator) if part.strip()]


def tile_of(value: str | None) -> int | None:
    """Return the side of the tiles, 0 for the network's own, None for no tiles."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 7):
        fix = "To leave it out, put --tile after INPUT."
        raise UsageError(broken_rule("--tile", "be a number of pixels", repr(value), fix))
    return int(value)


def outputs_of(chosen: dict[str, Any], paths: Sequence[str]) -> tuple[Outputs, BoxOutputs]:
    """Return what the options ask to leave behind."""
    names = ("report", "sort_into", "annotate", "crops", "counts")
    report, sort_into, annotate, crops, counts = (
        Path(chosen[name]) if chosen[name] else None for name in names
    )
    targets = [value for value in chosen["outputs"] if with_form(value)[0] is not None]
    rows = [Path(value) for value in chosen["outputs"] if with_form(value)[0] is None]
    outputs = Outputs(
        rows=rows[0] if rows else None,
        report=report,
        sort_into=sort_into,
        how=chosen["how"],
        resume=chosen["resume"],
        overwrite=chosen["overwrite"],
        retry_errors=chosen["retry_errors"],
    )
    further = BoxOutputs(
        rows=rows[1:],
        boxes=targets,
        annotate=annotate,
        crops=crops,
        counts=counts,
        root=root_of(paths),
        replace=chosen["resume"] or chosen["overwrite"],
    )
    files = [path for path in (*rows[:1], report) if path is not None]
    folders = [path for path in (sort_into, *further.folders) if path is not None]
    check_apart([*files, *further.files], folders, paths)
    return outputs, further


def root_of(paths: Sequence[str]) -> str | None:
    """Return the one folder that was given, ending in a separator; None for anything else."""
    if len(paths) == 1 and os.path.isdir(paths[0]):
        return os.path.join(paths[0], "")
    return None


class DetectionLayout:
    """The columns of the table for people: the picture, what is there, the surest score."""

    def __init__(self, width: int) -> None:
        """Share `width` columns of a terminal."""
        self._path = max(16, min(60, int(width * 0.4)))
        self._rest = max(16, width - self._path - SCORE_WIDTH - 5)

    def header(self) -> str:
        """See `cnnkit.cli.display.Layout`."""
        return f"{fitted('PICTURE', self._path)}  {'SCORE':>{SCORE_WIDTH}}  OBJECTS"

    def line(self, row: dict[str, Any]) -> str:
        """See `cnnkit.cli.display.Layout`."""
        if row["status"] == "error":
            return failed_line(row, self._path, self._rest + SCORE_WIDTH + 2)
        path = fitted(row["path"], self._path, keep_end=True)
        found = row["detections"]
        if not found:
            return f"{path}  {'':>{SCORE_WIDTH}}  {click.style('nothing', dim=True)}"
        counts = Counter(one["label"] for one in found)
        words = ", ".join(f"{n} {label}" for label, n in counts.items())
        objects = click.style(fitted(words, self._rest).rstrip(), bold=True)
        return f"{path}  {found[0]['score']:>{SCORE_WIDTH}.1%}  {objects}"
