"""Reads a user's recipe: albumentations' serialized form, as JSON or YAML.

albumentations makes whatever class a file names, with whatever arguments. So nothing goes to
it before it was checked here: the classes against a list of those that need no other file, no
function and no second image; the arguments against the class's own; numbers, texts, depth
and count against bounds.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnkit.data.albumentations_library import import_albumentations
from cnnkit.errors import UsageError, broken_rule, did_you_mean

MAX_BYTES = 256 * 1024
MAX_DEPTH = 8
MAX_TRANSFORMS = 64
MAX_VALUES = 2000
MAX_TEXT = 64
MAX_NUMBER = 4096
# Tighter bounds by the argument's name: what makes an image, or the work on it, grow.
BOUNDS = {
    **dict.fromkeys(("scale", "scale_limit", "scale_range", "percent"), 8),
    **dict.fromkeys(("blur_limit", "kernel", "kernel_size", "radius", "max_factor"), 101),
    **dict.fromkeys(("iterations", "max_iter", "n_segments", "num_control_points"), 256),
    **dict.fromkeys(("pad", "padding", "px"), 1024),
    "fit_output": 0,
    "temperature_limit": 100_000,
}
# What earlier releases called an argument: taken for the new one where the class has that.
RENAMED = {
    **dict.fromkeys(("value", "cval", "pad_cval", "pad_val", "fill_value"), "fill"),
    **dict.fromkeys(
        ("mask_value", "cval_mask", "pad_cval_mask", "mask_pad_val", "mask_fill_value"), "fill_mask"
    ),
    **dict.fromkeys(("mode", "pad_mode"), "border_mode"),
}
# Two arguments of earlier releases that are one today.
PAIRS = {
    ("height", "width"): "size",
    ("quality_lower", "quality_upper"): "quality_range",
    ("scale_min", "scale_max"): "scale_range",
    ("min_holes", "max_holes"): "num_holes_range",
    ("min_height", "max_height"): "hole_height_range",
    ("min_width", "max_width"): "hole_width_range",
    ("fog_coef_lower", "fog_coef_upper"): "fog_coef_range",
    ("snow_point_lower", "snow_point_upper"): "snow_point_range",
    ("slant_lower", "slant_upper"): "slant_range",
    ("num_shadows_lower", "num_shadows_upper"): "num_shadows_limit",
}

COMPOSITIONS = frozenset("Compose OneOf OneOrOther RandomOrder Sequential SomeOf".split())
TRANSFORMS = frozenset(
    """AdditiveNoise AdvancedBlur Affine AutoContrast Blur CLAHE CenterCrop ChannelDropout
    ChannelShuffle ChromaticAberration CoarseDropout ColorJitter Crop CropAndPad D4 Defocus
    Downscale ElasticTransform Emboss Equalize Erasing FancyPCA GaussNoise GaussianBlur
    GlassBlur GridDistortion GridDropout GridElasticDeform HEStain HorizontalFlip
    HueSaturationValue ISONoise Illumination ImageCompression InvertImg LongestMaxSize
    MedianBlur Morphological MotionBlur MultiplicativeNoise NoOp OpticalDistortion Pad
    PadIfNeeded Perspective PiecewiseAffine PixelDropout PlanckianJitter
    PlasmaBrightnessContrast PlasmaShadow Posterize RGBShift RandomBrightnessContrast
    RandomCrop RandomCropFromBorders RandomFog RandomGamma RandomGravel RandomGridShuffle
    RandomRain RandomResizedCrop RandomRotate90 RandomScale RandomShadow RandomSizedCrop
    RandomSnow RandomSunFlare RandomToneCurve Resize RingingOvershoot Rotate SafeRotate
    SaltAndPepper Sharpen ShiftScaleRotate ShotNoise SmallestMaxSize Solarize Spatter
    SquareSymmetry Superpixels ThinPlateSpline ToGray ToSepia Transpose UnsharpMask
    VerticalFlip ZoomBlur""".split()
)
OWN = "PCAColorShift"
CLASS_KEY = "__class_fullname__"
# What an outermost Compose says besides its transforms; cnnkit makes its own Compose.
OUTER_KEYS = frozenset(
    "bbox_params keypoint_params additional_targets is_check_shapes strict seed p "
    "mask_interpolation save_applied_params transforms".split()
)


def read_recipe_file(path: Path) -> Callable[[int, int, bool], Sequence[Any]]:
    """Return what makes the transforms of a user's file.

    The transforms of an outermost Compose are taken; images that come out in another size
    are resized back, and boxes are handled as in cnnkit's own recipes.

    Args:
        path: A file that ``albumentations.save`` wrote, or one of that form.

    Raises:
        UsageError: It cannot be read, or holds what may not be used; one line says what.
    """
    content = _parse(path)
    _Bounds(path, numbers=False).check(content, "", 0)
    content = _in_todays_form(content)
    _Bounds(path).check(content, "", 0)
    specs = _outer_transforms(content, path)
    count = sum(_check_transform(spec, path, 0) for spec in specs)
    if not 1 <= count <= MAX_TRANSFORMS:
        raise UsageError(broken_rule(str(path), f"hold 1 to {MAX_TRANSFORMS} transforms", count))
    templates = _make_all(specs, path)

    def build(height: int, width: int, boxes: bool) -> list[Any]:
        resize = import_albumentations().Resize(height, width)
        return [*copy.deepcopy(templates), resize]

    return build


def _parse(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > MAX_BYTES:
        raise UsageError(broken_rule(str(path), f"have at most {MAX_BYTES:,} bytes", "more"))
    import yaml

    try:
        text = data.decode("utf-8")
        return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        form = "JSON" if path.suffix.lower() == ".json" else "plain YAML"
        raise UsageError(broken_rule(str(path), f"be {form}", reason)) from error
    except RecursionError as error:
        raise UsageError(_too_deep(path)) from error


def _too_deep(path: Path) -> str:
    return broken_rule(str(path), f"be nested at most {MAX_DEPTH} deep", "more")


class _Bounds:
    """Walks over all values of a file; shared YAML nodes count each time they are met."""

    def __init__(self, path: Path, numbers: bool = True) -> None:
        """Begin; `numbers` says whether these are bounded, too, or only the walk itself."""
        self._path = path
        self._numbers = numbers
        self._values = 0

    def check(self, value: Any, name: str, depth: int) -> None:
        """Refuse a value, or one in it, that is out of bounds; `name` is its argument's."""
        self._values += 1
        if self._values > MAX_VALUES:
            self._refuse(f"hold at most {MAX_VALUES} values", "more")
        if depth > 2 * MAX_DEPTH:  # a list and a dict for each level of transforms
            raise UsageError(_too_deep(self._path))
        if not isinstance(value, dict | list):
            self._check_plain(value, name)
            return
        for inner, item in self._items(value, name):
            self.check(item, inner, depth + 1)

    def _items(self, value: dict[Any, Any] | list[Any], name: str) -> Iterator[tuple[str, Any]]:
        """Yield what a value holds, each with the name of the argument that it belongs to."""
        if isinstance(value, list):
            yield from ((name, item) for item in value)
            return
        for key, item in value.items():
            if type(key) is not str:
                self._refuse("have texts as names", repr(key)[:MAX_TEXT])
            yield name if key in ("x", "y") else key, item

    def _check_plain(self, value: Any, name: str) -> None:
        """Refuse a value that holds no others and is out of bounds, or of no known kind."""
        if isinstance(value, str):
            if len(value) > MAX_TEXT:
                self._refuse(f"have texts of at most {MAX_TEXT} characters", f"{value[:20]!r}...")
        elif isinstance(value, int | float):
            if self._numbers and name != "seed":
                self._check_number(value, name)
        elif value is not None:
            self._refuse("hold numbers, texts, lists and names", type(value).__name__)

    def _check_number(self, value: float, name: str) -> None:
        bound = BOUNDS.get(name, MAX_NUMBER)
        if not (math.isfinite(value) and abs(value) <= bound):
            self._refuse(f"have {name or 'numbers'} within {bound} of zero", repr(value)[:30])

    def _refuse(self, rule: str, received: str) -> None:
        raise UsageError(broken_rule(str(self._path), rule, received))


def _in_todays_form(value: Any) -> Any:
    """Return bounded content with each transform's arguments as the installed release has them.

    albumentations writes down what a transform has of the class that it is derived from, and
    passes it over when it reads; so does this. ``always_apply`` of 1.x is ``p``; arguments with
    a new name get it.
    """
    if isinstance(value, list):
        return [_in_todays_form(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _in_todays_form(item) for key, item in value.items()}
    name = str(made.get(CLASS_KEY, "")).removeprefix("albumentations.").rpartition(".")[2]
    if name not in TRANSFORMS and name not in COMPOSITIONS:
        return made
    if made.pop("always_apply", False) is True:
        made["p"] = 1.0
    return made if name in COMPOSITIONS else _renamed(made, _find_class(name))


def _renamed(spec: dict[str, Any], kind: Any) -> dict[str, Any]:
    """Return a transform's arguments under today's names, without what it only inherits."""
    own = set(inspect.signature(kind.__init__).parameters)
    for pair, new in PAIRS.items():
        if new in own and new not in spec and not own & set(pair) and set(pair) <= set(spec):
            spec[new] = [spec.pop(name) for name in pair]
    for old, new in RENAMED.items():
        if old in spec and old not in own and new in own:
            value = spec.pop(old)
            if value is not None:
                spec.setdefault(new, value)
    inherited = {
        name
        for parent in kind.__mro__[1:-1]
        for name in inspect.signature(parent.__init__).parameters
    }
    return {key: item for key, item in spec.items() if key in own or key not in inherited}


def _outer_transforms(content: Any, path: Path) -> list[dict[str, Any]]:
    """Return the specs below an outermost Compose, or the one transform itself."""
    spec = content.get("transform") if isinstance(content, dict) else None
    if not isinstance(spec, dict):
        fix = "albumentations.save(transform, FILE) writes one."
        raise UsageError(broken_rule(str(path), "have a transform", "none", fix))
    if _class_name(spec, path) != "Compose":
        return [spec]
    unknown = sorted(set(spec) - OUTER_KEYS - {CLASS_KEY})
    if unknown:
        raise UsageError(broken_rule(f"{path}: Compose", "have known arguments", unknown[0]))
    transforms = spec.get("transforms")
    if not isinstance(transforms, list):
        raise UsageError(broken_rule(f"{path}: Compose", "have a list of transforms", "none"))
    return transforms


def _class_name(spec: Any, path: Path) -> str:
    """Return the name of a spec's class, checked against the list."""
    name = spec.get(CLASS_KEY) if isinstance(spec, dict) else None
    if not isinstance(name, str):
        raise UsageError(broken_rule(str(path), f"name a class as {CLASS_KEY}", "none"))
    short = name.rpartition(".")[2] if name.startswith("albumentations.") else name
    if short in TRANSFORMS or short in COMPOSITIONS or short == OWN:
        return short
    fix = did_you_mean(short, sorted(TRANSFORMS | {OWN}))
    rule = "use transforms of albumentations that need no file, function or second image"
    raise UsageError(broken_rule(str(path), rule, repr(name), fix))


def _check_transform(spec: Any, path: Path, depth: int) -> int:
    """Check one spec and those in it; return how many there are."""
    name = _class_name(spec, path)
    if depth >= MAX_DEPTH:
        raise UsageError(_too_deep(path))
    known = inspect.signature(_find_class(name).__init__).parameters
    for argument in spec:
        if argument not in known and argument not in (CLASS_KEY, "p"):
            fix = did_you_mean(argument, list(known))
            raise UsageError(broken_rule(f"{path}: {name}", "have known arguments", argument, fix))
    if name not in COMPOSITIONS:
        return 1
    inner = spec.get("transforms")
    if not isinstance(inner, list):
        raise UsageError(broken_rule(f"{path}: {name}", "have a list of transforms", "none"))
    return 1 + sum(_check_transform(one, path, depth + 1) for one in inner)


def _find_class(name: str) -> Any:
    if name == OWN:
        from cnnkit.data.pca_transform import PCAColorShift

        return PCAColorShift
    if name == "Erasing":
        from cnnkit.data.erasing import Erasing

        return Erasing
    return getattr(import_albumentations(), name)


def _make_all(specs: Sequence[Mapping[str, Any]], path: Path) -> list[Any]:
    """Make the transforms of checked specs; albumentations checks their arguments."""
    try:
        with warnings.catch_warnings():
            # Advice to use another transform; unknown arguments were refused before.
            warnings.simplefilter("ignore", UserWarning)
            return [_make(spec, path) for spec in specs]
    except (ValueError, TypeError) as error:
        raise UsageError(
            broken_rule(str(path), "have arguments that fit", _reason(error))
        ) from error


def _reason(error: ValueError | TypeError) -> str:
    """Return one line of what the library has against some arguments."""
    for one in (error, error.__cause__):
        if details := getattr(one, "errors", None):  # pydantic's, one for each argument
            found = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in details()]
            return " ".join("; ".join(found).split())[:300]
    return " ".join(str(error).split())[:300]


def _make(spec: Mapping[str, Any], path: Path) -> Any:
    name = _class_name(spec, path)
    arguments = {key: value for key, value in spec.items() if key != CLASS_KEY}
    if name in COMPOSITIONS:
        arguments["transforms"] = [_make(one, path) for one in spec["transforms"]]
    return _find_class(name)(**arguments)
