"""What a graph says of itself: in its metadata, and in the descriptions that lie beside it.

Everything here is a stranger's text: it is bounded, read as data, and left out where it is not
what it should be. What the file does not say is asked for elsewhere.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cnnkit.bundles.card import MAX_CLASSES, MAX_LABEL_LENGTH, clean_label, read_bounded
from cnnkit.bundles.graphs.families import FAMILIES, Preprocessing
from cnnkit.bundles.graphs.scanning import GraphFile, sha256_of_each
from cnnkit.bundles.graphs.tflite_form import DESCRIPTIONS
from cnnkit.errors import BundleError, broken_rule
from cnnkit.images import InputSpec

MAX_TEXT = 1 << 20
MAX_SIDE = 4096
# Pillow's numbers of filters, as in the settings of Hugging Face's image processors. The nearest
# pixel, 0, is not among ours: what comes next passes over pixels, too.
RESAMPLE = {0: "plain-bilinear", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "area"}
LEVIT = 224 / 256
CONVNEXT_WARPS = 384
# What is read of Ultralytics' metadata.
ULTRALYTICS = ("names", "imgsz", "stride", "task", "head", "description")
# Of Ultralytics' detectors; how an image is fitted goes by the head.
UNIT = Preprocessing("RGB", (0.0,), (255.0,))
FITTING = ("fit", "crop_fraction", "interpolation", "pad_value")
TRUE = ("true", "yes", "1")
# Of OpenVINO's Model API.
RESIZE_TYPES = {
    "fit_to_window_letterbox": "pad",
    "fit_to_window": "pad",
    "standard": "stretch",
    "crop": "crop",
}
# Of ONNX's MetadataProps.
COLORS_OF_ONNX = {"rgb8": "RGB", "bgr8": "BGR", "gray8": "gray"}
RANGES_OF_ONNX = {
    "nominalrange_0_255": ((0.0,), (1.0,)),
    "normalized_0_1": ((0.0,), (255.0,)),
    "normalized_1_1": ((127.5,), (127.5,)),
}
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "area")


@dataclass(frozen=True)
class Said:
    """What a file says of itself; None or empty: nothing.

    Attributes:
        source: Who said it, for the card.
        task: ``classify`` or ``detect``.
        labels: The classes' names.
        size: Height and width of the images.
        preprocessing: How an image becomes numbers.
        scores_kind: What the scores are, see `cnnkit.bundles.score_kinds`.
        metadata: All of it, as texts by name.
        head: Of a detector, one of `cnnkit.bundles.head_profiles.PROFILES`.
        suppression: Of a detector, what its card says besides: ``confidence``, ``iou``, ...
        threshold: Of a classifier, the probability under which the class is unknown.
        notes: What the user should be told once of who said it.
    """

    source: str = ""
    task: str | None = None
    labels: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    scores_kind: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    head: str | None = None
    suppression: Mapping[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    notes: tuple[str, ...] = ()


def said_by(file: GraphFile) -> Said:
    """Return what a file, or a description beside it, says of the network."""
    metadata = dict(file.metadata)
    for name in DESCRIPTIONS:
        if name in metadata:
            metadata |= _texts(_json(metadata[name]) or _literal(metadata[name]))
    found = [
        described_by_cnnkit(file.path),
        _ultralytics(metadata | _yaml_beside(file)),
        _tflite(file),
        _openvino(metadata),
        _onnx_image(file),
        _hugging_face(file),
    ]
    first = next((one for one in found if one is not None), Said())
    return Said(**(vars(first) | {"metadata": metadata | dict(first.metadata)}))


# --- texts ---------------------------------------------------------------------------------


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> Any:
    """Return a Python literal, such as ``{0: 'person'}``: data only, nothing is evaluated."""
    if len(text) > MAX_TEXT or _depth(text) > 8:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _depth(text: str) -> int:
    """Return how deep brackets and signs nest: Python's own parser has no bound of ours."""
    deepest = depth = 0
    for character in text:
        depth += (character in "([{-+~") - (character in ")]}") if character in "()[]{}" else 0
        deepest = max(deepest, depth)
    return deepest if not re.search(r"[-+~]{9}", text) else 99


def _texts(content: Any) -> dict[str, str]:
    """Return the entries of an object as texts."""
    if not isinstance(content, dict):
        return {}
    return {
        str(key): value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in content.items()
    }


def _beside(file: GraphFile, name: str) -> bytes | None:
    """Return a small file beside the graph, or inside the folder of a SavedModel."""
    for folder in dict.fromkeys((file.path if file.path.is_dir() else file.path.parent,)):
        path = folder / name
        if path.is_file() and not path.is_symlink():
            try:
                return read_bounded(path, MAX_TEXT)
            except BundleError:
                return None
    return None


def _object(content: bytes | None) -> dict[str, Any]:
    found = _json(content) if content is not None else None
    return found if isinstance(found, dict) else {}


# --- values --------------------------------------------------------------------------------


def names_of(value: Any) -> tuple[str, ...] | None:
    """Return the classes' names of a list, or of an object from numbers to names, cleaned."""
    if isinstance(value, dict):
        try:
            numbered = {int(key): name for key, name in value.items()}
        except (ValueError, TypeError):
            return None
        if not 0 < len(numbered) <= MAX_CLASSES or set(numbered) != set(range(len(numbered))):
            return None
        value = [numbered[number] for number in range(len(numbered))]
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_CLASSES:
        return None
    cleaned = [clean_label(str(name))[:MAX_LABEL_LENGTH].strip() for name in value]
    return tuple(name or f"class_{number}" for number, name in enumerate(cleaned))


def _size(value: Any) -> tuple[int, int] | None:
    if isinstance(value, int):
        value = [value, value]
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    try:
        height, width = (int(side) for side in value)
    except (ValueError, TypeError):
        return None
    return (height, width) if 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE else None


def _numbers(value: Any, factor: float = 1.0) -> tuple[float, ...] | None:
    """Return one or three finite numbers, or None."""
    if isinstance(value, str):
        value = re.split(r"[,\s]+", value.strip("[]() \t\n"))
    if isinstance(value, int | float):
        value = [value]
    if not isinstance(value, list | tuple) or len(value) not in (1, 3):
        return None
    try:
        numbers = tuple(float(one) * factor for one in value)
    except (ValueError, TypeError):
        return None
    return numbers if all(math.isfinite(one) for one in numbers) else None


def _fraction(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0.05 <= value <= 1
    return float(value) if usable else None


# --- who says it ---------------------------------------------------------------------------


def described_by_cnnkit(path: Path) -> Said | None:
    """Read the description that `cnnkit export` writes beside a classifier or a detector.

    Raises:
        BundleError: It is that of another file, such as one that stood there before.
    """
    beside = path.with_name(f"{path.resolve().name}.json")
    try:
        content = _object(read_bounded(beside, MAX_TEXT * 16)) if beside.is_file() else {}
    except BundleError:
        return None
    inputs, made_by = content.get("inputs"), content.get("made_by")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        return None
    task = content.get("task")
    if task not in ("classify", "detect") or "cnnkit" not in str(made_by):
        return None
    notes = _of_this_file(path, beside, content.get("sha256"))
    image: dict[str, Any] = inputs[0]
    shape, bars, own = image.get("shape"), image.get("bars"), content.get("suppression")
    pad_value = bars.get("value") if isinstance(bars, dict) else None
    return Said(
        source="cnnkit",
        task=task,
        labels=names_of(content.get("labels")),
        size=_size(shape[1:3]) if isinstance(shape, list) else None,
        preprocessing=Preprocessing(
            "RGB",
            (0.0,),
            (1.0,),
            _among(image.get("fit"), ("crop", "pad", "stretch")),
            _fraction(image.get("crop_fraction")),
            _among(image.get("interpolation"), (*INTERPOLATIONS, "plain-bilinear")),
            pad_value if isinstance(pad_value, int) and 0 <= pad_value <= 255 else None,
        ),
        scores_kind="probabilities",
        head="boxes-scores" if task == "detect" else None,
        suppression={k: v for k, v in own.items() if v} if isinstance(own, dict) else {},
        threshold=_threshold(content.get("calibration")) if task == "classify" else None,
        notes=notes,
    )


def _threshold(calibration: Any) -> float | None:
    """Return the threshold of a description; its temperature is inside the network."""
    value = calibration.get("threshold") if isinstance(calibration, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        return None
    return float(value)


def _of_this_file(path: Path, beside: Path, hashes: Any) -> tuple[str, ...]:
    """Hold a description to the file that it lies beside; return what to say of it."""
    if hashes is None:
        said = "does not say which file it describes: export the model again if it was replaced."
        return (f"{beside.name} {said}",)
    if hashes != sha256_of_each(path):
        rule = f"describe {path.name} as it is, by its sha256"
        fix = "Remove it, or export the model again."
        raise BundleError(broken_rule(str(beside), rule, "the description of another file", fix))
    return ()


def export_of_ours(path: Path, classes: int, image: InputSpec) -> tuple[InputSpec, Said] | None:
    """Return how images are fitted for an exported classifier, and what else its description says.

    Args:
        path: The file of the network.
        classes: Number of its classes.
        image: Its input; what the description does not say of it stays.

    Returns:
        None where no description lies beside it, or that of another network.

    Raises:
        BundleError: See `described_by_cnnkit`.
    """
    found = described_by_cnnkit(path)
    if found is None or found.labels is None or found.task != "classify":
        return None
    if found.size != image.size or len(found.labels) != classes:
        return None
    how = found.preprocessing
    fields = {name: getattr(how, name) for name in FITTING if getattr(how, name) is not None}
    return replace(image, **fields), found


def _among(value: Any, known: Sequence[str]) -> str | None:
    return value if value in known else None


def _yaml_beside(file: GraphFile) -> dict[str, str]:
    """Return Ultralytics' metadata.yaml, which stands beside what holds none itself."""
    content = _beside(file, "metadata.yaml")
    if content is None or file.form not in ("openvino", "saved-model"):
        return {}
    import yaml

    try:
        found = yaml.load(content, yaml.BaseLoader)  # makes texts, lists and objects only
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    wanted = {key: found[key] for key in (*ULTRALYTICS, "author") if key in found}
    return {key: value if isinstance(value, str) else repr(value) for key, value in wanted.items()}


def _ultralytics(metadata: Mapping[str, str]) -> Said | None:
    """Read ``names``, ``imgsz``, ``stride`` and ``task``, Python literals each."""
    if "names" not in metadata or not {"stride", "task", "imgsz"} & set(metadata):
        return None
    task = {"classify": "classify", "detect": "detect"}.get(metadata.get("task", "detect"))
    like = FAMILIES["yolo-classify"]
    return Said(
        source="ultralytics",
        task=task or metadata.get("task"),
        labels=names_of(_literal(metadata["names"])),
        size=_size(_literal(metadata.get("imgsz", ""))),
        preprocessing=like if task == "classify" else UNIT,
        metadata={key: metadata[key] for key in ULTRALYTICS if key in metadata},
    )


def _tflite(file: GraphFile) -> Said | None:
    """Read TFLite's NormalizationOptions, whose numbers are of pixels 0 to 255."""
    mean, std = (_numbers(file.metadata.get(f"tflite.{name}")) for name in ("mean", "std"))
    if file.form != "tflite" or (file.labels is None and mean is None):
        return None
    colors = file.metadata.get("tflite.colors")
    said = Preprocessing(colors or ("RGB" if mean else None), mean, std)
    labels = names_of(file.labels) if file.labels else None
    return Said("tflite", None, labels, None, said)


def _openvino(metadata: Mapping[str, str]) -> Said | None:
    """Read what the Model API of OpenVINO keeps in ``rt_info``, and in the metadata of ONNX."""
    info = {k[11:]: v for k, v in metadata.items() if k.startswith(("model_info/", "model_info "))}
    if not info:
        return None
    labels = info.get("labels", "").split()
    multilabel = info.get("multilabel", "").lower() in TRUE
    how = Preprocessing(
        _colors(info.get("reverse_input_channels", "")),
        _numbers(info.get("mean_values")),
        _numbers(info.get("scale_values")),
        RESIZE_TYPES.get(info.get("resize_type", "")),
        1.0,  # its crop takes the whole short side
        None,
        _byte(info.get("pad_value")),
    )
    size = None
    if info.get("embedded_processing", "").lower() in TRUE:
        # All of it is inside; what enters is what the Model API reads, blue first.
        how = replace(how, colors="BGR", mean=(0.0,), std=(1.0,))
        size = _size([info.get("orig_height"), info.get("orig_width")])
    return Said(
        source="openvino model_info",
        labels=names_of([label.replace("_", " ") for label in labels]),
        size=size,
        preprocessing=how,
        scores_kind="independent-logits" if multilabel else None,
    )


def _colors(reversed_channels: str) -> str | None:
    """Return the order of the colors: the Model API reads images as blue, green, red."""
    if not reversed_channels:
        return None
    return "RGB" if reversed_channels.lower() in TRUE else "BGR"


def _byte(value: str | None) -> int | None:
    return int(value) if value and re.fullmatch(r"\d{1,3}", value) and int(value) < 256 else None


def _onnx_image(file: GraphFile) -> Said | None:
    """Read the image's metadata of the ONNX standard, as Custom Vision and WinML write them."""
    colors = COLORS_OF_ONNX.get(file.metadata.get("Image.BitmapPixelFormat", "").lower())
    pixels = RANGES_OF_ONNX.get(file.metadata.get("Image.NominalPixelRange", "").lower())
    if file.form != "onnx" or (colors is None and pixels is None):
        return None
    mean, std = pixels or (None, None)
    return Said("onnx image metadata", preprocessing=Preprocessing(colors, mean, std))


def _hugging_face(file: GraphFile) -> Said | None:
    """Read the settings that timm and Transformers keep beside their networks."""
    config = _object(_beside(file, "config.json"))
    processor = _object(_beside(file, "preprocessor_config.json"))
    readers: list[Callable[[], Said | None]] = [
        lambda: _timm(config),
        lambda: _transformers(config, processor),
    ]
    return next((found for read in readers if (found := read()) is not None), None)


def _timm(config: Mapping[str, Any]) -> Said | None:
    own = config.get("pretrained_cfg")
    if not isinstance(own, dict):
        return None
    size = own.get("input_size")
    labels = names_of(config.get("label_names"))
    fit = {"squash": "stretch", "border": "pad"}.get(str(own.get("crop_mode")), "crop")
    fraction = _fraction(own.get("crop_pct"))
    return Said(
        source="timm config.json",
        task="classify",
        labels=labels,
        size=_size(size[1:]) if isinstance(size, list) and len(size) == 3 else None,
        preprocessing=Preprocessing(
            "RGB",
            _numbers(own.get("mean"), 255),
            _numbers(own.get("std"), 255),
            fit,
            fraction,
            _among(own.get("interpolation"), INTERPOLATIONS),
        ),
        notes=_uncropped(fit, fraction, str(own.get("crop_mode"))),
    )


def _uncropped(fit: str, fraction: float | None, mode: str) -> tuple[str, ...]:
    """Return what to say of a crop behind another fit, which is left out here."""
    if fit == "crop" or fraction in (None, 1.0):
        return ()
    said = f"keeps the middle {fraction:g} of each side with crop_mode {mode}"
    return (f"config.json {said}: here the whole image enters.",)


def _transformers(config: Mapping[str, Any], processor: Mapping[str, Any]) -> Said | None:
    if not {"image_mean", "do_rescale", "do_normalize", "size"} & set(processor):
        return None
    mean, std = _normalization(processor)
    crop = processor.get("crop_size")
    crops = processor.get("do_center_crop", bool(crop)) is True
    side, short = _sides(crop if crops else processor.get("size"))
    fraction = processor.get("crop_pct")
    full = _sides(processor.get("size"))[1] if crops else None
    if crops and short and full and full >= short:
        # PoolFormer enlarges by crop_pct before it crops, LeViT by its own share.
        own = LEVIT if "Levit" in str(processor.get("image_processor_type")) else None
        fraction = short / full * (own or _fraction(fraction) or 1.0)
    elif fraction and not crops and (short or 0) >= CONVNEXT_WARPS:
        fraction = None  # ConvNeXt crops smaller images only
    names = config.get("id2label")
    several = config.get("problem_type") == "multi_label_classification"
    return Said(
        source="Transformers preprocessor_config.json",
        scores_kind="independent-logits" if several else None,
        labels=names_of(names) if isinstance(names, dict) else None,
        size=side,
        preprocessing=Preprocessing(
            "BGR" if processor.get("do_flip_channel_order") is True else "RGB",
            mean,
            std,
            "crop" if crops or fraction else "stretch",
            _fraction(fraction) or 1.0,
            RESAMPLE.get(
                processor.get("resample", 2) if isinstance(processor.get("resample", 2), int) else 2
            ),
        ),
    )


def _normalization(
    processor: Mapping[str, Any],
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return the mean and the standard deviation of pixels from 0 to 255; None: not said.

    A processor that is said to normalize, and not by what, has defaults that are its class's own.
    MobileViT's, which flips the colors, does not normalize.
    """
    normalizes = (
        processor.get("do_normalize", "do_flip_channel_order" not in processor) is not False
    )
    rescales = processor.get("do_rescale", True) is not False
    share = _numbers(processor.get("rescale_factor", 1 / 255)) or (1 / 255,)
    # What a 1 is in pixels; rounded, because 1/255 is written with 18 digits.
    one = round(1 / share[0], 6) if rescales and 1e-6 < share[0] else 1.0
    offset = one if rescales and processor.get("rescale_offset") is True else 0.0
    if not normalizes:
        return (offset,), (one,)
    mean, std = _numbers(processor.get("image_mean"), one), _numbers(processor.get("image_std"))
    if mean is None or std is None:
        return None, None
    # EfficientNet's divides twice where it has its classes.
    times = 2 if processor.get("include_top") is True else 1
    return tuple(value + offset for value in mean), tuple(value**times * one for value in std)


def _sides(value: Any) -> tuple[tuple[int, int] | None, int | None]:
    """Return the height and width, and the short side, of a size in any of its spellings."""
    if isinstance(value, dict):
        if "shortest_edge" in value:
            value = value["shortest_edge"]
        else:
            value = [value.get("height"), value.get("width")]
    size = _size(value)
    return size, min(size) if size else None
