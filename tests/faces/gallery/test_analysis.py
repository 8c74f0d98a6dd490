"""Clustering, audit and calibration on made-up people."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.cli.gallery.calibrate import rounded_up
from cnnkit.errors import UsageError
from cnnkit.faces.gallery import GallerySettings, StoredPhoto
from cnnkit.faces.gallery.audit import audit
from cnnkit.faces.gallery.calibrating import adopted, calibrate
from cnnkit.faces.gallery.clustering import cluster
from tests.faces.gallery.people import EMBEDDER, SETTINGS, vector


def people(count: int, photos: int, spread: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    vectors = [vector(p, n, spread) for p in range(count) for n in range(photos)]
    return np.stack(vectors), np.repeat(np.arange(count), photos)


def test_faces_are_sorted_by_person_whatever_their_order():
    vectors, truth = people(12, 5)
    order = np.random.default_rng(3).permutation(len(vectors))
    found = cluster(vectors[order], 0.6)
    assert len(set(zip(found.tolist(), truth[order].tolist(), strict=True))) == 12
    np.testing.assert_array_equal(found, cluster(vectors[order], 0.6))


def test_people_are_numbered_by_their_photos():
    vectors = np.concatenate([people(1, 2)[0], [vector(5, 0)], [vector(7, n) for n in range(4)]])
    np.testing.assert_array_equal(cluster(vectors, 0.6), [1, 1, 2, 0, 0, 0, 0])
    assert len(cluster(vectors[:0], 0.6)) == 0


def test_one_face_between_two_people_does_not_make_them_one():
    line = np.concatenate([np.linspace(0, 0.3, 6), [0.8], np.linspace(1.3, 1.6, 6)])
    found = cluster(line[:, None].astype(np.float32), 0.55)
    assert found[0] != found[-1]


def stored(entries: list[tuple[str, np.ndarray]]) -> list[StoredPhoto]:
    return [StoredPhoto(n, name, v, f"{name}/{n}.jpg") for n, (name, v) in enumerate(entries)]


def test_the_audit_finds_what_was_planted():
    entries = [(f"p{p}", vector(p, n)) for p in range(4) for n in range(3)]
    assert audit(stored(entries), SETTINGS) == []
    planted = [
        *entries,
        ("p0", vector(1, 9)),  # under the wrong name
        ("p2", vector(99, 0)),  # like nobody
        ("p3", vector(3, 0)),  # saved twice
    ]
    found = {(f.kind, f.person, f.path, f.other) for f in audit(stored(planted), SETTINGS)}
    assert found == {
        ("mislabelled", "p0", "p0/12.jpg", "p1"),
        ("outlier", "p2", "p2/13.jpg", ""),
        ("too-alike", "p0", "", "p1"),
        ("copy", "p3", "p3/9.jpg", ""),
    }


def test_the_audit_of_nobody_and_of_one_photo():
    assert audit([], SETTINGS) == []
    assert audit(stored([("ann", vector(0))]), SETTINGS) == []


def test_photos_without_a_path_are_told_by_number():
    photos = [StoredPhoto(n, "p", vector(50 + n), None) for n in range(2)]
    assert audit(photos, SETTINGS)[0].message.startswith("photo 0 is like no other photo of p")


def noisy(count: int, photos: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return people whose distances overlap: 16 dimensions, wide noise."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(count, 1, 16))
    vectors = centers + 0.6 * generator.normal(size=(count, photos, 16))
    return vectors.reshape(-1, 16).astype(np.float32), np.repeat(np.arange(count), photos)


def test_a_calibration_keeps_to_its_rate_on_its_own_pairs_and_nearly_on_others():
    found = calibrate(*noisy(60, 4, 0), "euclidean", 0.01)
    assert found.enough
    assert found.false_accepts.share <= 0.01
    assert found.false_accepts.low <= 0.01 <= found.false_accepts.high + 0.002
    assert found.threshold_low < found.threshold < found.threshold_high
    others, labels = noisy(60, 4, 1)
    again = calibrate(others, labels, "euclidean", 0.01)
    assert found.threshold_low < again.threshold < found.threshold_high


def test_too_few_pairs_are_said_to_be():
    found = calibrate(*people(4, 2), "euclidean", 0.001)  # 24 pairs of two people
    assert not found.enough
    assert found.lowest_rate == pytest.approx(3 / 24)


@pytest.mark.parametrize("pairs", [4, 23, 30, 107, 999, 3000, 10_001])
def test_the_rate_that_is_advised_can_be_measured(pairs):
    least = rounded_up(3 / pairs)
    assert 3 / pairs <= least < 1.1 * 3 / pairs + 1e-12
    assert least * pairs >= 3 - 1e-9


def test_no_threshold_is_below_zero():
    """One photo under two people gave -5e-324, by which nobody is anybody."""
    vectors, labels = people(4, 2)
    vectors[2] = vectors[0]
    with pytest.raises(UsageError, match=r"different people.*exactly alike"):
        calibrate(vectors, labels, "euclidean", 0.001)


@pytest.mark.parametrize("far", [0.0, 1.0, -1.0, float("nan")])
def test_rates_that_nobody_can_ask_for(far):
    with pytest.raises(UsageError, match="`far`"):
        calibrate(*people(4, 2), "euclidean", far)


@pytest.mark.parametrize(("count", "photos"), [(1, 5), (5, 1), (1, 1)])
def test_data_without_pairs_of_both_kinds(count, photos):
    with pytest.raises(UsageError, match="two people"):
        calibrate(*people(count, photos), "euclidean", 0.1)


def test_a_calibration_is_kept_with_the_settings():
    found = calibrate(*people(2, 2), "euclidean", 0.5)
    settings = adopted(SETTINGS, found)
    assert GallerySettings.from_bytes(settings.to_bytes()) == settings
    assert settings.embedder == EMBEDDER
    assert settings.calibration["different_pairs"] == 4
