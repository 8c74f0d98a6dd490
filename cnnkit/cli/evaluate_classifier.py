"""``cnnkit evaluate`` for a classifier."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from cnnkit.bundles import Bundle
from cnnkit.classification import Classifier, evaluate
from cnnkit.classification.classifier import Decision
from cnnkit.classification.evaluation import TOP_K
from cnnkit.classification.labelled import read_labelled
from cnnkit.images import DEFAULT_MAX_PIXELS, thumbnail
from cnnkit.runtime import RuntimeOptions
from cnnkit.writers.terminal import fitted

WORST_CLASSES = 10


def run(bundle: Bundle, data: str, *, quiet: bool, as_json: bool, **chosen: Any) -> int:
    """Evaluate, show, and return how many pictures could not be read."""
    pictures = read_labelled(data, bundle.labels, chosen["root"], chosen["split"])
    names = ("device", "runtime", "precision", "threads")
    options = RuntimeOptions(*(chosen[name] for name in names))
    classifier = Classifier.from_bundle(
        bundle,
        Decision(top_k=TOP_K),
        fit=chosen["fit"],
        options=options,
        batch_size=chosen["batch_size"],
        max_pixels=chosen["max_pixels"] or DEFAULT_MAX_PIXELS,
    )
    workers = chosen["workers"] or (options.threads + 1 if options.threads else None)
    with click.progressbar(
        length=len(pictures), label="evaluate", file=sys.stderr, hidden=quiet or not _watched()
    ) as bar:
        figures = evaluate(
            classifier, pictures, data=data, workers=workers, progress=lambda: bar.update(1)
        )
    if chosen["report"] is not None:
        from cnnkit.reports.evaluation import write_evaluation

        title = f"Evaluation of {bundle.card.name}"
        write_evaluation(chosen["report"], figures, title=title, thumbnail=thumbnail)
    if as_json:
        click.echo(json.dumps(figures))
    else:
        for line in summary_lines(figures):
            click.echo(line)
    return figures["data"]["errors"]


def _watched() -> bool:
    return sys.stderr.isatty()


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures as lines for people."""
    found = figures["metrics"]
    data = figures["data"]
    lines = [
        f"{figures['model']['name']} on {data['path']}: {data['pictures']:,} pictures, "
        f"{data['errors']:,} could not be read ({figures['runtime']['runtime']}, "
        f"{figures['runtime']['precision']})",
        f"  top-1 {found['top_1']:.4f}   top-5 {found['top_5']:.4f}   "
        f"balanced accuracy {found['balanced_accuracy']:.4f}",
        f"  macro F1 {found['macro_f1']:.4f}   weighted F1 {found['weighted_f1']:.4f}   "
        f"expected calibration error {found['expected_calibration_error']:.4f}",
    ]
    occurring = [c for c in figures["classes"] if c["support"]]
    worst = sorted(occurring, key=lambda c: c["f1"])[:WORST_CLASSES]
    lines.append(f"  {'CLASS':<28} PRECISION  RECALL      F1  PICTURES")
    for one in worst:
        lines.append(
            f"  {fitted(one['label'], 28)} {one['precision']:9.3f} {one['recall']:7.3f} "
            f"{one['f1']:7.3f} {one['support']:9,}"
        )
    if len(occurring) > len(worst):
        lines.append(f"  and {len(occurring) - len(worst)} classes with a higher F1: see --json.")
    return lines
