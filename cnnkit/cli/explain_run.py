"""What ``cnnkit explain`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnnkit.bundles import Bundle, open_model
from cnnkit.cli.display import Display
from cnnkit.commands.inputs import counting, expected_images
from cnnkit.errors import UsageError, broken_rule
from cnnkit.explanation import Explainer
from cnnkit.explanation.folders import TABLE, Pictures, explain_folders
from cnnkit.explanation.scored import METHOD, ScoredExplainer
from cnnkit.folder_job import Outputs
from cnnkit.images import DEFAULT_MAX_PIXELS, Finder
from cnnkit.runtime import RuntimeOptions

log = logging.getLogger("cnnkit")


def run(paths: Iterable[str], *, quiet: bool, form: str | None, **chosen: Any) -> int:
    """Explain, show, and return how many inputs failed."""
    outputs, pictures = _outputs_of(chosen)
    paths = list(paths)
    exclude = [str(folder) for folder in (pictures.overlays, pictures.heats) if folder]
    finder = Finder(paths, exclude=exclude)
    names = ("device", "runtime", "precision", "threads")
    runtime = RuntimeOptions(*(chosen[name] for name in names))
    bundle = open_model(chosen["model"], chosen["weights"], chosen["labels"])
    for note in bundle.notes:
        log.info(note)
    max_pixels = chosen["max_pixels"] or DEFAULT_MAX_PIXELS
    explainer = explainer_of(bundle, chosen, runtime, max_pixels, expected_images(paths))
    same_on_resume = {
        "model": bundle.card.name,
        "method": explainer.method,
        "with": chosen["reference"],
        "class": chosen["class_name"],
        "layer": chosen["layer"],
        "scale": chosen["scale"],
        "box_share": chosen["box_share"],
        "fit": explainer.spec.fit,
        "max_pixels": max_pixels,
        "runtime": explainer.predictor.runtime,
        "precision": explainer.predictor.precision,
        "overlays": chosen["overlays"],
        "maps": chosen["maps"],
        "size": chosen["size"],
    }

    with Display(form, bool(outputs.rows), quiet, TABLE, "explain", ("BOX", _box)) as display:
        summary = explain_folders(
            explainer,
            finder,
            outputs,
            pictures,
            options=same_on_resume,
            workers=chosen["workers"] or (runtime.threads + 1 if runtime.threads else None),
            emit=counting(display.show, display.progress, lambda: Finder(paths, exclude=exclude)),
        )
    display.conclude(summary)
    return summary.failed


def explainer_of(
    bundle: Bundle,
    chosen: dict[str, Any],
    runtime: RuntimeOptions,
    max_pixels: int,
    expected: int | None,
) -> Explainer | ScoredExplainer:
    """Return what explains a model of that task."""
    task, method = bundle.card.task, chosen["method"]
    if chosen["reference"] is not None and task != "embed-face":
        rule = "go with a model for embed-face"
        raise UsageError(broken_rule("--with", rule, f"one for {task}"))
    if task not in ("classify", "detect", "embed-face"):
        rule = "be a classifier, a detector, or a model for embed-face (with --with FILE)"
        raise UsageError(broken_rule("--model", rule, f"a model for {task}"))
    if task in ("detect", "embed-face"):
        return _scored(bundle, chosen, runtime, max_pixels)
    return Explainer(
        bundle,
        method or "grad-cam",
        class_name=chosen["class_name"],
        layer=chosen["layer"],
        fit=chosen["fit"],
        scale=chosen["scale"],
        box_share=chosen["box_share"],
        options=runtime,
        batch_size=chosen["batch_size"],
        expected=expected,
        max_pixels=max_pixels,
    )


def _scored(
    bundle: Bundle, chosen: dict[str, Any], runtime: RuntimeOptions, max_pixels: int
) -> ScoredExplainer:
    from cnnkit.cli.explain_subjects import explainer_of_detector, explainer_of_faces

    task = bundle.card.task
    if chosen["method"] not in (None, METHOD):
        rule = f"be {METHOD} for a model for {task}"
        raise UsageError(broken_rule("--method", rule, chosen["method"]))
    refused = ["layer", "scale"] + (["class_name", "fit"] if task == "embed-face" else [])
    for name in refused:
        if chosen[name] is not None:
            option = {"class_name": "--class"}.get(name, f"--{name}")
            rule = f"not go with a model for {task}"
            raise UsageError(broken_rule(option, rule, chosen[name]))
    more = {"box_share": chosen["box_share"], "max_pixels": max_pixels}
    if task == "detect":
        return explainer_of_detector(bundle, chosen["class_name"], runtime, chosen["fit"], **more)
    return explainer_of_faces(bundle, chosen["reference"], runtime, **more)


def _outputs_of(chosen: dict[str, Any]) -> tuple[Outputs, Pictures]:
    """Return what the options ask to leave behind."""
    rows, report, overlays, maps = (
        Path(chosen[name]) if chosen[name] else None
        for name in ("output", "report", "overlays", "maps")
    )
    outputs = Outputs(
        rows=rows,
        report=report,
        resume=chosen["resume"],
        overwrite=chosen["overwrite"],
        retry_errors=chosen["retry_errors"],
    )
    return outputs, Pictures(overlays, maps, chosen["size"])


def _box(row: dict[str, Any]) -> str:
    return "no heat" if row["box"] is None else ", ".join(map(str, row["box"]))
