"""Only the pinned artefact, and only its one member, is read."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from models.convert import artefacts
from models.convert.artefacts import Artefact, ArtefactError


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def made_artefact(folder: Path, file: str, member: bytes = b"weights") -> Artefact:
    """An archive in `folder` with the member a/b.bin, and its description."""
    path = folder / file
    if file.endswith(".whl"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/b.bin", member)
    else:
        with tarfile.open(path, "w:gz") as archive:
            entry = tarfile.TarInfo("a/b.bin")
            entry.size = len(member)
            archive.addfile(entry, io.BytesIO(member))
    return Artefact("a", "1", file, sha256(path.read_bytes()), "a/b.bin", sha256(member))


@pytest.mark.parametrize("file", ["a-1-py3-none-any.whl", "a-1.tar.gz"])
def test_a_cached_artefact_is_read_without_a_download(tmp_path: Path, file: str) -> None:
    artefact = made_artefact(tmp_path, file)
    path = artefacts.fetch(artefact, tmp_path)
    assert artefacts.read_member(artefact, path) == b"weights"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("file", ["a-1-py3-none-any.whl", "a-1.tar.gz"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sha256": "0" * 64}, "must have the sha256 0000"),
        ({"member_sha256": "0" * 64}, "a/b.bin must have the sha256 0000"),
        ({"member": "a/c.bin"}, "must hold the member a/c.bin"),
    ],
)
def test_another_artefact_is_refused(
    tmp_path: Path, file: str, change: dict[str, str], told: str
) -> None:
    artefact = replace(made_artefact(tmp_path, file), **change)
    with pytest.raises(ArtefactError, match=told):
        artefacts.read_member(artefact, artefacts.fetch(artefact, tmp_path))


def test_a_damaged_artefact_is_refused(tmp_path: Path) -> None:
    artefact = made_artefact(tmp_path, "a-1.tar.gz")
    content = bytearray((tmp_path / artefact.file).read_bytes())
    content[-1] ^= 1
    (tmp_path / artefact.file).write_bytes(content)
    with pytest.raises(ArtefactError, match="delete it and run the command again"):
        artefacts.fetch(artefact, tmp_path)


def test_a_link_in_place_of_the_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("a/b.bin")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(entry)
    artefact = Artefact("a", "1", path.name, sha256(path.read_bytes()), "a/b.bin", "0" * 64)
    with pytest.raises(ArtefactError, match=r"must hold the member a/b\.bin"):
        artefacts.read_member(artefact, path)


def test_a_member_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefacts, "LARGEST_MEMBER", 6)
    for file in ("a-1-py3-none-any.whl", "a-1.tar.gz"):
        artefact = made_artefact(tmp_path, file)
        with pytest.raises(ArtefactError, match=r"at most 6 bytes\. Received: 7"):
            artefacts.read_member(artefact, tmp_path / file)
