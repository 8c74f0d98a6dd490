"""The features on disk: what is put in comes out, and damage is never served."""

from __future__ import annotations

import os
import sqlite3

import numpy as np

from cnnkit.classification.training.feature_cache import FeatureCache, feature_key, trim

A, B = b"a" * 32, b"b" * 32


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=8).astype(np.float32)


def kept(folder, key="k", **vectors):
    cache = FeatureCache(key, folder)
    cache.write([({"A": A, "B": B}[name], value) for name, value in vectors.items()])
    cache.close()


def test_what_is_put_in_comes_out_in_a_later_run(tmp_path):
    kept(tmp_path, A=vector(0), B=vector(1))
    again = FeatureCache("k", tmp_path)
    found = again.read([B, b"c" * 32, A])
    assert set(found) == {A, B}
    np.testing.assert_array_equal(found[A], vector(0))
    assert found[A].dtype == np.float32
    again.close()


def test_another_key_has_another_file(tmp_path):
    kept(tmp_path, A=vector(0))
    assert FeatureCache("other", tmp_path).read([A]) == {}
    assert feature_key({"a": 1, "b": 2}) == feature_key({"b": 2, "a": 1}) != feature_key({"a": 1})


def test_damaged_vectors_are_left_out(tmp_path):
    kept(tmp_path, A=vector(0), B=vector(1))
    with sqlite3.connect(tmp_path / "k.sqlite") as connection:
        stored = connection.execute("SELECT vector FROM features WHERE content=?", (A,)).fetchone()
        broken = bytes([stored[0][0] ^ 1]) + stored[0][1:]
        connection.execute("UPDATE features SET vector=? WHERE content=?", (broken, A))
    connection.close()
    cache = FeatureCache("k", tmp_path)
    assert set(cache.read([A, B])) == {B}
    assert cache.read([B], size=7) == {}
    cache.close()


def test_a_file_that_is_no_database_is_made_anew(tmp_path):
    (tmp_path / "k.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 99)
    kept(tmp_path, A=vector(0))
    assert set(FeatureCache("k", tmp_path).read([A])) == {A}


def test_a_folder_that_cannot_be_made_is_said_and_does_no_harm(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = FeatureCache("k", tmp_path / "file" / "features")
    cache.write([(A, vector(0))])
    assert cache.read([A]) == {}
    assert "features are not kept for later runs" in caplog.text


def test_the_least_recently_used_files_go_first(tmp_path):
    for number, name in enumerate(("old", "middle", "new")):
        kept(tmp_path, name, A=vector(0))
        os.utime(tmp_path / f"{name}.sqlite", (number, number))
    size = (tmp_path / "new.sqlite").stat().st_size
    trim(tmp_path, max_bytes=2 * size)
    assert sorted(p.stem for p in tmp_path.glob("*.sqlite")) == ["middle", "new"]
    trim(tmp_path, max_bytes=size // 2, kept=tmp_path / "middle.sqlite")
    assert [p.stem for p in tmp_path.glob("*.sqlite")] == ["middle"]
    trim(tmp_path, max_bytes=0)
    assert list(tmp_path.glob("*.sqlite")) == []


def test_the_features_of_a_large_set_stay_for_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setattr(trim, "__defaults__", (1, None))
    for name in ("old", "large"):
        kept(tmp_path, name, A=vector(0))
    assert [p.stem for p in tmp_path.glob("*.sqlite")] == ["large"]
