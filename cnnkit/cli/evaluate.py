"""``cnnkit evaluate``: the metrics of every task."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import options as shared

if TYPE_CHECKING:
    from cnnkit.commands.evaluate import Evaluation

log = logging.getLogger("cnnkit")

WORST_CLASSES = 10
CLASSES_SHOWN = 20
SHOWN_MISTAKES = 5
PROBLEMS_SHOWN = 5

EXAMPLES = """\b
Examples:
  cnnkit evaluate --model flowers test/
  cnnkit evaluate --model efficientnet-lite0 labels.csv --root images/ --report report.html
  cnnkit evaluate --model flowers test/ --json > figures.json
  cnnkit evaluate --model nanodet-g coco:instances.json --pictures val2017/
  cnnkit evaluate --model dlib-face pairs.txt --root lfw/
"""


@click.command("evaluate", epilog=EXAMPLES)
@click.argument("data", metavar="DATA")
@shared.model_options("efficientnet-lite0")
@shared.csv_root_option
@click.option(
    "--images",
    "--pictures",
    "images",
    metavar="DIR",
    help="Folder of the annotated images.",
)
@click.option(
    "--split",
    metavar="NAME",
    help="Evaluate only this split: train, val, or test.  [default: all but train]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Write all metrics as JSON to standard output."
)
@click.option(
    "--report", metavar="FILE.html", help="HTML report with tables, curves, and mistakes."
)
@click.option("--overwrite", is_flag=True, help="Overwrite an existing report.")
@shared.image_options
@shared.runtime_options
@shared.verbosity_options
def command(quiet: bool, as_json: bool, **options: Any) -> None:
    """Evaluate a model on labeled images.

    For a classifier, DATA is a folder with one subfolder per class; or a folder with train/,
    val/, or test/ of that form; or a CSV with the columns file, class, and optionally split.

    For a detector, DATA is images with boxes in COCO JSON, Pascal VOC XML, or YOLO text format;
    use the prefix coco:, voc:, or yolo: where the format is ambiguous. The metrics are COCO's,
    computed by pycocotools.

    For a face embedding model, DATA is a CSV with the columns a, b, and same, or the pairs.txt
    of LFW.

    Exit status: 1 if some images could not be read.
    """
    from cnnkit.cli.display import counting
    from cnnkit.commands.evaluate import evaluate

    with counting("evaluate", quiet) as progress:
        done = evaluate(**options, progress=progress)
    _warn(done)
    if as_json:
        click.echo(json.dumps(done.to_dict()))
    else:
        for line in LINES[done.task](done.figures):
            click.echo(line)
    click.get_current_context().exit(1 if done.failed else 0)


def _warn(done: Evaluation) -> None:
    for problem in done.problems[:PROBLEMS_SHOWN]:
        log.warning("%s", problem)
    if len(done.problems) > PROBLEMS_SHOWN:
        more = len(done.problems) - PROBLEMS_SHOWN
        log.warning("and %d more invalid boxes; cnnkit doctor lists them", more)
    if done.unknown_classes:
        names = ", ".join(done.unknown_classes)
        log.warning("the model does not know these classes, which count as 0: %s", names)
    if done.task == "detect":
        for error in done.figures["errors"]:
            log.error("%s: %s: %s", error["path"], error["kind"], error["message"])


def _subject(figures: dict[str, Any]) -> str:
    """Return which model was measured on what."""
    from cnnkit.writers.terminal import printable

    return printable(f"{figures['model']['name']} on {figures['data']['path']}")


def classifier_lines(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the metrics of a classifier as lines of text."""
    from cnnkit.writers.terminal import fitted

    found = figures["metrics"]
    data = figures["data"]
    yield from (
        f"{_subject(figures)}: {data['pictures']:,} images, {data['errors']:,} could not be read "
        f"({figures['runtime']['runtime']}, {figures['runtime']['precision']})",
        f"  top-1 {found['top_1']:.4f}   top-5 {found['top_5']:.4f}   "
        f"balanced accuracy {found['balanced_accuracy']:.4f}",
        f"  macro F1 {found['macro_f1']:.4f}   weighted F1 {found['weighted_f1']:.4f}   "
        f"expected calibration error {found['expected_calibration_error']:.4f}",
    )
    occurring = [c for c in figures["classes"] if c["support"]]
    worst = sorted(occurring, key=lambda c: c["f1"])[:WORST_CLASSES]
    yield (f"  {'CLASS':<28} PRECISION  RECALL      F1  IMAGES")
    for one in worst:
        yield (
            f"  {fitted(one['label'], 28)} {one['precision']:9.3f} {one['recall']:7.3f} "
            f"{one['f1']:7.3f} {one['support']:9,}"
        )
    if len(occurring) > len(worst):
        yield (f"  and {len(occurring) - len(worst)} more classes with a higher F1; see --json.")


def detector_lines(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the metrics of a detector as lines of text."""
    from cnnkit.writers.terminal import fitted

    data, found = figures["data"], figures["metrics"]
    yield (
        f"{_subject(figures)}: {data['pictures']:,} images, {data['boxes']:,} boxes, "
        f"{data['errors']:,} could not be read "
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
        yield f"  and {len(known) - CLASSES_SHOWN} more classes with fewer boxes; see --json."
    yield "THRESHOLD gives the highest F1; use it with cnnkit detect --confidence CLASS=THRESHOLD."


def _shown(value: float | None) -> str:
    return "     -" if value is None else f"{value:.4f}"


def face_lines(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the metrics of a face embedding model as lines of text."""
    from cnnkit.writers.terminal import printable

    found, data = figures["metrics"], figures["data"]
    interval = found["accuracy_interval"]
    yield from (
        f"{_subject(figures)}: {data['pairs']:,} pairs "
        f"({found['same_pairs']:,} same, {found['different_pairs']:,} different), "
        f"{data['errors']:,} could not be compared",
        f"  at the threshold {found['threshold']:.3f}: accuracy {found['accuracy']:.4f} "
        f"(95% CI {interval['low']:.4f} to {interval['high']:.4f}), true accepts "
        f"{found['true_accept_rate']:.4f}, false accepts {found['false_accept_rate']:.4f}",
        f"  AUC {found['auc']:.4f}   equal error rate {found['equal_error_rate']:.4f} "
        f"(at {found['equal_error_threshold']:.3f})",
    )
    if found["tar_at"]:
        rates = ", ".join(f"{rate:.4f} at {far}" for far, rate in found["tar_at"].items())
        yield (f"  true accept rate at false accept rate: {rates}")
    if "folds" in figures:
        folds = figures["folds"]
        yield (
            f"  {len(folds['folds'])} folds, each with the threshold of the others: accuracy "
            f"{folds['accuracy']:.4f} ± {folds['standard_error']:.4f} (standard error)"
        )
    for wrong in figures["mistakes"][:SHOWN_MISTAKES]:
        word = "same person" if wrong["expected"] else "different people"
        pair = printable(f"{wrong['a']}  {wrong['b']}")
        yield (f"  mistake: {word} at {wrong['distance']:.3f}  {pair}")


LINES = {"classify": classifier_lines, "detect": detector_lines, "embed-face": face_lines}
