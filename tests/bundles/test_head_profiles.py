"""Heads are recognized by their outputs; what fits none, or two, is refused with what was seen."""

from __future__ import annotations

import pytest

from cnnkit.bundles.detector_card import KINDS
from cnnkit.bundles.head_clues import grid_count
from cnnkit.bundles.head_profiles import (
    PROFILES,
    HeadProfile,
    OutputInfo,
    class_names,
    recognize,
)
from cnnkit.errors import BundleError, UsageError

SIZE = (640, 640)


def named(count: int) -> dict[str, str]:
    return {"names": str({i: f"class {i}" for i in range(count)})}


def seen(*shapes: tuple[int | None, ...], like: str | None = None, **metadata: str) -> HeadProfile:
    outputs = [OutputInfo(f"output{i}", shape, "float32") for i, shape in enumerate(shapes)]
    return recognize(outputs, metadata, SIZE, like)


@pytest.mark.parametrize(
    ("shape", "names", "kind", "classes"),
    [
        ((1, 84, 8400), 0, "yolov8", 80),
        ((1, 84, None), 0, "yolov8", 80),
        ((None, 5, 8400), 0, "yolov8", 1),
        ((1, 7, 34000), 3, "yolov8", 3),
        ((1, 8400, 84), 80, "yolov8", 80),
        ((1, 300, 6), 0, "end-to-end", 0),
        ((1, 300, 6), 80, "end-to-end", 80),
    ],
)
def test_one_output(shape, names: int, kind: str, classes: int) -> None:
    found = seen(shape, **(named(names) if names else {}))
    assert (found.kind, found.classes, found.settings["output"]) == (kind, classes, "output0")
    assert found.section()["kind"] in KINDS and found.section()["profile"] in PROFILES


@pytest.mark.parametrize(
    ("shapes", "options", "told"),
    [
        ([], {}, "Received: none for an input of 640 x 640. The known heads are yolov"),
        ([(1, 84, 8401)], {}, r"detector head. Received: output0 \(1 x 84 x 8401\) for"),
        ([(1, 84, 8400)], named(79), "640 x 640 and 79 classes"),
        ([(1, 84, 8400), (1, 32, 160)], {}, r"output1 \(1 x 32 x 160\)"),
        ([(1, None)] * 9, {}, r"output7 \(1 x \?\) and 1 more for"),
        ([(1, 116, 8400)], {"task": "segment"}, "must detect objects. Received: one for segment"),
        ([(1, 84, 8400)], {"like": "end-to-end"}, "the outputs must be those of end-to-end. Rec"),
    ],
)
def test_what_fits_none_is_refused(shapes, options, told: str) -> None:
    with pytest.raises(BundleError, match=told):
        seen(*shapes, **options)


def test_a_profile_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'yolov8'"):
        seen((1, 84, 8400), like="yolo8")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'person', 1: \"cat's\"}", ("person", "cat's")),
        (r"{0: 'a\'b, 3: x', 1: 'c\\d'}", ("a'b, 3: x", r"c\d")),
        ("['a', 'b',]", ("a", "b")),
        ('{"0": "a", "1": "b"}', ("a", "b")),
        ("{1: 'a'}", None),
        ("{0: 'a' 1: 'b'}", None),
        ("{0: __import__('os')}", None),
        ("[", None),
        ("{}", None),
        ("", None),
    ],
)
def test_names_in_metadata(text: str, names: tuple[str, ...] | None) -> None:
    assert class_names({"names": text}) == names


def test_cells_cover_the_input() -> None:
    assert grid_count((640, 640), (8, 16, 32)) == 8400
    assert grid_count((416, 416), (8, 16, 32, 64)) == 52**2 + 26**2 + 13**2 + 7**2
    assert grid_count((320, 640), (32,)) == 200
