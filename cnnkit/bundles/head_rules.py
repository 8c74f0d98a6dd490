"""One rule for each profile of a detector head: whether it fits the outputs, with what settings.

docs/detector-heads.md says for people what each assumes. The counts and columns are those of the
projects' own exports.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from cnnkit.bundles.head_clues import Clues, HeadProfile, OutputInfo, Rows, grid_count

# Classes of COCO: where outputs can be read in two ways, the one with as many is meant.
COCO_CLASSES = 80
# Scores of networks whose classes are COCO's numbers from 0 to 90.
COCO_NUMBERS = 91
# The column of the objectness, behind those of the box.
OBJECTNESS = 4
# Queries of RT-DETR, D-FINE and RF-DETR, and of DETR.
QUERIES, DETR_QUERIES, MOST_QUERIES = 300, 100, 1000
# How the names of the outputs of TFLite's own detectors begin.
TFLITE = "tflite_detection_postprocess"

UNIT_RGB = {"color": "rgb", "mean": [0.0, 0.0, 0.0], "std": [255.0, 255.0, 255.0]}
IMAGENET_RGB = {
    "color": "rgb",
    "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
}
IMAGENET_BGR = {
    "color": "bgr",
    "mean": [103.53, 116.28, 123.675],
    "std": [57.375, 57.12, 58.395],
}
PLAIN_BGR = {"color": "bgr", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
PADDED_GRAY = {"fit": "pad", "pad_value": 114, "interpolation": "plain-bilinear"}
PADDED_BLACK = {"fit": "pad", "pad_value": 0, "interpolation": "plain-bilinear"}
STRETCHED = {"fit": "stretch", "interpolation": "plain-bilinear"}


class Head(NamedTuple):
    """What all networks of a profile share.

    Attributes:
        kind: Which decoder reads their outputs.
        image: See `HeadProfile.input`.
        description: One sentence.
        usual: The project's own thresholds.
    """

    kind: str
    image: Mapping[str, Any]
    description: str
    usual: Mapping[str, float]


_YOLO = {"confidence": 0.25, "iou": 0.7}
HEADS = {
    "yolov5": Head(
        "yolov5",
        PADDED_GRAY | UNIT_RGB,
        "YOLOv5, YOLOv7 and relatives: boxes, objectness and class probabilities of all anchors",
        {"confidence": 0.25, "iou": 0.45},
    ),
    "yolov8": Head(
        "yolov8",
        PADDED_GRAY | UNIT_RGB,
        "YOLOv8, YOLO11 and relatives: boxes and class probabilities of all cells",
        _YOLO,
    ),
    "yolox": Head(
        "yolox",
        PADDED_GRAY | PLAIN_BGR,
        "YOLOX: boxes, objectness and class probabilities of all cells",
        {"confidence": 0.3, "iou": 0.45},
    ),
    "yolov6": Head(
        "yolox",
        PADDED_GRAY | UNIT_RGB,
        "YOLOv6: decoded boxes, an objectness that is always 1, and class probabilities",
        {"confidence": 0.4, "iou": 0.45},
    ),
    "end-to-end": Head(
        "end-to-end",
        PADDED_GRAY | UNIT_RGB,
        "YOLOv10, or YOLOv8 and relatives exported with non-max suppression: finished detections",
        {"confidence": 0.25},
    ),
    "nanodet": Head(
        "nanodet",
        PADDED_BLACK | IMAGENET_BGR,
        "NanoDet: class scores and distances of 8 bins of all cells",
        {"confidence": 0.35, "iou": 0.6},
    ),
    "nanodet-g": Head(
        "nanodet",
        PADDED_BLACK | IMAGENET_BGR,
        "NanoDet-g: class scores and distances of 11 bins of all cells",
        {"confidence": 0.35, "iou": 0.6},
    ),
    "nanodet-plus": Head(
        "nanodet",
        STRETCHED | IMAGENET_BGR,
        "NanoDet-Plus: class scores and distances of 8 bins of all cells",
        {"confidence": 0.35, "iou": 0.6},
    ),
    "rt-detr": Head(
        "detr",
        STRETCHED | UNIT_RGB,
        "RT-DETR, D-FINE and relatives: a box and class scores of each query",
        {"confidence": 0.5},
    ),
    "rf-detr": Head(
        "detr",
        STRETCHED | IMAGENET_RGB,
        "RF-DETR: a box and class scores of each query",
        {"confidence": 0.5},
    ),
    "detr": Head(
        "detr",
        STRETCHED | IMAGENET_RGB,
        "DETR: a box and class scores of each query, with one score for no object",
        {"confidence": 0.5},
    ),
    "boxes-scores": Head(
        "boxes-scores",
        {},
        "YOLO-NAS and relatives: boxes and class probabilities of all cells in two outputs",
        _YOLO,
    ),
    "detections": Head(
        "detections",
        STRETCHED | UNIT_RGB,
        "RT-DETR, D-FINE and relatives with their post-processing: finished detections",
        {"confidence": 0.5},
    ),
    "tflite-detections": Head(
        "detections",
        STRETCHED,
        "SSD, EfficientDet and relatives with TFLite_Detection_PostProcess: finished detections",
        {"confidence": 0.5},
    ),
    "tf-detections": Head(
        "detections",
        STRETCHED,
        "TensorFlow's object detection API: finished detections",
        {"confidence": 0.5},
    ),
}


def _profile(name: str, classes: int, **settings: Any) -> HeadProfile:
    head = HEADS[name]
    section = {"profile": name} | settings | dict(head.usual)
    return HeadProfile(head.kind, section, classes, dict(head.image), head.description)


# --- one output --------------------------------------------------------------------------


def _yolov5(clues: Clues) -> HeadProfile | None:
    rows = clues.only_rows()
    if rows is None or not clues.fits(rows.columns - 5):
        return None
    if rows.boxes is not None and not clues.strides(rows.boxes, 3) and not clues.is_chosen:
        return None
    return _profile("yolov5", rows.columns - 5, output=rows.output)


def _yolov8(clues: Clues) -> HeadProfile | None:
    output = clues.only_output()
    if output is None:
        return None
    first, second = output.shape[1:]
    for channels, count in ((first, second), (second, first)):
        if channels is None or not clues.fits(channels - 4):
            continue
        # Rows of cells are other heads', too: it takes more than a number that fits.
        is_usual = channels == first or clues.classes is not None or channels == 4 + COCO_CLASSES
        if clues.is_chosen or (is_usual and (count is None or clues.strides(count))):
            return _profile("yolov8", channels - 4, output=output.name)
    return None


def _yolox(clues: Clues) -> HeadProfile | None:
    return _of_cells(clues, "yolox", is_always_one=False)


def _yolov6(clues: Clues) -> HeadProfile | None:
    found = _of_cells(clues, "yolov6", is_always_one=True)
    return found and replace(found, settings=found.settings | {"unit": "pixels"})


def _of_cells(clues: Clues, name: str, is_always_one: bool) -> HeadProfile | None:
    """Recognize YOLOX, or YOLOv6, which takes other pixels: its objectness is a constant."""
    rows = clues.only_rows()
    strides = None if rows is None else clues.strides(rows.boxes)
    if rows is None or strides is None or not clues.fits(rows.columns - 5):
        return None
    if not clues.is_chosen and clues.always_one(rows.output, OBJECTNESS) is (not is_always_one):
        return None
    return _profile(name, rows.columns - 5, output=rows.output, strides=list(strides))


def _end_to_end(clues: Clues) -> HeadProfile | None:
    rows = clues.only_rows()
    if rows is None or rows.columns != 6:
        return None
    if not clues.is_chosen and (clues.may_be_grid(rows, 5) or "detr" in clues.about):
        return None
    return _profile("end-to-end", clues.classes or 0, output=rows.output)


def _nanodet(clues: Clues) -> HeadProfile | None:
    return _of_bins(clues, "nanodet", (8, 16, 32), 8, 0.5)


def _nanodet_g(clues: Clues) -> HeadProfile | None:
    return _of_bins(clues, "nanodet-g", (8, 16, 32), 11, 0.5)


def _nanodet_plus(clues: Clues) -> HeadProfile | None:
    return _of_bins(clues, "nanodet-plus", (8, 16, 32, 64), 8, 0.0)


def _of_bins(
    clues: Clues, name: str, strides: tuple[int, ...], bins: int, offset: float
) -> HeadProfile | None:
    rows = clues.only_rows()
    if rows is None or rows.boxes != grid_count(clues.size, strides):
        return None
    classes = rows.columns - 4 * bins
    if not clues.fits(classes):
        return None
    settings = {"strides": list(strides), "bins": bins, "offset": offset}
    return _profile(name, classes, output=rows.output, **settings)


# --- boxes and scores of queries or cells ------------------------------------------------


class Pair(NamedTuple):
    """Two outputs, boxes (batch, queries, 4) and class scores (batch, queries, columns)."""

    boxes: str
    scores: str
    queries: int
    columns: int


def _pair(clues: Clues, is_tflite: bool = False) -> Pair | None:
    """Return the boxes and the class scores if these are all outputs, or have the usual names.

    Args:
        clues: What is known.
        is_tflite: They are what was in front of TFLite_Detection_PostProcess, or are not.
    """
    if is_tflite != any(_plain(one.name).startswith(TFLITE) for one in clues.outputs):
        return None
    by_name = {_plain(output.name): output for output in clues.outputs}
    if {"pred_boxes", "logits"} <= by_name.keys():  # hidden states may stand beside them
        some = [by_name["pred_boxes"], by_name["logits"]]
    else:
        some = [output for output in clues.outputs if len(output.shape) <= 3]
    if len(some) != 2 or any(len(output.shape) != 3 for output in some):
        return None
    boxes = [output for output in some if output.shape[2] == 4]
    if len(boxes) == 2:
        boxes = [output for output in some if re.search("box|dets", output.name.lower())]
    if len(boxes) != 1:
        return None
    scores = some[1 - some.index(boxes[0])]
    count, columns = scores.shape[1:]
    if count is None or columns is None or boxes[0].shape[1] != count:
        return None
    return Pair(boxes[0].name, scores.name, count, columns)


def _rt_detr(clues: Clues) -> HeadProfile | None:
    rows, pair = clues.only_rows(), _pair(clues)
    if rows is not None:  # Ultralytics' exports
        return _rt_detr_in_one(clues, rows)
    if pair is None or not clues.fits(pair.columns):
        return None
    if not clues.is_chosen and (_is_rf_detr(pair) or not _may_have(clues, pair, DETR_QUERIES)):
        return None
    found = _queries("rt-detr", pair, pair.columns, "sigmoid")
    if pair.columns == COCO_NUMBERS:  # Deformable, Conditional and LW-DETR; RT-DETR has 80
        return replace(found, input=STRETCHED | IMAGENET_RGB)
    return found


def _rt_detr_in_one(clues: Clues, rows: Rows) -> HeadProfile | None:
    """Recognize one output of the queries, or of finished detections as newer versions give it."""
    is_said = clues.is_chosen or "detr" in clues.about
    if is_said and rows.columns == 6 and (clues.classes != 2 or "rtdetrdecoder" in clues.about):
        settings = {"output": rows.output, "order": "cxcywh", "unit": "normalized"}
        found = _profile("rt-detr", clues.classes or 0, **settings)
        return replace(found, kind="end-to-end")
    is_free = rows.columns != 6 or clues.classes is not None  # not finished detections
    is_usual = rows.boxes == QUERIES and is_free and not clues.may_be_grid(rows, 5)
    if clues.fits(rows.columns - 4) and (is_usual or is_said):
        settings = {"output": rows.output, "scores": "probabilities"}
        return _profile("rt-detr", rows.columns - 4, **settings)
    return None


def _rf_detr(clues: Clues) -> HeadProfile | None:
    """Recognize RF-DETR.

    Its last score is the background's, except that of COCO's 91 numbers: there it is a class's.
    """
    pair = _pair(clues)
    if pair is None or not (clues.is_chosen or _is_rf_detr(pair)):
        return None
    has_background = pair.columns not in (COCO_NUMBERS, clues.classes)
    classes = pair.columns - has_background
    if not clues.fits(classes):
        return None
    scores = "sigmoid-background" if has_background else "sigmoid"
    return _queries("rf-detr", pair, classes, scores)


def _detr(clues: Clues) -> HeadProfile | None:
    pair = _pair(clues)
    if pair is None or not clues.fits(pair.columns - 1):
        return None
    if not clues.is_chosen and (_is_rf_detr(pair) or not _may_have(clues, pair, QUERIES)):
        return None
    return _queries("detr", pair, pair.columns - 1, "softmax")


def _queries(name: str, pair: Pair, classes: int, scores: str) -> HeadProfile:
    return _profile(name, classes, boxes=pair.boxes, logits=pair.scores, scores=scores)


def _is_rf_detr(pair: Pair) -> bool:
    return (_plain(pair.boxes), _plain(pair.scores)) == ("dets", "labels")


def _may_have(clues: Clues, pair: Pair, others: int) -> bool:
    """Return whether these are queries, and not as many as the other kind's usually.

    Where the classes are known the number of scores tells the kinds apart.
    """
    is_few = clues.strides(pair.queries) is None and pair.queries <= MOST_QUERIES
    return is_few and (clues.classes is not None or pair.queries != others)


def _boxes_scores(clues: Clues) -> HeadProfile | None:
    pair = _pair(clues)
    if pair is None or not clues.fits(pair.columns):
        return None
    if not clues.is_chosen and not any(clues.strides(pair.queries, n) for n in (1, 3)):
        return None
    return _profile("boxes-scores", pair.columns, boxes=pair.boxes, scores=pair.scores)


# --- finished detections -----------------------------------------------------------------

_ROLES = {
    "boxes": re.compile("box|location"),
    "labels": re.compile("label|class|categor"),
    "scores": re.compile("score|conf"),
    "count": re.compile("num|count"),
}
# Numbers at the end of the names that TensorFlow's converters give to the outputs.
_NUMBERED = {
    "tflite_detection_postprocess": {"": "boxes", "1": "labels", "2": "scores", "3": "count"},
    "statefulpartitionedcall": {"3": "boxes", "2": "labels", "1": "scores", "0": "count"},
}
_NUMBERED["statefulpartitionedcall"][""] = "count"


def _detections(clues: Clues) -> HeadProfile | None:
    roles = _roles(clues.outputs)
    if (len(clues.outputs) != 3 and not clues.is_chosen) or not _are_detections(roles):
        return None
    settings = {"order": "xyxy", "unit": "auto", "first_class": 0}
    return _finished(clues, "detections", roles, settings)


def _tflite_detections(clues: Clues) -> HeadProfile | None:
    pair = _pair(clues, is_tflite=True)
    if pair is not None:  # decoded already, but not suppressed
        if not clues.fits(pair.columns):
            return None
        settings = {"boxes": pair.boxes, "scores": pair.scores, "unit": "normalized", "iou": 0.5}
        found = _profile("tflite-detections", pair.columns, **settings)
        return replace(found, kind="boxes-scores")
    outputs = clues.outputs
    numbered = [_numbered_role(output) for output in outputs]
    roles = _roles(outputs)
    if len(set(numbered)) == 4 and None not in numbered:
        roles = dict(zip(numbered, outputs, strict=True))  # type: ignore[arg-type]
    elif len(roles) < 4 and len(outputs) == 4 and len(outputs[0].shape) == 3:
        # The order in which the operation gives them.
        roles = dict(zip(("boxes", "labels", "scores", "count"), outputs, strict=True))
    if len(outputs) != 4 or not _are_detections(roles) or "count" not in roles:
        return None
    if _plain(roles["boxes"].name) == "detection_boxes" and not clues.is_chosen:
        return None
    settings = {"order": "yxyx", "unit": "normalized", "first_class": 0}
    return _finished(clues, "tflite-detections", roles, settings)


def _tf_detections(clues: Clues) -> HeadProfile | None:
    named = {
        "boxes": "detection_boxes",
        "labels": "detection_classes",
        "scores": "detection_scores",
        "count": "num_detections",
    }
    by_name = {_plain(output.name): output for output in clues.outputs}
    roles = {role: by_name[name] for role, name in named.items() if name in by_name}
    if not _are_detections(roles):
        return None
    settings = {"order": "yxyx", "unit": "normalized", "first_class": 1}
    found = _finished(clues, "tf-detections", roles, settings)
    every = by_name.get("raw_detection_scores")
    if found.classes or every is None or len(every.shape) != 3 or every.shape[2] is None:
        return found
    # Of each class, and of the background.
    return _finished(clues, "tf-detections", roles, settings, every.shape[2] - 1)


def _finished(
    clues: Clues,
    name: str,
    roles: Mapping[str, OutputInfo],
    settings: Mapping[str, Any],
    classes: int = 0,
) -> HeadProfile:
    outputs = {role: output.name for role, output in roles.items()}
    return _profile(name, clues.classes or classes, **outputs, **settings)


def _roles(outputs: tuple[OutputInfo, ...]) -> dict[str, OutputInfo]:
    """Return which output is what, by their names, and by the labels' whole numbers."""
    roles: dict[str, OutputInfo] = {}
    for role, words in _ROLES.items():
        rank = {"boxes": (3,), "count": (0, 1, 2)}.get(role, (2,))
        named = [o for o in outputs if words.search(o.name.lower()) and len(o.shape) in rank]
        if len(named) == 1 and named[0] not in roles.values():
            roles[role] = named[0]
    lists = [output for output in outputs if len(output.shape) == 2]
    whole = [output for output in lists if "int" in output.dtype]
    if len(lists) == 2 and len(whole) == 1:
        roles |= {"labels": whole[0], "scores": lists[1 - lists.index(whole[0])]}
    boxes = [output for output in outputs if len(output.shape) == 3]
    return roles | {"boxes": boxes[0]} if len(boxes) == 1 else roles


def _are_detections(roles: Mapping[str, OutputInfo]) -> bool:
    """Return whether there are boxes (batch, n, 4), scores and labels (batch, n)."""
    if not {"boxes", "scores", "labels"} <= roles.keys():
        return False
    boxes, scores, labels = (roles[role].shape for role in ("boxes", "scores", "labels"))
    lists = len(scores) == len(labels) == 2 and scores[1] == labels[1]
    return lists and len(boxes) == 3 and boxes[1:] == (scores[1], 4)


def _numbered_role(output: OutputInfo) -> str | None:
    found = re.fullmatch(r"(.*?)(?:[:_.-]?(\d+))?", output.name.lower())
    return None if found is None else _NUMBERED.get(found[1], {}).get(found[2] or "")


def _plain(name: str) -> str:
    """Return an output's name without the number that TensorFlow puts behind it."""
    return re.sub(r":\d+$", "", name).lower()


RULES: dict[str, Callable[[Clues], HeadProfile | None]] = {
    "yolov5": _yolov5,
    "yolov8": _yolov8,
    "yolox": _yolox,
    "yolov6": _yolov6,
    "end-to-end": _end_to_end,
    "nanodet": _nanodet,
    "nanodet-g": _nanodet_g,
    "nanodet-plus": _nanodet_plus,
    "rt-detr": _rt_detr,
    "rf-detr": _rf_detr,
    "detr": _detr,
    "boxes-scores": _boxes_scores,
    "detections": _detections,
    "tflite-detections": _tflite_detections,
    "tf-detections": _tf_detections,
}
