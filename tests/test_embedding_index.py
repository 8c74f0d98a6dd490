"""An embeddings file as an index, and the file of paths beside it."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from cnnkit.embedding_index import EmbeddingIndex
from cnnkit.errors import UsageError
from cnnkit.writers.embedding_paths import (
    EmbeddingPaths,
    EmbeddingsOrigin,
    image_line,
    paths_file,
    write_paths,
)

ORIGIN = EmbeddingsOrigin("lite", "efficientnet-lite0", "c" * 64, "crop")
VECTORS = np.array([[1, 0], [0, 1], [np.nan, np.nan], [1, 1]], np.float32)
ODD_NAME = os.fsdecode(b"odd\xff.jpg")


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "photos.npy"
    np.save(path, VECTORS)
    rows = [
        {"path": "a.jpg", "status": "ok"},
        {"path": ODD_NAME, "path_base64": "b2Rk/y5qcGc=", "status": "ok"},
        {"path": "broken\n.jpg", "status": "error"},
        {"path": "d\u2028.jpg", "status": "ok"},
    ]
    write_paths(path, ORIGIN, [image_line(row, 0) for row in rows])
    return path


def test_matches_have_the_paths_of_their_lines(index):
    found = EmbeddingIndex(index)
    assert (len(found), found.origin) == (4, ORIGIN)
    [best, other] = found.search(np.array([[0, 2], [1, 0]]), top_k=2)
    assert [(match.path, round(match.score, 4)) for match in best] == [
        (ODD_NAME, 1.0),
        ("d\u2028.jpg", 0.7071),
    ]
    assert best[0].to_dict() == {"path": ODD_NAME, "path_base64": "b2Rk/y5qcGc=", "score": 1.0}
    assert other[0].path == "a.jpg"


def test_images_that_are_gone_leave_their_places_to_others(index) -> None:
    lines = list(EmbeddingIndex(index).lines())
    lines[3]["gone"] = True
    lines[0]["path"] = 'a "gone": true.jpg'  # a text that looks like the mark
    write_paths(index, ORIGIN, lines)
    found = EmbeddingIndex(index)
    assert found._paths.marked("gone").tolist() == [3]
    [best] = found.search(np.array([[1, 2]]), top_k=2)
    assert [match.path for match in best] == [ODD_NAME, 'a "gone": true.jpg']


def test_a_frame_of_a_video_is_named_by_its_number_and_time(tmp_path):
    np.save(tmp_path / "clip.npy", VECTORS[:1])
    line = {"path": "clip.mp4", "frame": 12, "time": 0.48}
    write_paths(tmp_path / "clip.npy", ORIGIN, [image_line(line, 0)])
    [[match]] = EmbeddingIndex(tmp_path / "clip.npy").search(np.array([[1, 0]]))
    assert match.to_dict() == {"path": "clip.mp4", "score": 1.0, "frame": 12, "time": 0.48}


@pytest.mark.parametrize("vectors", [np.ones((1, 3)), np.full((1, 2), np.nan)])
def test_other_vectors_are_refused(index, vectors):
    with pytest.raises(UsageError, match="must be 2 finite numbers each"):
        EmbeddingIndex(index).search(vectors)


def test_an_index_is_replaced_whole(index):
    found = EmbeddingIndex(index)
    lines = [*found.lines(), {"path": "new.jpg"}]
    found.replace(lines, {1: np.array([3, 4], np.float32), 3: None, 4: np.array([5, 0])})
    again = EmbeddingIndex(index)
    assert [line["path"] for line in again.lines()][-1] == "new.jpg"
    assert np.array_equal(
        again.vectors,
        np.array([[1, 0], [3, 4], [np.nan, np.nan], [np.nan, np.nan], [5, 0]]),
        equal_nan=True,
    )


def test_an_update_killed_between_its_files_leaves_the_index_as_it_was(index):
    np.save(index, np.concatenate([VECTORS, VECTORS]))
    assert len(EmbeddingIndex(index)) == 4
    np.save(index, VECTORS[:3])
    with pytest.raises(UsageError, match="must have the 4 lines"):
        EmbeddingIndex(index)


def test_a_file_changed_during_the_run_has_no_state(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"123")
    changed = path.stat().st_mtime_ns
    line = image_line({"path": str(path), "status": "ok"}, changed + 1)
    assert line == {"path": str(path), "bytes": 3, "changed": changed}
    assert image_line({"path": str(path), "status": "ok"}, changed) == {"path": str(path)}


def test_a_moved_image_is_found_where_it_is(tmp_path):
    (tmp_path / "new.jpg").write_bytes(b"123")
    row = {"path": "gone.jpg", "status": "ok", "sorted_to": str(tmp_path / "new.jpg")}
    assert image_line(row, 0) == {"path": str(tmp_path / "new.jpg")}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"",
        lambda text: text[:-20],
        lambda text: text.replace(b"a.jpg", b"\0.jpg"),
        lambda text: text.replace(b'"cnnkit_embeddings": 1', b'"cnnkit_embeddings": 9'),
        lambda text: text.replace(b'"model": "lite"', b'"model": 7'),
        lambda text: text.replace(b'{"path": "a.jpg"}', b'["path", "a.jpg"]'),
        lambda text: text.replace(b'{"path": "a.jpg"}', b"[" * 90_000),
    ],
)
def test_a_spoilt_file_of_paths_is_refused(index, spoil):
    place = paths_file(index)
    place.write_bytes(spoil(place.read_bytes()))
    with pytest.raises(UsageError, match=r"photos\.npy"):
        list(EmbeddingIndex(index).lines())


def test_what_is_no_index_is_refused(tmp_path):
    for name, content in {
        "rows.jsonl": b"{}",
        "text.npy": b"no numbers",
        "empty.npy": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=name):
            EmbeddingIndex(tmp_path / name)
    np.save(tmp_path / "doubles.npy", np.ones((2, 2)))
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    np.save(tmp_path / "alone.npy", VECTORS)
    for name in ("doubles", "objects", "alone", "missing"):
        with pytest.raises(UsageError, match=name):
            EmbeddingIndex(tmp_path / f"{name}.npy")


def test_the_header_is_as_long_for_any_number_of_rows(index):
    header = paths_file(index).read_bytes().splitlines()[0]
    assert json.loads(header)["rows"] == len(EmbeddingPaths(index)) == 4
