"""Exact search against the plain definition, and the word ``unknown``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.faces.gallery import FaceIndex, GallerySettings, decide
from cnnkit.faces.gallery.decision import NOBODY, TOO_CLOSE, TOO_FAR
from tests.faces.gallery.people import EMBEDDER


@given(
    seed=st.integers(0, 1000),
    people=st.integers(1, 12),
    metric=st.sampled_from(["euclidean", "manhattan"]),
    scale=st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_search_gives_what_the_definition_gives(seed, people, metric, scale):
    generator = np.random.default_rng(seed)
    owners = [f"p{n:02d}" for n in generator.integers(0, people, 3 * people)]
    vectors = (scale * generator.normal(size=(len(owners), 5))).astype(np.float32)
    vectors[0] = vectors[-1]  # equal ones too
    probe = vectors[0] + np.float32(1e-4) * generator.normal(size=5).astype(np.float32)
    order = 1 if metric == "manhattan" else 2
    difference = vectors.astype(np.float64) - probe.astype(np.float64)
    single = np.linalg.norm(difference, ord=order, axis=1)
    expected = sorted(
        (min(d for d, o in zip(single, owners, strict=True) if o == name), name)
        for name in set(owners)
    )[:3]
    found = FaceIndex(vectors, owners, metric).nearest(probe, 3)
    assert [m.person for m in found] == [name for _, name in expected]
    np.testing.assert_allclose([m.distance for m in found], [d for d, _ in expected], rtol=1e-12)


def test_a_photo_of_the_gallery_is_at_distance_0():
    vectors = np.random.default_rng(0).normal(size=(50, 128)).astype(np.float32)
    index = FaceIndex(vectors, [f"{n}" for n in range(50)], "euclidean")
    assert index.nearest(vectors[7], 1)[0].distance == 0.0
    assert index.distance("7", vectors[7]) == 0.0
    assert index.distance("nobody", vectors[7]) is None
    np.testing.assert_array_equal(index.of("7"), vectors[7:8])
    assert len(index.of("nobody")) == 0


def two_people(apart: float) -> FaceIndex:
    return FaceIndex(np.array([[0.0], [apart]], np.float32), ["ann", "bob"], "euclidean")


@pytest.mark.parametrize(
    ("apart", "probe", "name", "reason"),
    [
        (9.0, 0.5, "ann", None),
        (9.0, 0.50001, "unknown", TOO_FAR),
        (1.0, 0.25, "ann", None),  # 0.25 from ann, 0.75 from bob: the margin exactly
        (0.75, 0.25, "unknown", TOO_CLOSE),  # 0.25 and 0.5
    ],
)
def test_unknown_by_distance_or_margin(apart, probe, name, reason):
    settings = GallerySettings(EMBEDDER, threshold=0.5, margin=0.5)
    found = decide(two_people(apart), np.array([probe], np.float32), settings)
    assert (found.name, found.reason) == (name, reason)
    assert found.nearest[0].person == "ann"


def test_the_row_of_an_identification():
    settings = GallerySettings(EMBEDDER, threshold=0.5, midpoint=0.5, slope=10.0)
    row = decide(two_people(9.0), np.array([1.0], np.float32), settings).to_dict()
    assert row == {
        "name": "unknown",
        "distance": 1.0,
        "nearest": [{"name": "ann", "distance": 1.0}, {"name": "bob", "distance": 8.0}],
        "probability": 0.006693,
        "reason": "too far",
    }


def test_an_empty_gallery_knows_nobody():
    index = FaceIndex(np.empty((0, 4), np.float32), [], "euclidean")
    found = decide(index, np.zeros(4, np.float32), GallerySettings(EMBEDDER, 0.5))
    assert (found.name, found.reason, found.distance) == ("unknown", NOBODY, None)


def test_photos_of_one_person_are_no_second_person():
    vectors = np.array([[0.0], [0.01], [5.0]], np.float32)
    index = FaceIndex(vectors, ["ann", "ann", "bob"], "euclidean")
    found = decide(index, np.array([0.0], np.float32), GallerySettings(EMBEDDER, 0.5, margin=0.4))
    assert found.name == "ann"
    assert [m.person for m in found.nearest] == ["ann", "bob"]
