"""One check of what an image is, at every public door of the Python interface."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.errors import ImageError, UsageError
from cnnkit.images import decode, find_images, image_pixels, one_or_several, thumbnail
from cnnkit.results import Failure

ROWS = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def png(pixels: np.ndarray) -> bytes:
    """Return pixels as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# === What is taken, and what it means ===


def readonly(pixels: np.ndarray) -> np.ndarray:
    copy = pixels.copy()
    copy.setflags(write=False)
    return copy


class Tensor:
    """What other libraries give: no array, but with the way to one."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return ROWS


TAKEN: list[tuple[str, Any, np.ndarray]] = [
    ("array", ROWS, ROWS),
    ("read-only", readonly(ROWS), ROWS),
    ("Fortran order", np.asfortranarray(ROWS), ROWS),
    ("mirrored view", ROWS[:, ::-1], ROWS[:, ::-1]),
    ("every second pixel", ROWS[::2, ::2], ROWS[::2, ::2]),
    ("channels turned", ROWS[..., ::-1], ROWS[..., ::-1]),
    ("gray", ROWS[..., 0], np.stack([ROWS[..., 0]] * 3, -1)),
    ("gray with an axis", ROWS[..., :1], np.stack([ROWS[..., 0]] * 3, -1)),
    ("tensor", Tensor(), ROWS),
    ("bytes", png(ROWS), ROWS),
    ("bytearray", bytearray(png(ROWS)), ROWS),
    ("memoryview", memoryview(png(ROWS)), ROWS),
    ("Pillow", Image.fromarray(ROWS), ROWS),
    ("Pillow, opened", Image.open(io.BytesIO(png(ROWS))), ROWS),
    ("Pillow, 1 bit", Image.new("1", (8, 6), 1), np.full((6, 8, 3), 255, np.uint8)),
    ("Pillow, 16 bits", Image.new("I;16", (8, 6), 0x8040), np.full((6, 8, 3), 0x80, np.uint8)),
]


@pytest.mark.parametrize(
    ("image", "expected"), [one[1:] for one in TAKEN], ids=[o[0] for o in TAKEN]
)
def test_what_is_taken(image: Any, expected: np.ndarray) -> None:
    pixels = image_pixels(image)
    assert (pixels.dtype, pixels.flags.c_contiguous) == (np.uint8, True)
    assert np.array_equal(pixels, expected)


def test_paths_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(ROWS))
    for path in (tmp_path / "a.png", str(tmp_path / "a.png"), np.str_(tmp_path / "a.png")):
        assert np.array_equal(image_pixels(path), ROWS)
    assert thumbnail(tmp_path / "a.png")[:2] == b"\xff\xd8"
    assert [found.path for found in find_images(tmp_path)] == [str(tmp_path / "a.png")]
    assert [found.path for found in find_images([tmp_path / "a.png"])] == [str(tmp_path / "a.png")]


def test_transparency_lies_over_white() -> None:
    # A quarter of 40 and three quarters of white: 10 + 191.25.
    rgba = np.full((2, 2, 4), (40, 40, 40, 64), np.uint8)
    for image in (rgba, Image.fromarray(rgba), png(rgba)):
        assert np.abs(image_pixels(image).astype(int) - 201).max() <= 1


def test_a_pillow_image_is_turned_as_its_file_is() -> None:
    upright = Image.fromarray(ROWS)
    exif = upright.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    upright.save(buffer, "JPEG", exif=exif, quality=95, subsampling=0)
    opened = Image.open(io.BytesIO(buffer.getvalue()))
    assert image_pixels(opened).shape == (8, 6, 3)
    assert np.array_equal(image_pixels(opened), decode(buffer.getvalue()))
    with pytest.raises(ImageError, match="more than the limit of 10"):
        image_pixels(Image.open(io.BytesIO(buffer.getvalue())), max_pixels=10)


# === What is refused ===

FLOATS = ROWS / 255.0
NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
REFUSED: list[tuple[str, Any, str, str]] = [
    ("None", None, "not-an-image", "cannot be None. Give a path"),
    ("a number", 3, "not-an-image", "a value of the type int"),
    ("a dict", {"a": 1}, "not-an-image", "a value of the type dict"),
    ("a set", {"a"}, "not-an-image", "a set, whose images have no order; give a list"),
    ("a file", io.BytesIO(b"x"), "not-an-image", "an open file .* file.read()"),
    ("a list of numbers", [[1, 2], [3, 4]], "not-an-image", "a value of the type list"),
    ("no bytes", b"", "empty", "0 bytes"),
    ("text as bytes", b"hello", "not-an-image", "the content is text"),
    ("float", FLOATS, "unsupported", r"Received: float64 \(6, 8, 3\)\. Scale its values"),
    ("float32", FLOATS.astype(np.float32), "unsupported", "float32"),
    ("NaN", np.full((6, 8, 3), np.nan), "unsupported", "float64"),
    ("uint16", ROWS.astype(np.uint16), "unsupported", "array >> 8"),
    ("int64", ROWS.astype(np.int64), "unsupported", r"array\.astype\('uint8'\)"),
    ("int8", ROWS.astype(np.int8), "unsupported", "int8"),
    ("bool", ROWS > 9, "unsupported", r"astype\('uint8'\) \* 255"),
    ("text", np.full((6, 8, 3), "x"), "unsupported", "not pixel values"),
    ("object", np.full((6, 8, 3), None), "unsupported", "not pixel values"),
    ("complex", ROWS + 1j, "unsupported", "not pixel values"),
    ("channels first", ROWS.transpose(2, 0, 1), "unsupported", r"transpose\(1, 2, 0\)"),
    ("two channels", ROWS[..., :2], "unsupported", "last axis has 2 entries"),
    ("a batch of two", np.stack([ROWS] * 2)[None], "unsupported", "5 axes"),
    ("one row", ROWS[0, :, 0], "unsupported", "1 axes"),
    ("a single value", np.uint8(3), "unsupported", "0 axes"),
    ("no rows", ROWS[:0], "empty", "no pixels"),
    ("no columns", ROWS[:, :0], "empty", "no pixels"),
    ("no image", np.zeros((0, 6, 8, 3), np.uint8)[None], "empty", "no pixels"),
    ("Pillow without pixels", Image.new("RGB", (0, 5)), "empty", "no pixels"),
    (
        "a torn Pillow image",
        Image.open(io.BytesIO(png(NOISE)[:900])),
        "corrupt",
        "Pillow",
    ),
]


@pytest.mark.parametrize(
    ("image", "kind", "told"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED]
)
def test_what_is_refused(image: Any, kind: str, told: str) -> None:
    with pytest.raises(ImageError, match=told) as caught:
        image_pixels(image)
    assert caught.value.kind == kind
    assert "\n" not in caught.value.message


def test_a_batch_is_refused_where_one_image_is_meant() -> None:
    with pytest.raises(ImageError, match="It is a batch"):
        image_pixels(ROWS[None])


def test_one_image_or_several(tmp_path: Path) -> None:
    single = (
        tmp_path,
        "a.png",
        b"x",
        ROWS,
        ROWS[..., 0],
        Image.new("L", (2, 2)),
        None,
        3,
        {"a": 1},
        {"a", "b"},
        io.BytesIO(b"one\nline\nafter another"),
    )
    for image in single:
        several, is_single = one_or_several(image)
        assert len(list(several)) == 1 and is_single
    batch = np.stack([ROWS, ROWS[::-1]])
    assert [one.shape for one in one_or_several(batch)[0]] == [(6, 8, 3)] * 2
    for several, expected in (
        (np.array(["a.png", "b.png"]), ["a.png", "b.png"]),
        ((path for path in ("a", "b")), ["a", "b"]),
        ({"a": 1, "b": 2}.keys(), ["a", "b"]),
        (["a"], ["a"]),
        ([], []),
    ):
        found, is_single = one_or_several(several)
        assert list(found) == expected and not is_single


# === Every door says the same ===


@pytest.fixture(scope="module")
def face(examples: Path) -> np.ndarray:
    """The astronaut's head, RGB uint8 (240, 240, 3)."""
    return np.ascontiguousarray(decode((examples / "astronaut.jpg").read_bytes())[:240, 100:340])


Door = Callable[[Any], Any]


def classify_door(face: np.ndarray) -> Door:
    classifier = cnnkit.Classifier.load("squeezenet-1.1")

    def door(image: Any) -> Any:
        [result] = classifier.predict([image])
        return result if isinstance(result, Failure) else (result.label, result.predictions[0])

    return door


def detect_door(face: np.ndarray, tile: int | None = None) -> Door:
    detector = cnnkit.Detector.load(tile=tile, confidence=0.3)

    def door(image: Any) -> Any:
        [result] = detector.predict([image])
        return result if isinstance(result, Failure) else (result.labels, result.xyxy.tolist())

    return door


def tiles_door(face: np.ndarray) -> Door:
    return detect_door(face, tile=200)


def explain_door(face: np.ndarray) -> Door:
    explainer = cnnkit.Explainer.load("squeezenet-1.1", "sliding")

    def door(image: Any) -> Any:
        [result] = explainer.predict([image])
        return result if isinstance(result, Failure) else (result.label, result.score)

    return door


def faces_door(face: np.ndarray) -> Door:
    verifier = cnnkit.FaceVerifier.load()

    def door(image: Any) -> Any:
        [described] = verifier.embedder.predict([image])
        found: Any = verifier.predict((face, image))
        if isinstance(found, Failure):
            assert found.message.startswith("b: ")
            found = Failure(found.kind, found.message.removeprefix("b: "))
            assert described == found
        else:
            found = found.distance
        return found if isinstance(described, Failure) else (described.embeddings.tolist(), found)

    return door


@pytest.mark.parametrize(
    "make",
    [
        classify_door,
        detect_door,
        tiles_door,
        faces_door,
        pytest.param(explain_door, marks=pytest.mark.slow),
    ],
)
def test_every_door_takes_and_refuses_alike(make: Callable, face: np.ndarray) -> None:
    door = make(face)
    expected = door(face)
    assert expected and not isinstance(expected, Failure)
    rgba = np.dstack([face, np.full(face.shape[:2], 255, np.uint8)])
    flipped = np.ascontiguousarray(face[:, ::-1])[:, ::-1]
    for image in (png(face), Image.fromarray(face), rgba, flipped, readonly(face)):
        assert door(image) == expected
    gray = door(face[..., 0])
    assert gray == door(np.stack([face[..., 0]] * 3, -1)) and not isinstance(gray, Failure)
    for name, image, kind, _ in REFUSED:
        outcome = door(image)
        assert isinstance(outcome, Failure), name
        assert outcome.kind == kind, name


@pytest.mark.slow
def test_the_painter_and_its_style_say_so_too(examples: Path) -> None:
    from cnnkit.bundles import open_model
    from cnnkit.style.one_pass import OnePassPainter
    from cnnkit.style.targets import Style

    painter = OnePassPainter(open_model("magenta-style"))
    style = painter.style_of(examples / "coffee.jpg")
    gray = np.full((20, 24), 90, np.uint8)
    assert painter.painted(gray, style).shape == (20, 24, 3)
    assert Style("x", gray).pixels.shape == (20, 24, 3)
    for _, image, kind, _ in REFUSED:
        for take in (painter.style_of, painter.painted, lambda one: Style("x", one)):
            with pytest.raises(ImageError) as caught:
                take(image)
            assert caught.value.kind == kind


def test_a_gallery_takes_the_embedders_numbers_only() -> None:
    from cnnkit.faces.gallery import FaceIndex

    index = FaceIndex(np.eye(3, 4, dtype=np.float32), ["a", "b", "c"], "euclidean")
    assert index.nearest([1, 0, 0, 0], 1)[0].person == "a"
    for vector in (None, "abcd", [1.0, 2.0], np.eye(4), np.full(4, np.nan), ["x"] * 4):
        with pytest.raises(UsageError, match="a face's vector must be 4 finite numbers"):
            index.nearest(vector, 1)
