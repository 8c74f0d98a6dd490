"""What a gallery keeps: people, photos, settings; with and without a passphrase."""

from __future__ import annotations

import os
import stat

import numpy as np
import pytest

from cnnkit.errors import GalleryError, OutputError, UsageError
from cnnkit.faces.gallery import EmbedderRecord, GalleryFile, GallerySettings, NewPhoto, decide
from cnnkit.faces.gallery.records import embedder_difference, person_name
from tests.faces.gallery.people import (
    CHEAP,
    DIMENSIONS,
    EMBEDDER,
    SETTINGS,
    make,
    photo,
    secret,
    vector,
)

FORMS = pytest.mark.parametrize("passphrase", [None, secret()], ids=["plain", "sealed"])


@FORMS
def test_what_was_enrolled_comes_back(tmp_path, passphrase):
    path = make(tmp_path / "g", passphrase=passphrase)
    with GalleryFile.open(path, passphrase) as gallery:
        assert gallery.people() == {"person-0": 2, "person-1": 2, "person-2": 2}
        assert gallery.settings == SETTINGS
        assert gallery.sealed == (passphrase is not None)
        stored = gallery.photos()
        assert [p.path for p in stored[:3]] == [
            "person-0/0.jpg",
            "person-0/1.jpg",
            "person-1/0.jpg",
        ]
        np.testing.assert_array_equal(stored[3].vector, vector(1, 1))
        found = decide(gallery.index(), vector(2, 7), gallery.settings)
        assert (found.name, found.nearest[1].person != "person-2") == ("person-2", True)


@FORMS
def test_a_photo_comes_once_whatever_its_path(tmp_path, passphrase):
    path = make(tmp_path / "g", passphrase=passphrase)
    with GalleryFile.open(path, passphrase) as gallery:
        assert gallery.add([photo("person-0", 0, 0, "renamed.jpg")]) == ["known"]
        assert gallery.add([photo("Ann", 0, 0)]) == ["elsewhere:person-0"]
        assert gallery.person_of(photo("x", 0, 0).content) == "person-0"
        assert gallery.person_of(photo("x", 9, 9).content) is None
        assert gallery.add([photo("Ann", 0, 0), photo("Ann", 0, 1)], move=True) == ["moved"] * 2
        assert gallery.people() == {"Ann": 2, "person-1": 2, "person-2": 2}


def test_the_file_is_the_owners_alone_and_lies_alone(tmp_path):
    path = make(tmp_path / "g")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["g"]


def test_a_file_that_others_may_read_is_told_of(tmp_path, caplog):
    path = make(tmp_path / "g")
    path.chmod(0o644)
    GalleryFile.open(path).close()
    assert "chmod 600" in caplog.text


def test_an_undecodable_path_comes_back(tmp_path):
    with GalleryFile.create(tmp_path / "g", SETTINGS) as gallery:
        gallery.add([photo("Ann", 0, 0, os.fsdecode(b"a\xff.jpg"))])
        assert os.fsencode(gallery.photos()[0].path) == b"a\xff.jpg"


def test_a_path_may_be_left_out(tmp_path):
    with GalleryFile.create(tmp_path / "g", SETTINGS) as gallery:
        gallery.add([photo("Ann", 0)])
        assert gallery.photos()[0].path is None


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"identity": "1" * 64}, "identity"),
        ({"alignment": "box-1"}, "alignment"),
        ({"dimensions": 64}, "dimensions"),
        ({"metric": "manhattan"}, "metric"),
    ],
)
def test_another_embedder_is_refused(tmp_path, changes, what):
    other = EmbedderRecord(**{**vars(EMBEDDER), "name": "other-face", **changes})
    with GalleryFile.open(make(tmp_path / "g")) as gallery:
        gallery.check_embedder(EmbedderRecord(**{**vars(EMBEDDER), "name": "renamed"}))
        with pytest.raises(GalleryError, match=f"the {what}.*Received: other-face"):
            gallery.check_embedder(other)
        with pytest.raises(GalleryError):
            gallery.save_settings(GallerySettings(other, 0.6))


@pytest.mark.parametrize(
    ("identity", "fix"),
    [
        ("face 01 five-points-2 yunet:23", "Enroll the photos again."),
        (
            "face 01 five-points-1 mtcnn:45",
            "Give `detector` as when the photos were enrolled, or enroll the photos again.",
        ),
        (
            "face 67 five-points-1 yunet:23",
            "Give `embedder` as when the photos were enrolled, or enroll the photos again.",
        ),
    ],
)
def test_what_is_refused_says_what_helps(identity: str, fix: str) -> None:
    """No option brings the alignment of an earlier version back."""
    held, given = (
        EmbedderRecord("face", one, "five-points-1", DIMENSIONS)
        for one in ("face 01 five-points-1 yunet:23", identity)
    )
    difference = embedder_difference(held, given)
    assert difference is not None and difference.fix == fix


@FORMS
def test_settings_are_kept(tmp_path, passphrase):
    path = make(tmp_path / "g", passphrase=passphrase)
    better = GallerySettings(EMBEDDER, 0.51, 0.1, 0.5, 12.0, {"far": 0.001})
    with GalleryFile.open(path, passphrase) as gallery:
        gallery.save_settings(better)
    with GalleryFile.open(path, passphrase) as gallery:
        assert gallery.settings == better


def test_a_passphrase_is_wanted_known_and_not_given_needlessly(tmp_path):
    sealed, plain = make(tmp_path / "s", passphrase=secret()), make(tmp_path / "p")
    with pytest.raises(UsageError, match="`passphrase`"):
        GalleryFile.open(sealed)
    with pytest.raises(GalleryError, match="passphrase is not the one"):
        GalleryFile.open(sealed, secret("wrong"))
    with pytest.raises(UsageError, match="encrypted gallery"):
        GalleryFile.open(plain, secret())


def test_a_sealed_file_shows_nothing(tmp_path):
    content = make(tmp_path / "g", passphrase=secret()).read_bytes()
    for plain in (b"person-1", b"person-1/0.jpg", vector(1, 0).tobytes(), b"test-face"):
        assert plain not in content
    assert photo("x", 1, 0).content not in content
    assert b"person-1" in make(tmp_path / "p").read_bytes()


def test_the_same_person_is_sealed_differently_each_time(tmp_path):
    first, second = (make(tmp_path / n, 1, 1, secret()).read_bytes() for n in "ab")
    assert first != second


def test_nothing_is_enrolled_where_one_photo_breaks_a_rule(tmp_path):
    short = NewPhoto("Bob", bytes(32), np.zeros(DIMENSIONS - 1, np.float32))
    endless = NewPhoto("Bob", bytes(32), np.full(DIMENSIONS, np.inf, np.float32))
    with GalleryFile.create(tmp_path / "g", SETTINGS) as gallery:
        for bad in (short, endless, NewPhoto("Bob", b"x", vector(0)), photo("a\x1b[31m", 1)):
            with pytest.raises(UsageError):
                gallery.add([photo("Ann", 0), bad])
        assert gallery.people() == {}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\u202eannA", "x" * 201, "Unknown", "\udcff"])
def test_names_that_nobody_has(name):
    with pytest.raises(UsageError):
        person_name(name)


def test_names_are_compared_in_one_form(tmp_path):
    assert person_name(" Zoe\u0308 ") == "Zo\u00eb"
    with GalleryFile.create(tmp_path / "g", SETTINGS) as gallery:
        gallery.add([photo("Zoe\u0308", 0, 0), photo("Zo\u00eb", 0, 1)])
        assert gallery.people() == {"Zo\u00eb": 2}


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="existing folder"):
        GalleryFile.create(tmp_path / "none" / "g", SETTINGS)
    with pytest.raises(UsageError, match="gallery enroll"):
        GalleryFile.open(tmp_path / "g")


def test_creating_what_exists_opens_it(tmp_path):
    path = make(tmp_path / "g", 1)
    with GalleryFile.create(path, GallerySettings(EMBEDDER, 0.1), cost=CHEAP) as gallery:
        assert gallery.people() == {"person-0": 2}
        assert gallery.settings == SETTINGS


def test_a_probability_falls_with_the_distance():
    assert SETTINGS.probability(0.6) == pytest.approx(0.5)
    # 1 / (1 + exp(20 * (0.5 - 0.6))) = 1 / (1 + exp(-2))
    assert SETTINGS.probability(0.5) == pytest.approx(0.8807971)
    assert SETTINGS.probability(1e6) == pytest.approx(0.0)
    assert GallerySettings(EMBEDDER, 0.6).probability(0.5) is None


def test_a_users_threshold_is_checked():
    assert SETTINGS.deciding(0.5, None).threshold == 0.5
    assert SETTINGS.deciding(None, 0.0).margin == 0.0
    for bad in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="`threshold`"):
            SETTINGS.deciding(bad, None)
