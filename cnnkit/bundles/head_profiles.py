"""Recognizes by its outputs which detector head a network from another project has.

    profile = recognize(outputs, metadata, (640, 640))
    card["detector"] = profile.section()

Each profile has a function that says whether it fits the outputs, and with what settings; exactly
one must. docs/detector-heads.md lists them with what each assumes. What a kind's settings mean is
its decoder's matter: see `cnnkit.detection.decoders.DECODERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cnnkit.errors import BundleError, UsageError, broken_rule, did_you_mean

MAX_NAMES_LENGTH = 1 << 20
# Strides of the cells of networks that give one box (or one an anchor) a cell.
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
UNIT_RGB = {"color": "rgb", "mean": [0.0, 0.0, 0.0], "std": [255.0, 255.0, 255.0]}
YOLO_INPUT = {"fit": "pad", "pad_value": 114, "interpolation": "plain-bilinear"} | UNIT_RGB


class OutputInfo(NamedTuple):
    """One output of a network as its file describes it.

    Attributes:
        name: Its name, as the card will have it.
        shape: With the batch; None where a side is not fixed.
        dtype: For example ``float32``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class HeadProfile:
    """What a network's outputs mean.

    Attributes:
        kind: Which decoder reads them, one of `cnnkit.bundles.detector_card.KINDS`.
        settings: What the card's ``detector`` section needs besides the kind.
        classes: Number of classes; 0 where the outputs do not say.
        input: How the project prepares images, as far as it is known: ``fit``, ``pad_value`` and
            ``interpolation`` as in `cnnkit.images.InputSpec`; ``color`` is ``rgb`` or ``bgr``;
            ``(pixel - mean) / std`` with pixels from 0 to 255 and channels in that order.
        description: One sentence for people.
    """

    kind: str
    settings: dict[str, Any]
    classes: int
    input: dict[str, Any] = field(default_factory=dict)
    description: str = ""

    def section(self) -> dict[str, Any]:
        """Return the card's ``detector`` section."""
        return {"kind": self.kind} | self.settings


class Clues(NamedTuple):
    """What is known of a network.

    Attributes:
        outputs: Its outputs.
        names: The classes' names that its metadata hold, or None.
        size: Height and width of its input.
        is_chosen: The user chose the profile: what contradicts nothing fits.
    """

    outputs: tuple[OutputInfo, ...]
    names: tuple[str, ...] | None
    size: tuple[int, int]
    is_chosen: bool

    def fits_names(self, classes: int) -> bool:
        """Return whether so many classes are possible: as many as there are names, if any."""
        return classes >= 1 if self.names is None else classes == len(self.names)


def recognize(
    outputs: Sequence[OutputInfo],
    metadata: Mapping[str, str],
    input_size: tuple[int, int],
    like: str | None = None,
) -> HeadProfile:
    """Return the profile of a detector's outputs.

    Args:
        outputs: All outputs of the network.
        metadata: What the file says about itself; ``names`` (the classes) and ``task`` are read.
        input_size: Height and width of the network's input.
        like: One of `PROFILES`, for outputs that several fit; None: the only one that fits.

    Raises:
        BundleError: No profile fits, several do, or `like` does not; the outputs are named.
        UsageError: There is no profile `like`.
    """
    if like is not None and like not in _PROFILES:
        fix = did_you_mean(like, PROFILES)
        raise UsageError(broken_rule("`like`", f"be one of {', '.join(PROFILES)}", like, fix))
    task = metadata.get("task", "detect")
    if task != "detect":
        raise BundleError(broken_rule("the network", "detect objects", f"one for {task[:40]}"))
    seen = Clues(tuple(outputs), class_names(metadata), input_size, like is not None)
    names = PROFILES if like is None else (like,)
    fitting = {name: found for name in names if (found := _PROFILES[name](seen)) is not None}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    raise BundleError(_refusal(seen, tuple(fitting), like))


def class_names(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the names of the classes that a file's metadata hold, in order, or None.

    Ultralytics writes ``{0: 'person', 1: 'bicycle'}`` under ``names``, YOLOv5 also
    ``['person', 'bicycle']``; the same as JSON is read, too. Nothing is evaluated.
    """
    text = metadata.get("names", "").strip()
    inside = text[1:-1].strip().rstrip(",")
    if not 2 <= len(text) <= MAX_NAMES_LENGTH or text[0] + text[-1] not in ("{}", "[]"):
        return None
    entry = _KEYED if text[0] == "{" else _PLAIN
    names: list[str] = []
    position = 0
    while position < len(inside):
        found = entry.match(inside, position)
        if found is None or found["key"] not in (None, str(len(names))):
            return None
        names.append(re.sub(r"\\(.)", r"\1", found["name"][1:-1]))
        position = found.end()
    return tuple(names) or None


_NAME = r"(?P<name>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\s*(?:,\s*|$)"
_KEYED = re.compile(r"[\"']?(?P<key>\d{1,6})[\"']?\s*:\s*" + _NAME)
_PLAIN = re.compile(r"(?P<key>(?!))?" + _NAME)


def grid_count(size: tuple[int, int], strides: Sequence[int]) -> int:
    """Return how many cells of some strides cover an input of that height and width."""
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def _refusal(seen: Clues, fitting: tuple[str, ...], like: str | None) -> str:
    shown = ", ".join(f"{o.name} ({_shape(o.shape)})" for o in seen.outputs[:8]) or "none"
    more = len(seen.outputs) - 8
    shown += f" and {more} more" if more > 0 else ""
    if len(fitting) > 1:
        fix = f"Choose it with `like`: {' or '.join(fitting)}."
        return broken_rule("the outputs", "fit one detector head", shown, fix)
    named = "" if seen.names is None else f" and {len(seen.names)} class names"
    height, width = seen.size
    received = f"{shown} for an input of {height} x {width}{named}"
    if like is not None:
        return broken_rule("the outputs", f"be those of {like}", received)
    fix = f"The known heads are {', '.join(PROFILES)}."
    return broken_rule("the outputs", "be those of a known detector head", received, fix)


def _shape(shape: tuple[int | None, ...]) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape) or "one number"


# --- the profiles ------------------------------------------------------------------------


def _only(seen: Clues, dimensions: int) -> OutputInfo | None:
    """Return the only output with so many dimensions, batch included, or None.

    Heads before decoding, which have more, may stand beside it.
    """
    some = [output for output in seen.outputs if len(output.shape) == dimensions]
    others = [output for output in seen.outputs if len(output.shape) <= dimensions]
    return some[0] if len(some) == len(others) == 1 else None


def _yolov8(seen: Clues) -> HeadProfile | None:
    output = _only(seen, 3)
    if output is None:
        return None
    channels, count = output.shape[1:]
    counts = {grid_count(seen.size, strides) for strides in STRIDES}
    if channels is not None and seen.fits_names(channels - 4):
        fits = count in counts or count is None or (seen.is_chosen and count != 6)
    else:
        fits = False
    if not fits and count is not None:  # the same, transposed
        channels, count = count, channels
        said = seen.names is not None or seen.is_chosen
        fits = said and seen.fits_names(channels - 4) and (count in counts or seen.is_chosen)
    if not fits or channels is None:
        return None
    settings = {"profile": "yolov8", "output": output.name, "confidence": 0.25, "iou": 0.7}
    return HeadProfile(
        "yolov8",
        settings,
        channels - 4,
        dict(YOLO_INPUT),
        "YOLOv8, YOLO11 and relatives: boxes and class probabilities of all cells",
    )


def _end_to_end(seen: Clues) -> HeadProfile | None:
    output = _only(seen, 3)
    if output is None or output.shape[2] != 6:
        return None
    count = output.shape[1]
    grids = {grid_count(seen.size, s) * anchors for s in STRIDES for anchors in (1, 3)}
    if (count is None or count in grids) and not seen.is_chosen:
        return None
    settings = {"profile": "end-to-end", "output": output.name, "confidence": 0.25}
    return HeadProfile(
        "end-to-end",
        settings,
        len(seen.names or ()),
        dict(YOLO_INPUT),
        "YOLOv10, or YOLOv8 and relatives exported with non-max suppression: finished boxes",
    )


_PROFILES: dict[str, Callable[[Clues], HeadProfile | None]] = {
    "yolov8": _yolov8,
    "end-to-end": _end_to_end,
}
PROFILES: tuple[str, ...] = tuple(_PROFILES)
