"""Only the pinned artifact, and only its one member, is read."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from models.convert import artifacts
from models.convert.artifacts import Artifact, ArtifactError


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def made_artifact(folder: Path, file: str, member: bytes = b"weights") -> Artifact:
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
    return Artifact("a", "1", file, sha256(path.read_bytes()), "a/b.bin", sha256(member))


@pytest.mark.parametrize("file", ["a-1-py3-none-any.whl", "a-1.tar.gz", "a-1.tgz"])
def test_a_cached_artifact_is_read_without_a_download(tmp_path: Path, file: str) -> None:
    artifact = made_artifact(tmp_path, file)
    path = artifacts.fetch(artifact, tmp_path)
    assert artifacts.read_member(artifact, path) == b"weights"
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
def test_another_artifact_is_refused(
    tmp_path: Path, file: str, change: dict[str, str], told: str
) -> None:
    artifact = replace(made_artifact(tmp_path, file), **change)
    with pytest.raises(ArtifactError, match=told):
        artifacts.read_member(artifact, artifacts.fetch(artifact, tmp_path))


def test_the_command_of_npm_runs_nothing_of_the_package() -> None:
    artifact = Artifact("@a/b", "1.0", "a-b-1.0.tgz", "", "package/b.bin", "")
    command, tool = artifacts.download_command(artifact, "folder")
    assert tool == "npm" and "--ignore-scripts" in command and command[-1] == "@a/b@1.0"


def test_a_damaged_artifact_is_refused(tmp_path: Path) -> None:
    artifact = made_artifact(tmp_path, "a-1.tar.gz")
    content = bytearray((tmp_path / artifact.file).read_bytes())
    content[-1] ^= 1
    (tmp_path / artifact.file).write_bytes(content)
    with pytest.raises(ArtifactError, match="delete it and run the command again"):
        artifacts.fetch(artifact, tmp_path)


def test_a_link_in_place_of_the_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("a/b.bin")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(entry)
    artifact = Artifact("a", "1", path.name, sha256(path.read_bytes()), "a/b.bin", "0" * 64)
    with pytest.raises(ArtifactError, match=r"must hold the member a/b\.bin"):
        artifacts.read_member(artifact, path)


def test_a_member_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "LARGEST_MEMBER", 6)
    for file in ("a-1-py3-none-any.whl", "a-1.tar.gz"):
        artifact = made_artifact(tmp_path, file)
        with pytest.raises(ArtifactError, match=r"at most 6 bytes\. Received: 7"):
            artifacts.read_member(artifact, tmp_path / file)
