"""The card of a graph: from what it is, what it says of itself, and what the user says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from cnnkit.bundles.card import MAX_CLASSES, ModelCard, parse_card
from cnnkit.bundles.graphs.class_names import (
    classifier_labels,
    coco_classes,
    detector_labels,
    label_count,
    without_background,
)
from cnnkit.bundles.graphs.families import FAMILIES, Preprocessing, family
from cnnkit.bundles.graphs.graph_card import SECTION, GraphSpec
from cnnkit.bundles.graphs.graph_wish import TASKS, GraphWish
from cnnkit.bundles.graphs.image_input import WHOLE_NUMBERS, ImageInput, image_of
from cnnkit.bundles.graphs.network import (
    GraphInfo,
    TensorInfo,
    always_one,
    info_of,
    numbers_of_a_row,
    outputs_at,
)
from cnnkit.bundles.graphs.normalizing import asked_for, blind_note, pixel_notes, preprocessing
from cnnkit.bundles.graphs.said import Said
from cnnkit.bundles.graphs.scanning import NAMES, GraphFile
from cnnkit.bundles.graphs.scores import scores_kind
from cnnkit.bundles.head_clues import AlwaysOne
from cnnkit.bundles.head_profiles import PROFILES, HeadProfile, OutputInfo, recognize
from cnnkit.bundles.score_kinds import ONE_NUMBER, SCORE_KINDS
from cnnkit.errors import BundleError, UsageError, broken_rule
from cnnkit.images import InputSpec

# A detector's head says the rest; what it leaves open is stretched.
DETECTING = Preprocessing("RGB", None, None, "stretch", 1.0, "bilinear")
CLASSIFYING = Preprocessing("RGB", None, None, "crop", 0.875, "bilinear")
DTYPES = {"f32": "float32", "f16": "float16", "i64": "int64", "i32": "int32", "u8": "uint8"}
# Detectors whose classes leave out the background.
WITHOUT_BACKGROUND = ("tflite-detections", "tf-detections")


class Planned(NamedTuple):
    """A graph as it will be opened.

    Attributes:
        card: Its card; ``content`` is what a bundle's card.json holds besides its files.
        spec: Its ``graph`` section.
        labels: The classes' names.
        notes: What the user should be told once.
    """

    card: ModelCard
    spec: GraphSpec
    labels: tuple[str, ...]
    notes: tuple[str, ...]


def plan(file: GraphFile, model: Any, said: Said, wish: GraphWish, ask: str) -> Planned:
    """Return how a graph is opened.

    Args:
        file: A file that was scanned.
        model: Its `openvino.Model`; it stays as it is.
        said: What it says of itself.
        wish: What the user says.
        ask: What to do where something is missing, for the message.

    Raises:
        BundleError: It is neither a classifier nor a detector of images.
        UsageError: Something is not known, or contradicts the file.
    """
    info = info_of(model)
    task = wish.task or said.task or _task(info, wish)
    if task == "detect":
        return _detector(file, model, info, said, wish, ask)
    if task != "classify":
        rule = f"be a model for {' or '.join(TASKS)}"
        raise BundleError(broken_rule(str(file.path), rule, f"one for {task}"))
    return _classifier(file, model, info, said, wish, ask)


def _task(info: GraphInfo, wish: GraphWish) -> str:
    """Return the task by the family that the user names, else by the outputs."""
    if wish.like in PROFILES and wish.like not in FAMILIES:
        return "detect"
    if len(info.inputs) > 1:  # classifiers ask for no sizes
        return "detect"
    boxes = any(len(one.shape) == 3 and one.shape[2] == 4 for one in info.outputs)
    rows = any(numbers_of_a_row(one.shape) for one in info.outputs)
    flat = all(len(one.shape) < 3 for one in info.outputs)
    return "classify" if (rows and not boxes) or flat else "detect"


def _outputs(info: GraphInfo) -> str:
    shown = [f"{one.name[:40]} {list(one.shape)}".replace("None", "?") for one in info.outputs[:8]]
    return f"outputs {', '.join(shown)}"


def _classifier(
    file: GraphFile, model: Any, info: GraphInfo, said: Said, wish: GraphWish, ask: str
) -> Planned:
    alike, numbers = _scores(file, info, said, wish)
    scores = alike[0]
    image = image_of(file, model, info, wish, said.size)
    _check_one_row(file, model, info, image, scores)
    chosen = preprocessing(file, image, said, wish, CLASSIFYING, ask)
    kind = wish.scores or _kind(said, scores_kind(model, scores.name, numbers))
    if kind is None:
        rule = f"be given for {file.path}, whose last operations do not say what they are"
        fix = f"Use one of {', '.join(SCORE_KINDS)}."
        raise UsageError(broken_rule("`scores`", rule, "none", fix))
    if (numbers > 1 and kind in ONE_NUMBER) or (numbers == 1 and kind not in ONE_NUMBER):
        rule = "be logit or probability for one number, and none of them for more"
        raise UsageError(broken_rule("`scores`", rule, f"{kind} for {numbers}"))
    classes = 2 if kind in ONE_NUMBER else numbers
    labels, notes = classifier_labels(file, classes, said, wish)
    if asked_for(wish).over(said.preprocessing).fit is None:
        share = f"the middle {chosen.crop_fraction:g} of the short side enters"
        note = f"does not say how images are fitted: {share}, or what `fit` says."
        notes = (*notes, f"{file.path.name} {note}")
    notes = (*notes, *pixel_notes(file, image, said, wish, chosen))
    notes = (*notes, *blind_note(file, model, image, chosen))
    if len(alike) > 1:
        names = ", ".join(one.name[:40] for one in alike[1:5])
        note = (
            f"gives {len(alike)} rows of {numbers} numbers: using {scores.name[:40]}, not {names}."
        )
        notes = (*notes, f"{file.path.name} {note}")
    outputs: dict[str, Any] = {"scores": {"layer": scores.name, "kind": kind}}
    if wish.features:
        outputs["features"] = {"layer": wish.features}
    return planned(file, image, chosen, "classify", outputs, labels, notes, said, wish)


def _check_one_row(
    file: GraphFile, model: Any, info: GraphInfo, image: ImageInput, scores: TensorInfo
) -> None:
    """Refuse scores that are no row for one image: one below the other, or as many as it finds."""
    shown = outputs_at(model, image.spec(file.form), image.size)
    shape = shown[info.outputs.index(scores)].shape
    if not shape or shape[0] != 1:
        rule = "give one row of class scores for each image"
        raise BundleError(broken_rule(str(file.path), rule, _outputs(info)))


def _kind(said: Said, own: str | None) -> str | None:
    """Return what the scores are; that labels are independent says not where the sigmoid is."""
    if said.scores_kind == "independent-logits" and own == "probabilities":
        return own
    return said.scores_kind or own


def _scores(
    file: GraphFile, info: GraphInfo, said: Said, wish: GraphWish
) -> tuple[list[TensorInfo], int]:
    """Return the outputs that may be the scores, and how many numbers each has.

    Of several rows those are meant that have as many as there are labels.

    Raises:
        BundleError: There is none.
        UsageError: Several have other numbers of scores, and no labels say which is meant.
    """
    # Whole numbers are classes that the network has chosen, not scores; 8 bits may stand for real.
    real = [one for one in info.outputs if one.dtype not in WHOLE_NUMBERS]
    rows = {one: numbers_of_a_row(one.shape) for one in real}
    found = [(one, numbers) for one, numbers in rows.items() if numbers]
    if not found or max(numbers for _, numbers in found) > MAX_CLASSES:
        rule = "give one row of class scores for each image"
        raise BundleError(broken_rule(str(file.path), rule, _outputs(info)))
    known = len(said.labels or ()) or label_count(wish.labels)
    fitting = [pair for pair in found if pair[1] == known] or found
    if len({numbers for _, numbers in fitting}) > 1:  # features beside scores, or other heads
        rule = f"say which of several rows of numbers are the scores of {file.path}"
        received = f"{known or 'no'} labels for the {_outputs(info)}"
        fix = "Give a file with as many labels as there are classes."
        raise UsageError(broken_rule("`labels`", rule, received, fix))
    return [one for one, _ in fitting], fitting[0][1]


def _detector(
    file: GraphFile, model: Any, info: GraphInfo, said: Said, wish: GraphWish, ask: str
) -> Planned:
    if wish.like is not None and wish.like not in PROFILES:
        family(wish.like, PROFILES)
    image = image_of(file, model, info, wish, said.size)
    spec = image.spec(file.form)
    outputs = _named(outputs_at(model, spec, image.size))

    def is_always_one(output: str, column: int) -> bool | None:
        return always_one(model, spec, image.size, outputs[output].name, column)

    head = _head(file, outputs, image, said, wish, is_always_one)
    own = replace(wish, like=None) if wish.like in PROFILES else wish
    chosen = preprocessing(file, image, said, own, _of_the_head(head), ask)
    labels, notes = detector_labels(file, head.classes, said, wish)
    if head.settings.get("profile") in WITHOUT_BACKGROUND and head.kind == "detections":
        labels, more = without_background(file, labels)
        notes = (*notes, *more)
    said_by_nobody = own.like is None and all(
        one.mean is None and one.std is None for one in (own.preprocessing, said.preprocessing)
    )
    if said_by_nobody and not image.takes_pixels:
        note = "does not say how its pixels are normalized: using what its head's project does."
        notes = (*notes, f"{file.path.name} {note}")
    notes = (*notes, *pixel_notes(file, image, said, own, chosen))
    section = head.section() | dict(said.suppression)
    coco = coco_classes(len(labels))
    if coco and coco.labels == labels:
        section["category_ids"] = list(coco.numbers)
    used = set(_texts_in(section)) & outputs.keys()
    layers = {name: {"layer": outputs[name].name} for name in outputs if name in used or not used}
    return planned(file, image, chosen, "detect", layers, labels, notes, said, wish, section)


def _named(outputs: Sequence[TensorInfo]) -> dict[str, TensorInfo]:
    """Return the outputs by names that a card may have."""
    found: dict[str, TensorInfo] = {}
    for number, one in enumerate(outputs):
        name = re.sub(r"[^A-Za-z0-9_-]", "_", one.name.removesuffix(":0"))[:60]
        if not name[:1].isalpha() or name in found:
            name = f"output{number}_{name}"[:60]
        found[name] = one
    return found


def _head(
    file: GraphFile,
    outputs: Mapping[str, TensorInfo],
    image: ImageInput,
    said: Said,
    wish: GraphWish,
    is_always_one: AlwaysOne,
) -> HeadProfile:
    seen = [
        OutputInfo(n, one.shape, DTYPES.get(one.dtype, one.dtype)) for n, one in outputs.items()
    ]
    metadata = {k: v for k, v in said.metadata.items() if k in ("task", "head", "description")}
    count = label_count(wish.labels) or len(said.labels or ())
    if count:
        metadata["classes"] = str(count)
    elif "names" in said.metadata:
        metadata["names"] = said.metadata["names"]
    like = wish.like if wish.like in PROFILES else said.head
    try:
        return recognize(seen, metadata, image.size, like, is_always_one)
    except BundleError as error:
        raise BundleError(f"{file.path}: {error}") from error


def _of_the_head(head: HeadProfile) -> Preprocessing:
    """Return how a head's project prepares images."""
    hints = dict(head.input)
    colors = {"rgb": "RGB", "bgr": "BGR"}.get(hints.get("color", ""))
    mean, std = (tuple(hints[name]) if name in hints else None for name in ("mean", "std"))
    fields = {name: hints.get(name) for name in ("fit", "interpolation", "pad_value")}
    return Preprocessing(colors, mean, std, crop_fraction=1.0, **fields).over(DETECTING)


def _texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a card's section."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(child)


def planned(
    file: GraphFile,
    image: ImageInput,
    chosen: Preprocessing,
    task: str,
    outputs: Mapping[str, Any],
    labels: tuple[str, ...],
    notes: tuple[str, ...],
    said: Said,
    wish: GraphWish,
    detector: Mapping[str, Any] | None = None,
) -> Planned:
    """Put a plan together, with its card."""
    spec = GraphSpec(
        file.form,
        image.tensor.name,
        image.layout,
        chosen.colors or "RGB",
        chosen.mean or (0.0,),
        chosen.std or (1.0,),
        *((image.quantized.scale, image.quantized.zero) if image.quantized else ()),
    )
    entry = {"height": image.size[0], "width": image.size[1]}
    for name in ("fit", "crop_fraction", "interpolation", "pad_value"):
        if (value := getattr(chosen, name)) is not None:
            entry[name] = value
    content: dict[str, Any] = {
        "schema_version": 1,
        "name": wish.name or file.name,
        "task": task,
        "description": f"Opened from {NAMES[file.form]}.",
        "architecture": {"builder": None, "arguments": {}},
        "input": InputSpec.from_dict(entry).to_dict(),
        "outputs": dict(outputs),
        "classes": len(labels),
        SECTION: spec.to_dict() | {"said_by": said.source or None, "like": wish.like},
    }
    if detector is not None:
        content["detector"] = dict(detector)
    if said.threshold is not None and task == "classify":
        content["calibration"] = {"threshold": said.threshold}
    return Planned(parse_card(content), spec, labels, (*said.notes, *notes))


def families() -> str:
    """Return the names of the families, for messages."""
    return ", ".join(FAMILIES)
