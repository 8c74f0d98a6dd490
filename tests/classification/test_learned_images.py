"""Which images a bundle learned from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cnnkit.classification.learned_images import count_learned, learned_contents


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_images_are_known_by_content_whatever_their_names(tmp_path: Path) -> None:
    rows = [("a.jpg", "train", b"one"), ("b.jpg", "val", b"two"), ("c.jpg", "train", b"three")]
    lines = [f"{name},cat,{split},{sha256(content)}" for name, split, content in rows]
    (tmp_path / "split.csv").write_text("\n".join(["file,label,split,sha256", *lines]))
    contents = learned_contents(tmp_path)
    assert contents == {sha256(b"one"), sha256(b"three")}
    for name, content in (("x.jpg", b"three"), ("y.jpg", b"two"), ("z.jpg", b"four")):
        (tmp_path / name).write_bytes(content)
    names = ("x.jpg", "y.jpg", "z.jpg", "gone.jpg")
    assert count_learned([str(tmp_path / name) for name in names], contents) == 1


@pytest.mark.parametrize("text", [None, "", "file,label,split\na,b,train\n", 'a\n"open', "\0" * 9])
def test_a_bundle_that_does_not_say_is_silent(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "split.csv").write_text(text)
    assert learned_contents(tmp_path) == frozenset()
