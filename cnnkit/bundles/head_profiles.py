"""Recognizes by its outputs which detector head a network from another project has.

    profile = recognize(outputs, metadata, (640, 640))
    card["detector"] = profile.section()

Each profile has a rule in `cnnkit.bundles.head_rules`; exactly one must fit.
docs/detector-heads.md lists them with what each assumes. What a kind's settings mean is its
decoder's matter: see `cnnkit.detection.decoders.DECODERS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from cnnkit.bundles.head_clues import AlwaysOne, Clues, HeadProfile, OutputInfo, never_told
from cnnkit.bundles.head_rules import COCO_CLASSES, RULES
from cnnkit.errors import BundleError, UsageError, broken_rule, did_you_mean

__all__ = ["PROFILES", "HeadProfile", "OutputInfo", "class_names", "recognize"]

PROFILES: tuple[str, ...] = tuple(RULES)
MAX_NAMES_LENGTH = 1 << 20


def recognize(
    outputs: Sequence[OutputInfo],
    metadata: Mapping[str, str],
    input_size: tuple[int, int],
    like: str | None = None,
    always_one: AlwaysOne = never_told,
) -> HeadProfile:
    """Return the profile of a detector's outputs.

    Args:
        outputs: All outputs of the network.
        metadata: What the file says about itself, or the user does: ``names`` of the classes (see
            `class_names`), or ``classes``, how many there are; ``task``, ``head`` and
            ``description``, as Ultralytics writes them.
        input_size: Height and width of the network's input.
        like: One of `PROFILES`, for outputs that several fit; None: the only one that fits.
        always_one: See `Clues`; asked only where heads are alike but for it.

    Raises:
        BundleError: No profile fits, several do, or `like` does not; the outputs are named.
        UsageError: There is no profile `like`.
    """
    if like is not None and like not in RULES:
        fix = did_you_mean(like, PROFILES)
        raise UsageError(broken_rule("`like`", f"be one of {', '.join(PROFILES)}", like, fix))
    task = metadata.get("task", "detect")
    if task != "detect":
        raise BundleError(broken_rule("the network", "detect objects", f"one for {task[:40]}"))
    about = " ".join(metadata.get(key, "")[:200].lower() for key in ("head", "description"))
    count = _class_count(metadata)
    clues = Clues(tuple(outputs), count, input_size, about, like is not None, cache(always_one))
    names = PROFILES if like is None else (like,)
    fitting = {name: found for name in names if (found := RULES[name](clues)) is not None}
    usual = [found for found in fitting.values() if found.classes == COCO_CLASSES]
    if len(fitting) == 1 or len(usual) == 1:
        return usual[0] if usual else next(iter(fitting.values()))
    raise BundleError(_refusal(clues, tuple(fitting), like))


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


def _class_count(metadata: Mapping[str, str]) -> int | None:
    names, count = class_names(metadata), metadata.get("classes", "")
    if names is not None:
        return len(names)
    return int(count) if re.fullmatch(r"[1-9]\d{0,5}", count) else None


_NAME = r"(?P<name>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\s*(?:,\s*|$)"
_KEYED = re.compile(r"[\"']?(?P<key>\d{1,6})[\"']?\s*:\s*" + _NAME)
_PLAIN = re.compile(r"(?P<key>(?!))?" + _NAME)


def _refusal(clues: Clues, fitting: tuple[str, ...], like: str | None) -> str:
    shown = ", ".join(f"{o.name[:60]} ({_shape(o.shape)})" for o in clues.outputs[:8]) or "none"
    more = len(clues.outputs) - 8
    shown += f" and {more} more" if more > 0 else ""
    if len(fitting) > 1:
        fix = f"Choose it with `like`: {' or '.join(fitting)}."
        return broken_rule("the outputs", "fit one detector head", shown, fix)
    classes = "" if clues.classes is None else f" and {clues.classes} classes"
    height, width = clues.size
    received = f"{shown} for an input of {height} x {width}{classes}"
    if like is not None:
        return broken_rule("the outputs", f"be those of {like}", received)
    fix = f"The known heads are {', '.join(PROFILES)}."
    return broken_rule("the outputs", "be those of a known detector head", received, fix)


def _shape(shape: tuple[int | None, ...]) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape) or "one number"
