from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cnnkit.errors import ImageError
from cnnkit.images.files import read_bytes, read_header


def kind_of(path: object, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        read_bytes(str(path), **options)
    return caught.value.kind


def test_read_bytes_returns_the_whole_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "a").write_bytes(content)
    assert read_bytes(str(tmp_path / "a")) == content
    assert read_header(str(tmp_path / "a"), 10) == content[:10]


def test_read_bytes_of_an_undecodable_name(tmp_path: Path) -> None:
    path = os.path.join(str(tmp_path), os.fsdecode(b"caf\xe9"))
    try:
        Path(path).write_bytes(b"x")
    except OSError:
        pytest.skip("the file system allows no such name")
    assert read_bytes(path) == b"x"


def test_read_bytes_refuses_what_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("gone")
    assert kind_of(tmp_path / "empty") == "empty"
    assert kind_of(tmp_path / "gone") == "missing"
    assert kind_of(tmp_path / "empty" / "below a file") == "missing"
    assert kind_of("n" * 5000) == "missing"
    assert kind_of("null\0byte") == "missing"
    assert kind_of(tmp_path / "dangling") == "missing"
    assert kind_of(tmp_path / "loop") == "unreadable"
    assert kind_of(tmp_path) == "unreadable"
    assert kind_of(os.devnull) == "unreadable"


def test_read_bytes_never_waits_for_a_pipe_or_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert kind_of(tmp_path / "pipe") == "unreadable"
    assert read_header(str(tmp_path / "pipe"), 10) == b""
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the name of a socket has little room
        server.bind("socket")
        assert kind_of("socket") == "unreadable"


def test_read_bytes_refuses_more_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(str(tmp_path / "a"), max_bytes=5) == b"12345"
    assert kind_of(tmp_path / "a", max_bytes=4) == "too-large"


def test_read_bytes_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "forbidden"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("the tests may read everything")
    assert kind_of(path) == "unreadable"
    assert read_header(str(path), 10) == b""
