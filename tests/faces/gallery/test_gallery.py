"""The class `Gallery`: enrolling, naming, forgetting and calibrating from Python."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnkit
from cnnkit.errors import GalleryError, UsageError
from cnnkit.faces import FaceEmbedder
from cnnkit.images import decode
from tests.faces.gallery.portraits import eileen, eva, write, write_people


@pytest.fixture(scope="module", autouse=True)
def one_embedder() -> Iterator[None]:
    """Compile the networks once for this module."""
    compiled: dict[str, FaceEmbedder] = {}
    original = FaceEmbedder.load

    def loaded(*arguments, **options):
        key = repr((arguments, sorted(options.items())))
        if key not in compiled:
            compiled[key] = original(*arguments, **options)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceEmbedder, "load", loaded)
        yield


@pytest.fixture(scope="module")
def astronaut(examples: Path) -> np.ndarray:
    return decode((examples / "astronaut.jpg").read_bytes())


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    return write_people(tmp_path_factory.mktemp("people"), astronaut)


def test_a_gallery_is_made_with_its_first_photo(
    tmp_path: Path, people: Path, astronaut: np.ndarray, examples: Path
) -> None:
    path, rows = tmp_path / "team.gallery", []
    with cnnkit.Gallery.create(path) as gallery:
        assert gallery.enroll(examples / "coffee.jpg", name="Cup", emit=rows.append) == {
            "failed": 1
        }
        assert rows[0]["error"]["kind"] == "no-face"
        assert not path.exists() and gallery.people() == {}
        assert gallery.predict(astronaut).faces[0][1].reason == "nobody is enrolled"
        assert gallery.enroll(people) == {"added": 4}
        assert gallery.people() == {"Eileen": 2, "Eva": 2}
        assert gallery.predict(astronaut).names == ["Eileen"]
    with pytest.raises(UsageError, match="`path` must name a new file"):
        cnnkit.Gallery.create(path)


@pytest.fixture
def team(tmp_path: Path, people: Path) -> Path:
    with cnnkit.Gallery.create(tmp_path / "team.gallery") as gallery:
        gallery.enroll(people)
    return tmp_path / "team.gallery"


def test_people_change_and_are_named_so_at_once(team: Path, astronaut: np.ndarray) -> None:
    with cnnkit.Gallery.load(team) as gallery:
        squeezed = eva(astronaut, 3)
        first, second = gallery.predict([astronaut, squeezed])
        assert (first.names, second.names) == (["Eileen"], ["Eva"])
        assert first.to_dict()["faces"][0]["distance"] == pytest.approx(0, abs=1e-3)
        assert gallery.rename("Eva", "Eve") == 2
        assert gallery.predict(squeezed).names == ["Eve"]
        [photo] = gallery.forget_photos("Eve/0.png")
        assert photo.person == "Eve" and gallery.people() == {"Eileen": 2, "Eve": 1}
        assert gallery.forget("Eve") == {"Eve": 1}
        assert gallery.predict(squeezed).faces[0][1].reason == "too far"
        assert gallery.audit() == []
    assert gallery.predict(squeezed).names == ["unknown"]  # closed, and still in memory


def test_rules_of_its_own_share_the_people(team: Path, astronaut: np.ndarray) -> None:
    with cnnkit.Gallery.load(team) as gallery:
        largest = gallery.deciding(faces="largest")
        assert largest.predict(astronaut).names == ["Eileen"]
        gallery.forget("Eileen")
        assert largest.predict(astronaut).names == ["unknown"]
        assert largest.people() == gallery.people() == {"Eva": 2}


def test_what_was_asked_for_decides(team: Path, astronaut: np.ndarray) -> None:
    gallery = cnnkit.Gallery.load(team, threshold=1e-6, faces="one")
    darker = eileen(astronaut, 1)
    assert gallery.predict(darker[::2, ::2]).names == ["unknown"]
    both = np.concatenate([astronaut, astronaut], axis=1)
    assert gallery.predict(both).kind == "several-faces"
    with pytest.raises(UsageError, match="`threshold` must be a distance"):
        cnnkit.Gallery.load(team, threshold=-1.0)
    with pytest.raises(GalleryError, match="without mirrored faces"):
        cnnkit.Gallery.load(team, mirror=True)


def test_a_passphrase_seals_a_new_gallery(tmp_path: Path, people: Path) -> None:
    path = tmp_path / "sealed.gallery"
    with pytest.raises(UsageError, match="`passphrase` must have at least 8 characters"):
        cnnkit.Gallery.create(path, passphrase="short")
    with cnnkit.Gallery.create(path, passphrase="correct horse") as gallery:
        gallery.enroll(people)
    assert b"Eileen" not in path.read_bytes()
    assert cnnkit.Gallery.load(path, passphrase="correct horse").people() == {
        "Eileen": 2,
        "Eva": 2,
    }
    with pytest.raises(UsageError, match="needs its passphrase"):
        cnnkit.Gallery.load(path)


def test_too_few_pairs_leave_the_threshold(team: Path, tmp_path: Path, astronaut) -> None:
    more = tmp_path / "more"
    for number in (2, 3):
        write(more / "Eileen" / f"{number}.png", eileen(astronaut, number))
        write(more / "Eva" / f"{number}.png", eva(astronaut, number))
    gallery = cnnkit.Gallery.load(team)
    before = gallery.settings
    found = gallery.calibrate(more)
    assert not found.enough and found.different_pairs == 4
    assert gallery.settings == before


def test_calibrating_names_its_own_parameters(team: Path, people: Path, tmp_path: Path) -> None:
    """With all faces it ended in a ValueError, and of no folder it named `inputs` and `name`."""
    gallery = cnnkit.Gallery.load(team)
    with pytest.raises(UsageError, match=r"`faces` must be one or largest.*Received: all"):
        gallery.calibrate(people, faces="all")
    with pytest.raises(UsageError, match="`data` must be a folder that can be read"):
        gallery.calibrate(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"`data` must hold a folder .* for each person\.$"):
        gallery.calibrate(tmp_path / "empty")


def test_a_photo_that_is_there_again_is_no_pair(
    team: Path, people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    people = Path(shutil.copytree(people, tmp_path / "people"))
    shutil.copy(people / "Eva" / "0.png", people / "Eva" / "again.png")
    gallery = cnnkit.Gallery.load(team)
    found = gallery.calibrate(people)
    assert (found.photos, found.same_pairs, found.different_pairs) == (4, 2, 4)
    assert "again.png is skipped: it is the same as" in caplog.text
    shutil.copy(people / "Eva" / "0.png", people / "Eileen" / "wrong.png")
    with pytest.raises(UsageError, match=r"`data` must have a photo under one person.*wrong\.png"):
        gallery.calibrate(people)


@pytest.mark.parametrize("name", ["Ann", None])
def test_a_folder_that_cannot_be_read_is_no_fault_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    (tmp_path / "photos").mkdir()
    listed = os.scandir

    def refusing(path: Any) -> Any:
        if path == str(tmp_path / "photos"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    rows: list[Any] = []
    with cnnkit.Gallery.create(tmp_path / "g") as gallery:
        if name is None:
            with pytest.raises(UsageError, match="a folder that can be read"):
                gallery.enroll(tmp_path / "photos")
            return
        assert gallery.enroll(tmp_path / "photos", name=name, emit=rows.append) == {"failed": 1}
    assert rows[0]["error"] == {"kind": "unreadable", "message": "permission denied"}
