"""The card of a graph: from what it is, what it says of itself, and what the user says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.bundles.card import (
    CARD,
    MAX_CLASSES,
    MAX_LABELS_BYTES,
    ModelCard,
    labels_in,
    parse_card,
    read_bounded,
    read_card,
    read_labels,
)
from cnnkit.bundles.embedded import embedded_folder
from cnnkit.bundles.graphs.families import FAMILIES, Preprocessing, family
from cnnkit.bundles.graphs.first_layer import LEAST_CHANGE, change_per_level
from cnnkit.bundles.graphs.graph_card import COLORS, LAYOUTS, SECTION, GraphSpec
from cnnkit.bundles.graphs.network import (
    GraphInfo,
    TensorInfo,
    always_one,
    info_of,
    numbers_of_a_row,
    other_input,
    outputs_at,
)
from cnnkit.bundles.graphs.own_normalization import OwnNormalization, own_normalization
from cnnkit.bundles.graphs.quantized_input import QuantizedInput, as_pixels, misfit, quantization_of
from cnnkit.bundles.graphs.said import Said
from cnnkit.bundles.graphs.scanning import NAMES, GraphFile
from cnnkit.bundles.graphs.scores import scores_kind
from cnnkit.bundles.head_clues import AlwaysOne
from cnnkit.bundles.head_profiles import PROFILES, HeadProfile, OutputInfo, recognize
from cnnkit.bundles.score_kinds import ONE_NUMBER, SCORE_KINDS
from cnnkit.errors import BundleError, UsageError, broken_rule
from cnnkit.images import InputSpec
from cnnkit.images.prepare import FITS, LEAST_CROP, MAX_SIDE
from cnnkit.images.resample import RESAMPLING

TASKS = ("classify", "detect")
# A detector's head says the rest; what it leaves open is stretched.
DETECTING = Preprocessing("RGB", None, None, "stretch", 1.0, "bilinear")
COCO, COCO_NUMBERED = 80, (90, 91)
WHOLE_NUMBERS = ("u16", "i16", "u32", "i32", "u64", "i64", "boolean")
INTEGER_PIXELS = ("u8", "i8", *WHOLE_NUMBERS[:-1])
PIXEL_KINDS = ("f16", "bf16", "f32", "f64", *INTEGER_PIXELS)
DTYPES = {"f32": "float32", "f16": "float16", "i64": "int64", "i32": "int32", "u8": "uint8"}
CLASSIFYING = Preprocessing("RGB", None, None, "crop", 0.875, "bilinear")
BACKGROUND = "background"
# Detectors whose classes leave out the background, and what files of labels call it.
WITHOUT_BACKGROUND = ("tflite-detections", "tf-detections")
BACKGROUNDS = (BACKGROUND, "???")


@dataclass(frozen=True)
class GraphWish:
    """What the user says of a graph; None: nothing.

    Attributes:
        task: ``classify`` or ``detect``.
        like: A family of `cnnkit.bundles.graphs.families`; of a detector also one of
            `cnnkit.bundles.head_profiles.PROFILES`.
        size: Height and width of the images.
        layout: ``NHWC`` or ``NCHW``.
        preprocessing: How an image becomes numbers.
        scores: One of `cnnkit.bundles.score_kinds.SCORE_KINDS`.
        features: The tensor of the features.
        labels: A file with one label a line.
        name: Name of the model.
    """

    task: str | None = None
    like: str | None = None
    size: tuple[int, int] | None = None
    layout: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    scores: str | None = None
    features: str | None = None
    labels: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("task", self.task, TASKS),
            ("layout", self.layout, LAYOUTS),
            ("scores", self.scores, SCORE_KINDS),
            ("colors", self.preprocessing.colors, COLORS),
            ("fit", self.preprocessing.fit, FITS),
            ("interpolation", self.preprocessing.interpolation, tuple(RESAMPLING)),
        ):
            if value is not None and value not in known:
                raise UsageError(broken_rule(f"`{name}`", f"be one of {', '.join(known)}", value))
        fraction, size = self.preprocessing.crop_fraction, self.size
        if fraction is not None and not LEAST_CROP <= fraction <= 1:
            rule = f"be from {LEAST_CROP} to 1"
            raise UsageError(broken_rule("`crop_fraction`", rule, fraction))
        if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
            rule = f"be a height and a width from 1 to {MAX_SIDE}"
            raise UsageError(broken_rule("`size`", rule, "x".join(map(str, size))))


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
    labels, notes = _labels(file, classes, said, wish)
    if _asked(wish).over(said.preprocessing).fit is None:
        share = f"the middle {chosen.crop_fraction:g} of the short side enters"
        note = f"does not say how images are fitted: {share}, or what `fit` says."
        notes = (*notes, f"{file.path.name} {note}")
    notes = (*notes, *_pixel_notes(file, image, said, wish, chosen))
    notes = (*notes, *_blind_note(file, model, image, chosen))
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
    known = len(said.labels or ()) or _label_count(wish.labels)
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
    labels, notes = _detector_labels(file, head.classes, said, wish)
    if head.settings.get("profile") in WITHOUT_BACKGROUND and head.kind == "detections":
        labels, more = _without_background(file, labels)
        notes = (*notes, *more)
    said_by_nobody = own.like is None and all(
        one.mean is None and one.std is None for one in (own.preprocessing, said.preprocessing)
    )
    if said_by_nobody and not image.takes_pixels:
        note = "does not say how its pixels are normalized: using what its head's project does."
        notes = (*notes, f"{file.path.name} {note}")
    notes = (*notes, *_pixel_notes(file, image, said, own, chosen))
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
    count = _label_count(wish.labels) or len(said.labels or ())
    if count:
        metadata["classes"] = str(count)
    elif "names" in said.metadata:
        metadata["names"] = said.metadata["names"]
    like = wish.like if wish.like in PROFILES else said.head
    try:
        return recognize(seen, metadata, image.size, like, is_always_one)
    except BundleError as error:
        raise BundleError(f"{file.path}: {error}") from error


def _label_count(labels: str | None) -> int:
    if labels is None:
        return 0
    return len(labels_in(read_bounded(Path(labels), MAX_LABELS_BYTES), labels))


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


def _detector_labels(
    file: GraphFile, classes: int, said: Said, wish: GraphWish
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes' names, and what to say of them."""
    if wish.labels:
        return read_labels(Path(wish.labels), classes or _label_count(wish.labels)), ()
    if said.labels and len(said.labels) == (classes or len(said.labels)):
        return said.labels, ()
    if not classes:
        fix = "Give the names of the classes with `labels`."
        raise UsageError(f"{file.path} does not say how many classes it finds. {fix}")
    coco = coco_classes(classes)
    if coco:
        return coco.labels, (f"{classes} classes without `labels`: using COCO's names.",)
    return made_up(file, classes)


def _without_background(
    file: GraphFile, labels: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return labels without a first one of the background, and what to say of it.

    TensorFlow's own files of labels begin with one, for code that counts from it.
    """
    if len(labels) < 2 or labels[0].strip(" _").lower() not in BACKGROUNDS:
        return labels, ()
    note = f"the first label, {labels[0]!r}, is left out: its classes are without a background."
    return labels[1:], (f"{file.path.name}: {note}",)


class CocoClasses(NamedTuple):
    """The classes of COCO: their names, and the number of each in its annotations."""

    labels: tuple[str, ...]
    numbers: tuple[int, ...]


def coco_classes(classes: int) -> CocoClasses | None:
    """Return COCO's classes as so many, None if nobody counts them so.

    80 are those that there are; 90 are all numbers from 1, of which ten are unused, and 91 those
    from 0, as in TensorFlow's networks and in DETR and RF-DETR.
    """
    if classes not in (COCO, *COCO_NUMBERED):
        return None
    folder = embedded_folder("yolov3-tiny")
    labels = read_labels(folder / "labels.txt", COCO)
    numbers = tuple(read_card(folder / CARD).content["detector"]["category_ids"])
    if classes == COCO:
        return CocoClasses(labels, numbers)
    names = dict(zip(numbers, labels, strict=True))
    every = tuple(range(max(numbers) + 1 - classes, max(numbers) + 1))
    return CocoClasses(tuple(names.get(n, f"unused {n}") for n in every), every)


class ImageInput(NamedTuple):
    """The input of the image.

    Attributes:
        tensor: As the graph has it.
        layout: ``NHWC`` or ``NCHW``.
        size: Height and width.
        channels: 1 or 3.
        quantized: How its numbers stand for real ones, if they do.
        own: How the graph itself normalizes pixels, if it does.
    """

    tensor: TensorInfo
    layout: str
    size: tuple[int, int]
    channels: int
    quantized: QuantizedInput | None = None
    own: OwnNormalization | None = None

    def spec(self, form: str) -> GraphSpec:
        """Return what is known of it already, to run the graph with."""
        colors = "RGB" if self.channels == 3 else "gray"
        return GraphSpec(form, self.tensor.name, self.layout, colors)

    @property
    def takes_pixels(self) -> bool:
        """Whether pixels enter as they are where nobody says more."""
        if self.quantized is not None:
            return as_pixels(self.quantized) is not None
        return self.tensor.dtype in INTEGER_PIXELS or self.own is not None


def image_of(
    file: GraphFile,
    model: Any,
    info: GraphInfo,
    wish: GraphWish,
    said_size: tuple[int, int] | None,
) -> ImageInput:
    """Return the input of the image, its layout, and its size.

    Raises:
        BundleError: There is none.
        UsageError: Its layout or size is not known.
    """
    images = [one for one in info.inputs if len(one.shape) == 4]
    others = [one.name for one in info.inputs if one not in images]
    if len(images) != 1 or any(other_input(name, (1, 1)) is None for name in others):
        shown = [f"{one.name[:40]} {list(one.shape)}".replace("None", "?") for one in info.inputs]
        rule = "take one image (batch, height, width, channels)"
        raise BundleError(broken_rule(str(file.path), rule, f"the inputs {', '.join(shown[:8])}"))
    if images[0].dtype not in PIXEL_KINDS:
        rule = f"take pixels as one of {', '.join(PIXEL_KINDS)}"
        raise BundleError(broken_rule(str(file.path), rule, images[0].dtype))
    shape = images[0].shape
    layout = wish.layout or _layout(file, shape)
    sides = shape[1:3] if layout == "NHWC" else shape[2:4]
    channels = shape[3] if layout == "NHWC" else shape[1]
    size = tuple(
        own or wanted for own, wanted in zip(sides, wish.size or said_size or (0, 0), strict=True)
    )
    if not all(size):
        rule = "be given for a graph that takes images of any size"
        raise UsageError(broken_rule("`size`", rule, f"none for {file.path}", "Such as 224x224."))
    if wish.size is not None and wish.size != size:
        rule = f"be {size[0]}x{size[1]} for {file.path}"
        raise UsageError(broken_rule("`size`", rule, "{}x{}".format(*wish.size)))
    if channels not in (None, 1, 3):
        rule = "take images of 1 or 3 channels"
        raise BundleError(broken_rule(str(file.path), rule, f"{channels} ({layout})"))
    quantized = quantization_of(file, images[0].dtype)
    found = ImageInput(images[0], layout, (size[0], size[1]), channels or 3, quantized)
    if quantized is not None or images[0].dtype == "i8":
        return found
    own = own_normalization(model, images[0].name, layout, found.size, found.channels)
    return found._replace(own=own)


def _layout(file: GraphFile, shape: tuple[int | None, ...]) -> str:
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first != last:
        return "NCHW" if first else "NHWC"
    rule = "be given where the shape does not say it"
    received = f"{list(shape)} in {file.path}".replace("None", "?")
    raise UsageError(broken_rule("`layout`", rule, received, "Use NHWC or NCHW."))


def preprocessing(
    file: GraphFile,
    image: ImageInput,
    said: Said,
    wish: GraphWish,
    default: Preprocessing,
    ask: str,
) -> Preprocessing:
    """Return how an image becomes the graph's numbers.

    Raises:
        UsageError: The mean and standard deviation are not known, or are given for an input of
            whole numbers.
    """
    asked = _asked(wish)
    known = asked.over(said.preprocessing)
    if image.quantized is not None:
        known = asked.over(_of_quantized(image.quantized, said.preprocessing))
    elif image.tensor.dtype in INTEGER_PIXELS:  # it takes pixels as they are
        _refuse_normalizing(file, image, wish.preprocessing)
        known = Preprocessing(_colors(image, said, wish), (0.0,), (1.0,)).over(known)
    elif image.own is not None and _enter_as_they_are(image.own, said, wish):
        known = Preprocessing(_colors(image, said, wish), (0.0,), (1.0,)).over(known)
    if known.mean is None and known.std is None:
        known = known.over(Preprocessing(colors=default.colors, mean=default.mean, std=default.std))
    if known.mean is None and known.std is None:
        if image.own is not None:
            own = f"normalizes pixels from 0 to 255 itself ({image.own})"
            raise UsageError(f"{file.path} {own}, but does not say the order of `colors`. {ask}")
        raise UsageError(f"{file.path} does not say how its pixels are normalized. {ask}")
    known = known.over(Preprocessing(mean=(0.0,), std=(1.0,))).over(default)
    return known if image.channels == 3 else _gray(known)


def _colors(image: ImageInput, said: Said, wish: GraphWish) -> str | None:
    """Return the order of the colors as the user says it, the file, or the means inside it."""
    own = None if image.own is None else image.own.colors
    return wish.preprocessing.colors or said.preprocessing.colors or own


def _enter_as_they_are(own: OwnNormalization, said: Said, wish: GraphWish) -> bool:
    """Return whether pixels enter a graph as they are that normalizes them itself.

    Numbers that the user or the file says are used nevertheless, and told. Where the colors have
    numbers of their own, of no known order, somebody has to say the order.
    """
    if any(
        one is not None
        for part in (wish.preprocessing, said.preprocessing)
        for one in part.numbers().values()
    ):
        return False
    colors = (_asked(wish).colors, said.preprocessing.colors, own.colors)
    return not own.names_colors or any(colors)


def _asked(wish: GraphWish) -> Preprocessing:
    """Return what the user says, by itself or by a family."""
    return wish.preprocessing.over(family(wish.like) if wish.like else Preprocessing())


def _of_quantized(how: QuantizedInput, said: Preprocessing) -> Preprocessing:
    """Return what a file with a quantized input says of pixels.

    Metadata of such files often say the mean and the standard deviation of the float network, or
    none: where what the input can hold is plainly pixels and contradicts them, it decides.
    """
    pixels = as_pixels(how)
    is_said = said.mean is not None or said.std is not None
    if pixels is None or (is_said and misfit(how, said) is None):
        return said
    return pixels.over(said)


def _pixel_notes(
    file: GraphFile, image: ImageInput, said: Said, wish: GraphWish, chosen: Preprocessing
) -> tuple[str, ...]:
    """Return what to say of how pixels become the graph's whole numbers."""
    if image.quantized is not None:
        found = misfit(image.quantized, chosen)
        return (f"{file.path.name}: {found}: check `mean` and `std`.",) if found else ()
    asked = _asked(wish)
    if image.tensor.dtype not in INTEGER_PIXELS:
        found = _own_note(image.own, asked.over(said.preprocessing), chosen, wish.like)
        return (f"{file.path.name} {found}",) if found else ()
    turned = image.own is not None and image.own.colors == chosen.colors == "BGR"
    notes = ("has ImageNet's means inside, of blue, green, red: pixels enter as BGR.",) * turned
    if _normalizes(asked):
        said_by = f"the mean and std of {wish.like} are not used"
        notes = (*notes, f"takes pixels as they are: {said_by}.")
    return tuple(f"{file.path.name} {note}" for note in notes)


def _blind_note(
    file: GraphFile, model: Any, image: ImageInput, chosen: Preprocessing
) -> tuple[str, ...]:
    """Return what to say of a classifier whose first layer hardly sees what enters."""
    std = chosen.std or (1.0,)
    if image.quantized is not None or not _normalizes(chosen):
        return ()
    place = (image.tensor.name, image.layout, image.size, image.channels)
    moved = change_per_level(model, *place, std)
    if moved is None or moved >= LEAST_CHANGE:
        return ()
    hardly = "hardly sees the images with this `mean` and `std`, as if pixels were divided twice"
    fix = "If a converter has put the division into its first layer, use mean 0 and std 1."
    return (f"{file.path.name} {hardly}: look at what `check_on` shows. {fix}",)


def _normalizes(how: Preprocessing) -> bool:
    """Return whether a mean or a standard deviation changes pixels."""
    return any(how.mean or ()) or any(one != 1 for one in how.std or ())


def _own_note(
    own: OwnNormalization | None, known: Preprocessing, chosen: Preprocessing, like: str | None
) -> str:
    """Return what to say of a graph that normalizes pixels itself; nothing if that was known."""
    if own is None:
        return ""
    begins = f"normalizes pixels from 0 to 255 itself ({own})"
    if _normalizes(chosen):
        return f"{begins}, and they are normalized before that, too: check `mean` and `std`."
    if _normalizes(known):
        return f"{begins}: the mean and std of {like} are not used."
    if known.mean is not None or known.std is not None:
        return ""
    colors = f" as {chosen.colors}" if own.names_colors else ""
    return f"{begins}: they enter as they are{colors}."


def _refuse_normalizing(file: GraphFile, image: ImageInput, own: Preprocessing) -> None:
    for name, value in (("mean", own.mean), ("std", own.std)):
        if value is not None:
            rule = f"be left out for {file.path}, whose input of whole numbers ({{}}) takes pixels"
            shown = ",".join(f"{one:g}" for one in value)
            raise UsageError(broken_rule(f"`{name}`", rule.format(image.tensor.dtype), shown))


def _gray(known: Preprocessing) -> Preprocessing:
    """Return it for one channel: three means become theirs."""
    mean, std = (sum(v) / len(v) for v in (known.mean or (0.0,), known.std or (1.0,)))
    return Preprocessing("gray", (mean,), (std,)).over(known)


def families() -> str:
    """Return the names of the families, for messages."""
    return ", ".join(FAMILIES)


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


# --- labels --------------------------------------------------------------------------------


def _labels(
    file: GraphFile, classes: int, said: Said, wish: GraphWish
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes' names, and what to say of them."""
    if wish.labels:
        return read_labels(Path(wish.labels), classes), ()
    if said.labels is not None and len(said.labels) == classes:
        return said.labels, ()
    if said.labels is not None:
        made, _ = made_up(file, classes)
        note = f"{file.path.name} names {len(said.labels)} classes, but gives {classes} scores"
        return made, (f"{note}: using class_0 to class_{classes - 1}. Give `labels`.",)
    if classes in (1000, 1001):
        own = embedded_folder("efficientnet-lite0") / "labels.txt"
        names = read_labels(own, 1000)
        note = f"{classes} classes without `labels`: using ImageNet's names."
        return (BACKGROUND, *names) if classes == 1001 else names, (note,)
    return made_up(file, classes)


def made_up(file: GraphFile, classes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return numbered names, and what to say of them."""
    last = classes - 1
    note = f"{file.path.name} has no labels: using class_0 to class_{last}. Give `labels`."
    return tuple(f"class_{number}" for number in range(classes)), (note,)
