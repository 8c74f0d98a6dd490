"""``cnnkit evaluate`` for an embedder of faces."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from cnnkit.bundles import Bundle, open_model
from cnnkit.errors import UsageError, broken_rule
from cnnkit.faces import FaceEmbedder, FaceVerifier
from cnnkit.faces.detection import FaceDetector
from cnnkit.faces.embedding import DEFAULT_DETECTOR, in_float32
from cnnkit.faces.evaluation import evaluate_pairs
from cnnkit.faces.thresholds import Verification
from cnnkit.faces.whole_pictures import WholePictures
from cnnkit.formats.face_pairs import read_pairs
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.runtime import RuntimeOptions
from cnnkit.writers.terminal import printable

SHOWN_MISTAKES = 5


def run(bundle: Bundle, data: str, *, quiet: bool, as_json: bool, **chosen: Any) -> int:
    """Evaluate, show, and return how many pairs could not be compared."""
    for option in ("fit", "batch_size"):
        if chosen[option]:
            name = f"--{option.replace('_', '-')}"
            raise UsageError(broken_rule(name, "go with a classifier", bundle.card.name))
    pairs = read_pairs(Path(data), Path(chosen["root"]) if chosen["root"] else None)
    names = ("device", "runtime", "precision", "threads")
    options = RuntimeOptions(*(chosen[name] for name in names))
    max_pixels = chosen["max_pixels"] or DEFAULT_MAX_PIXELS
    # A photo of LFW has the person in the middle and others behind: the largest face is meant.
    verifier = FaceVerifier(load(bundle, options, max_pixels), "largest")
    workers = chosen["workers"] or (options.threads + 1 if options.threads else None)
    hidden = quiet or not sys.stderr.isatty()
    with click.progressbar(
        length=len(pairs), label="evaluate", file=sys.stderr, hidden=hidden
    ) as bar:
        figures = evaluate_pairs(
            verifier, pairs, data=data, workers=workers, progress=lambda: bar.update(1)
        )
    if chosen["report"] is not None:
        from cnnkit.reports.face_evaluation import write_face_evaluation

        title = f"Evaluation of {bundle.card.name}"
        write_face_evaluation(chosen["report"], figures, title=title)
    if as_json:
        click.echo(json.dumps(figures))
    else:
        for line in summary_lines(figures):
            click.echo(line)
    return figures["data"]["errors"]


def load(bundle: Bundle, options: RuntimeOptions, max_pixels: int) -> FaceEmbedder:
    """Compile an opened embedder, with the detector if it takes aligned faces."""
    detector: FaceDetector | WholePictures = WholePictures()
    if Verification.of_card(bundle.card).alignment != "none":
        detector = FaceDetector(open_model(DEFAULT_DETECTOR), options=in_float32(options))
    return FaceEmbedder(detector, bundle, options=options, max_pixels=max_pixels)


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures as lines for people."""
    found, data = figures["metrics"], figures["data"]
    interval = found["accuracy_interval"]
    lines = [
        f"{figures['model']['name']} on {printable(data['path'])}: {data['pairs']:,} pairs "
        f"({found['same_pairs']:,} same, {found['different_pairs']:,} different), "
        f"{data['errors']:,} could not be compared",
        f"  at the threshold {found['threshold']:.3f}: accuracy {found['accuracy']:.4f} "
        f"(95% interval {interval['low']:.4f} to {interval['high']:.4f}), true accepts "
        f"{found['true_accept_rate']:.4f}, false accepts {found['false_accept_rate']:.4f}",
        f"  AUC {found['auc']:.4f}   equal error rate {found['equal_error_rate']:.4f} "
        f"(at {found['equal_error_threshold']:.3f})",
    ]
    if found["tar_at"]:
        rates = ", ".join(f"{rate:.4f} at {far}" for far, rate in found["tar_at"].items())
        lines.append(f"  true accepts at false accept rates: {rates}")
    if "folds" in figures:
        folds = figures["folds"]
        lines.append(
            f"  {len(folds['folds'])} folds, threshold of the others: accuracy "
            f"{folds['accuracy']:.4f} ± {folds['standard_error']:.4f} (standard error)"
        )
    for wrong in figures["mistakes"][:SHOWN_MISTAKES]:
        word = "one person" if wrong["expected"] else "two people"
        pair = printable(f"{wrong['a']}  {wrong['b']}")
        lines.append(f"  mistake: {word} at {wrong['distance']:.3f}  {pair}")
    return lines
