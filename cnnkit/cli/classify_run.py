"""What ``cnnkit classify`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnnkit.bundles import open_model
from cnnkit.classification import Classifier, classify_folders
from cnnkit.classification.classifier import Decision
from cnnkit.cli.display import Display
from cnnkit.errors import UsageError
from cnnkit.folder_job import Outputs
from cnnkit.images import DEFAULT_MAX_PIXELS, Finder
from cnnkit.runtime import RuntimeOptions
from cnnkit.writers.row_tables import ClassificationTable

log = logging.getLogger("cnnkit")

# Few enough inputs to look at before the model is compiled for them.
FEW = 64


def run(paths: Iterable[str], *, quiet: bool, form: str | None, **chosen: Any) -> int:
    """Classify, show, and return how many inputs failed."""
    outputs = outputs_of(chosen)
    paths = list(paths) if not isinstance(paths, list) else paths
    exclude = [chosen["sort_into"]] if chosen["sort_into"] else []
    finder = Finder(paths, exclude=exclude)

    def count() -> int:
        return sum(1 for _ in Finder(paths, exclude=exclude))

    decision = Decision(chosen["top_k"], chosen["threshold"])
    runtime = RuntimeOptions(
        chosen["device"], chosen["runtime"], chosen["precision"], chosen["threads"]
    )
    bundle = open_model(chosen["model"], chosen["weights"], chosen["labels"])
    for note in bundle.notes:
        log.info(note)
    max_pixels = chosen["max_pixels"] or DEFAULT_MAX_PIXELS
    classifier = Classifier.from_bundle(
        bundle,
        decision,
        fit=chosen["fit"],
        features=outputs.embeddings is not None,
        options=runtime,
        batch_size=chosen["batch_size"],
        expected=expected_pictures(paths),
        max_pixels=max_pixels,
    )
    same_on_resume = {
        "model": bundle.card.name,
        "top_k": decision.top_k,
        "threshold": decision.threshold,
        "fit": classifier.spec.fit,
        "max_pixels": max_pixels,
        "runtime": classifier.predictor.runtime,
        "precision": classifier.predictor.precision,
        "sort_into": chosen["sort_into"],
        "how": outputs.how,
        "embeddings": chosen["embeddings"],
    }
    with Display(
        form, bool(outputs.rows), quiet, ClassificationTable(decision.top_k), count
    ) as display:
        summary = classify_folders(
            classifier,
            finder,
            outputs,
            options=same_on_resume,
            top_k=decision.top_k,
            workers=chosen["workers"] or (runtime.threads + 1 if runtime.threads else None),
            emit=display.show,
        )
    display.conclude(summary, finder.skipped)
    return summary.failed


def outputs_of(chosen: dict[str, Any]) -> Outputs:
    """Return what the options ask to leave behind."""
    names = ("output", "embeddings", "report", "sort_into")
    rows, embeddings, report, sort_into = (
        Path(chosen[name]) if chosen[name] else None for name in names
    )
    if sort_into is not None and sort_into.exists() and not sort_into.is_dir():
        raise UsageError(f"--sort-into must name a folder. Received: the file {sort_into}.")
    return Outputs(
        rows=rows,
        embeddings=embeddings,
        report=report,
        sort_into=sort_into,
        how=chosen["how"],
        resume=chosen["resume"],
        overwrite=chosen["overwrite"],
        retry_errors=chosen["retry_errors"],
    )


def expected_pictures(paths: list[str]) -> int | None:
    """Return how many pictures will come, if the inputs are a few plain files."""
    few = len(paths) <= FEW and all(os.path.isfile(path) for path in paths)
    return len(paths) if few else None
