"""``cnnkit evaluate`` for a detector."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import click

from cnnkit.bundles import Bundle
from cnnkit.detection import Detector
from cnnkit.detection.evaluation import EVALUATED, Evaluated, evaluate_detector
from cnnkit.errors import UsageError, broken_rule
from cnnkit.formats import read_boxes
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.runtime import RuntimeOptions
from cnnkit.writers.terminal import fitted

log = logging.getLogger("cnnkit")

CLASSES_SHOWN = 20
PROBLEMS_SHOWN = 5


def run(bundle: Bundle, data: str, *, quiet: bool, as_json: bool, **chosen: Any) -> int:
    """Evaluate, show, and return how many pictures could not be read."""
    if chosen["root"] is not None:
        fix = "Give the folder of the pictures with --pictures."
        raise UsageError(broken_rule("--root", "go with a CSV", data, fix))
    boxes = read_boxes(data, chosen["pictures"])
    options = RuntimeOptions(*(chosen[n] for n in ("device", "runtime", "precision", "threads")))
    detector = Detector.from_bundle(
        bundle,
        EVALUATED,
        fit=chosen["fit"],
        options=options,
        batch_size=chosen["batch_size"],
        max_pixels=chosen["max_pixels"] or DEFAULT_MAX_PIXELS,
    )
    workers = chosen["workers"] or (options.threads + 1 if options.threads else None)
    hidden = quiet or not sys.stderr.isatty()
    count = len(boxes.pictures)
    with click.progressbar(length=count, label="evaluate", file=sys.stderr, hidden=hidden) as bar:
        done = evaluate_detector(
            detector,
            boxes,
            split=chosen["split"],
            workers=workers,
            progress=lambda: bar.update(1),
        )
    _warn(done)
    if chosen["report"] is not None:
        _write_report(chosen["report"], bundle, done.figures)
    if as_json:
        click.echo(json.dumps(done.figures))
    else:
        for line in summary_lines(done.figures):
            click.echo(line)
    return done.figures["data"]["errors"]


def _warn(done: Evaluated) -> None:
    for problem in done.problems[:PROBLEMS_SHOWN]:
        log.warning("%s: %s (%s)", problem.path, problem.code, problem.detail)
    if len(done.problems) > PROBLEMS_SHOWN:
        more = len(done.problems) - PROBLEMS_SHOWN
        log.warning("and %d more wrong boxes: cnnkit doctor names them", more)
    if done.unknown:
        log.warning("the model does not know %s: they count as 0", ", ".join(done.unknown))
    for error in done.figures["errors"]:
        log.error("%s: %s: %s", error["path"], error["kind"], error["message"])


def _write_report(path: Any, bundle: Bundle, figures: dict[str, Any]) -> None:
    from cnnkit.reports.detection import write_detection_report

    write_detection_report(
        path,
        title=f"Evaluation of {bundle.card.name}",
        subtitle=f"{bundle.card.name} on {figures['data']['path']}",
        evaluation=figures,
        errors=figures["errors"],
    )


def summary_lines(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the figures as lines for people."""
    data, found = figures["data"], figures["metrics"]
    yield (
        f"{figures['model']['name']} on {data['path']}: {data['pictures']:,} pictures, "
        f"{data['boxes']:,} boxes, {data['errors']:,} could not be read "
        f"({figures['runtime']['runtime']}, {figures['runtime']['precision']})"
    )
    for names in (
        ("AP", "AP50", "AP75"),
        ("AP_small", "AP_medium", "AP_large"),
        ("AR_1", "AR_10", "AR_100"),
    ):
        yield "  " + "   ".join(f"{name} {_shown(found[name])}" for name in names)
    known = sorted((c for c in figures["classes"] if c["boxes"]), key=lambda c: -c["boxes"])
    yield f"  {'CLASS':<24} BOXES    AP50      AP  THRESHOLD  PRECISION  RECALL      F1"
    for one in known[:CLASSES_SHOWN]:
        yield (
            f"  {fitted(one['label'], 24)} {one['boxes']:5,}  {_shown(one['AP50'])}  "
            f"{_shown(one['AP'])}     {one['threshold']:.4f}     {_shown(one['precision'])}  "
            f"{_shown(one['recall'])}  {_shown(one['f1'])}"
        )
    if len(known) > CLASSES_SHOWN:
        yield f"  and {len(known) - CLASSES_SHOWN} classes with fewer boxes: see --json."
    yield "THRESHOLD: with the highest F1, for cnnkit detect --confidence CLASS=THRESHOLD."


def _shown(value: float | None) -> str:
    return "     -" if value is None else f"{value:.4f}"
