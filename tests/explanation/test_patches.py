"""The places that excite units most: ranked exactly, cut where the unit looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cnnkit.errors import UsageError
from cnnkit.explanation.networks import build
from cnnkit.explanation.patches import PatchSearch, Strongest, parse_units
from cnnkit.images import Found, prepare
from cnnkit.runtime import RuntimeOptions
from tests.explanation.small import opened, some_images

REFERENCE = RuntimeOptions(runtime="tensorflow", precision="float32")


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1)), max_size=30), st.integers(1, 4))
def test_the_strongest_are_those_of_a_full_sort(values, count):
    strongest = Strongest(1, count)
    for number, (value, column) in enumerate(values):
        strongest.add(number, np.array([value], np.float32), np.array([[0, column]]))
    seen, expected = set(), []
    for number, (value, column) in enumerate(values):
        if value and (value, column) not in seen:  # 0 is no answer; the same again is a copy
            seen.add((value, column))
            expected.append((-value, number))
    ranked = [(-value, image) for _, _, value, image, _ in strongest.ranked()]
    if len(expected) <= count:
        assert ranked == sorted(expected)
    else:
        assert [value for value, _ in ranked] == sorted(value for value, _ in expected)[:count]


@pytest.fixture
def search(tmp_path):
    return PatchSearch.of(opened(tmp_path, "pooled"), "second_activation", "0-2,5")


@pytest.fixture
def files(tmp_path):
    paths = []
    for number, pixels in enumerate(some_images(14)):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1])
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return [*paths, str(tmp_path / "torn.png")]


def test_the_patches_of_real_images(search, files):
    found = [Found(path) for path in files]
    strongest, paths = search.run(found, REFERENCE, workers=2)
    patches = search.cut(strongest, paths, workers=2)
    assert search.seen == 14 and [path for path, _ in search.failures] == files[-1:]
    plan = {"kind": "layers", "layers": [search.layer]}
    model = build(search.bundle, plan)
    inputs = np.stack([prepare(path, search.bundle.card.input) for path in files[:14]])
    answers = np.asarray(model(inputs.astype(np.float32))["0"])  # (14, 8, 8, 6)
    for unit in (0, 1, 2, 5):
        own = [patch for patch in patches if patch.unit == unit]
        highest = np.sort(answers[..., unit].max(axis=(1, 2)))[::-1]
        expected = highest[highest > 0][:9]
        assert [patch.rank for patch in own] == list(range(1, len(expected) + 1))
        np.testing.assert_allclose([p.activation for p in own], expected, rtol=1e-5)
        assert all(patch.pixels.shape == (64, 64, 3) for patch in own)


def test_a_unit_sees_its_patch_and_nothing_else(search, files):
    strongest, paths = search.run([Found(path) for path in files[:14]], REFERENCE, workers=1)
    model = build(search.bundle, {"kind": "layers", "layers": [search.layer]})
    spec = search.bundle.card.input
    for unit, rank, value, image, place in strongest.ranked():
        if rank > 1:
            continue
        image = prepare(paths[image], spec).astype(np.float32)
        left, top, right, bottom = (int(edge) for edge in search.sees(place))
        assert (right - left, bottom - top) == (8, 8)
        inside = np.zeros((16, 16, 1), bool)
        inside[max(0, top) : bottom, max(0, left) : right] = True
        other = np.where(inside, image, 255 - image)
        channel = search.units[unit]
        assert np.asarray(model(other[None])["0"])[0, *place, channel] == pytest.approx(value)
        patch = search.sees(place, patch_size=4)
        assert (patch.left + 2, patch.top + 2) == (left + 4, top + 4)


def test_a_patch_of_a_thin_image_has_a_pixel(search, tmp_path):
    pixels = np.ascontiguousarray(some_images(1)[0][:, :1])
    Image.fromarray(pixels).save(tmp_path / "thin.png")
    found = [Found(str(tmp_path / "thin.png"))]
    strongest, paths = search.run(found, REFERENCE, workers=1)
    patches = search.cut(strongest, paths, workers=1)
    assert patches and all(patch.box[0] < patch.box[2] for patch in patches)


def test_paths_that_no_unit_needs_are_dropped(tmp_path, files, monkeypatch):
    monkeypatch.setattr("cnnkit.explanation.patches.PRUNING", 2)
    monkeypatch.setattr("cnnkit.explanation.patches.PATCHES", 1)
    search = PatchSearch.of(opened(tmp_path, "pooled"), "second_activation", "0")
    strongest, paths = search.run([Found(path) for path in files[:14]], REFERENCE, workers=1)
    assert len(paths) < 14
    assert {number for _, _, _, number, _ in strongest.ranked()} <= set(paths)


def test_units():
    assert parse_units("0-2, 5", 6) == [0, 1, 2, 5]
    assert parse_units(None, 3) == [0, 1, 2]
    assert len(parse_units(None, 5000)) == 1024
    for wrong in ("6", "a", "3-1", "", "1-9", "-1"):
        with pytest.raises(UsageError, match="`units` must be numbers and ranges from 0 to 5"):
            parse_units(wrong, 6)
    with pytest.raises(UsageError, match="be at most 1024"):
        parse_units("0-1024", 5000)
