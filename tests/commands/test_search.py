"""`cnnkit.search`: the index that classify writes, its matches, and its updates."""

from __future__ import annotations

import json
import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.cli.display import MatchesLayout
from cnnkit.commands.search import MATCHES_TABLE
from cnnkit.errors import UsageError
from cnnkit.reports.image_groups import write_matches
from cnnkit.writers import FeatureSpool
from cnnkit.writers.locking import locked_beside

MODEL = "squeezenet-1.1"


@pytest.fixture(scope="module")
def made(tmp_path_factory, examples):
    """A folder of photos and its index."""
    folder = tmp_path_factory.mktemp("search")
    shutil.copytree(examples, folder / "photos")
    (folder / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    os.utime(folder / "photos" / "cat.jpg", (1, 1))
    cnnkit.classify(folder / "photos", model=MODEL, embeddings=folder / "photos.npy")
    return folder


@pytest.fixture
def place(made, tmp_path):
    """A copy of the folder and its index, to be changed."""
    shutil.copytree(made, tmp_path / "copy")
    text = (tmp_path / "copy" / "photos.npy.paths.jsonl").read_text()
    changed = text.replace(str(made), str(tmp_path / "copy"))
    (tmp_path / "copy" / "photos.npy.paths.jsonl").write_text(changed)
    return tmp_path / "copy"


def found(index, queries, **options):
    rows = []
    summary = cnnkit.search(index, queries, emit=rows.append, **options)
    return rows, summary


def names(row):
    return [os.path.basename(match["path"]) for match in row["matches"]]


def test_an_image_finds_itself_and_what_is_like_it(made):
    queries = [made / "photos" / name for name in ("coffee.jpg", "bad.jpg", "cat.jpg")]
    rows, summary = found(made / "photos.npy", queries, top_k=2)
    assert [row["status"] for row in rows] == ["ok", "error", "ok"]
    assert (summary.ok, summary.failed) == (2, 1)
    assert names(rows[0]) == ["coffee.jpg", "coffee-rotated.jpg"]
    assert rows[0]["matches"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert names(rows[2])[0] == "cat.jpg"
    alone, _ = found(made / "photos.npy", queries[:1], top_k=9, min_score=0.9)
    assert names(alone[0]) == ["coffee.jpg", "coffee-rotated.jpg"]


def test_the_scores_are_those_of_the_features(made):
    rows, _ = found(made / "photos.npy", made / "photos" / "cat.jpg", top_k=20)
    features = np.load(made / "photos.npy").astype(float)
    paths = [json.loads(line) for line in (made / "photos.npy.paths.jsonl").open()][1:]
    places = {os.path.basename(line["path"]): n for n, line in enumerate(paths)}
    cat = features[places["cat.jpg"]]
    assert "bad.jpg" not in names(rows[0]) and np.isnan(features[places["bad.jpg"]]).all()
    for match in rows[0]["matches"]:
        own = features[places[os.path.basename(match["path"])]]
        cosine = own @ cat / np.linalg.norm(own) / np.linalg.norm(cat)
        assert match["score"] == pytest.approx(cosine, abs=1e-5)


def test_new_changed_and_lost_images(place, caplog):
    photos = place / "photos"
    with Image.open(photos / "rocket.jpg") as rocket:
        rocket.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos / "new.png")
    shutil.copy(photos / "coffee.jpg", photos / "cat.jpg")  # other content under an old name
    os.unlink(photos / "astronaut.jpg")
    with caplog.at_level(logging.INFO, "cnnkit"):
        rows, _ = found(place / "photos.npy", photos / "coffee.jpg", update=photos, top_k=20)
    assert "1 gone" in caplog.text
    assert set(names(rows[0])[:2]) == {"cat.jpg", "coffee.jpg"}
    assert "astronaut.jpg" not in names(rows[0])
    paths = (place / "photos.npy.paths.jsonl").read_text().splitlines()
    gone = [json.loads(line) for line in paths if '"gone": true' in line]
    assert [os.path.basename(line["path"]) for line in gone] == ["astronaut.jpg"]
    count = len(rows[0]["matches"])
    fewer, _ = found(place / "photos.npy", place / "photos" / "coffee.jpg", top_k=count)
    assert names(fewer[0]) == names(rows[0])
    shutil.copy(photos / "rocket.jpg", photos / "astronaut.jpg")  # it is back, and another
    rows, _ = found(place / "photos.npy", photos / "rocket.jpg", update=photos, top_k=3)
    assert set(names(rows[0])) == {"rocket.jpg", "astronaut.jpg", "new.png"}
    os.unlink(photos / "astronaut.jpg")
    found(place / "photos.npy", None, update=photos)
    rows, _ = found(place / "photos.npy", photos / "rocket.jpg", top_k=2)
    assert set(names(rows[0])) == {"rocket.jpg", "new.png"}
    before = (place / "photos.npy").read_bytes()
    _, summary = found(place / "photos.npy", None, update=photos)
    assert (summary.ok, summary.failed) == (0, 0)
    assert (place / "photos.npy").read_bytes() == before


def test_what_cannot_be_brought_into_the_index_is_said(place, caplog):
    """A mistyped folder left the index as it was, without a word: its images were not found."""
    (place / "none").mkdir()
    before = (place / "photos.npy").read_bytes()
    with pytest.raises(UsageError, match=r"`update` must name existing .*nowhere: no such file"):
        cnnkit.search(place / "photos.npy", update=[place / "photos", place / "nowhere"])
    assert (place / "photos.npy").read_bytes() == before
    (place / "photos" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    with caplog.at_level(logging.INFO, "cnnkit"):
        cnnkit.search(place / "photos.npy", update=[place / "photos", place / "none"])
    assert "none: no image in this folder" in caplog.text
    assert "torn.jpg: the JPEG file ends early" in caplog.text
    assert "1 new or changed images (1 of them unreadable), 0 gone" in caplog.text


def test_another_spelling_of_a_path_is_the_same_image(place, monkeypatch):
    monkeypatch.chdir(place)
    lines = (place / "photos.npy.paths.jsonl").read_text().count("\n")
    found("photos.npy", None, update=["photos", "./photos/../photos/coffee.jpg"])
    assert (place / "photos.npy.paths.jsonl").read_text().count("\n") == lines


def test_embeddings_killed_while_they_are_replaced_are_not_searched(place, monkeypatch):
    """The new paths lay beside the old embeddings: as many, so that nobody noticed."""
    photos = sorted((place / "photos").iterdir(), reverse=True)

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(FeatureSpool, "finish", killed)
    again = {"model": MODEL, "embeddings": place / "photos.npy", "output": place / "rows.jsonl"}
    with pytest.raises(KeyboardInterrupt):
        cnnkit.classify(photos, overwrite=True, **again)
    with pytest.raises(UsageError, match=r"photos\.npy must be an embeddings file"):
        cnnkit.search(place / "photos.npy", photos[0])
    monkeypatch.undo()
    cnnkit.classify(photos, resume=True, **again)
    rows, _ = found(place / "photos.npy", place / "photos" / "cat.jpg", top_k=1)
    assert names(rows[0]) == ["cat.jpg"]


def test_one_run_at_a_time_updates_an_index(place):
    """Two could write embeddings of the one beside paths of the other: wrong matches."""
    with locked_beside(place / "photos.npy"):
        with pytest.raises(UsageError, match="is being written by another run"):
            cnnkit.search(place / "photos.npy", update=place / "photos")
        found(place / "photos.npy", place / "photos" / "cat.jpg")  # reading does no harm
    cnnkit.search(place / "photos.npy", update=place / "photos")
    assert not (place / "photos.npy.lock").exists()


def test_another_model_is_refused(made):
    with pytest.raises(UsageError, match=r"`model` must be the model that made .*squeezenet-1\.1"):
        cnnkit.search(made / "photos.npy", "x.jpg", model="efficientnet-lite0")


@pytest.mark.parametrize(("precision", "other"), [("float32", "int8"), ("int8", "float32")])
def test_queries_are_embedded_in_the_precision_of_the_index(place, caplog, precision, other):
    photos, index = place / "photos", place / "other.npy"
    cnnkit.classify(photos, model=MODEL, embeddings=index, precision=precision)
    rows, _ = found(index, photos / "cat.jpg", top_k=1)
    assert rows[0]["matches"][0]["score"] == pytest.approx(1, abs=2e-6)
    assert "the index was made in" not in caplog.text
    found(index, photos / "cat.jpg", precision=other)
    assert f"the index was made in {precision}" in caplog.text
    assert f"the queries are embedded in {other}" in caplog.text


def test_an_index_that_does_not_say_its_precision_is_searched(place, caplog) -> None:
    paths = place / "photos.npy.paths.jsonl"
    header, *lines = paths.read_text().splitlines(keepends=True)
    known = json.loads(header)
    assert known.pop("precision")
    paths.write_text("".join([json.dumps(known) + "\n", *lines]))
    rows, _ = found(place / "photos.npy", place / "photos" / "cat.jpg", top_k=1)
    assert names(rows[0]) == ["cat.jpg"]
    assert "the index was made in" not in caplog.text


def test_a_run_is_not_resumed_with_an_index_that_has_changed(place, tmp_path):
    queries = [place / "photos" / name for name in ("cat.jpg", "coffee.jpg", "rocket.jpg")]

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cnnkit.search(place / "photos.npy", queries, output=tmp_path / "r.jsonl", emit=stop)
    os.utime(place / "photos.npy", (1, 1))
    with pytest.raises(UsageError, match="index"):
        cnnkit.search(place / "photos.npy", queries, output=tmp_path / "r.jsonl", resume=True)


def test_a_frame_is_told_by_its_number_wherever_it_is_shown(tmp_path):
    """Of an index of videos, the table, the CSV and the report named the files only."""
    matches = [{"path": "a/clip.mp4", "score": 0.9, "frame": 12, "time": 0.5}]
    matches.append({"path": "a/clip.mp4", "score": 0.8, "frame": 13, "time": 0.6})
    row = {"path": "q.jpg", "status": "ok", "matches": matches}
    assert MATCHES_TABLE.cells(row)[2:5] == ["a/clip.mp4-12", "0.900000", "a/clip.mp4-13"]
    assert "a/clip.mp4-12" in MatchesLayout(100).line(row)
    write_matches(tmp_path / "page.html", iter([row]), index="x.npy", images=2)
    assert "clip.mp4-13" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert MATCHES_TABLE.cells(row | {"matches": []})[2:5] == ["", "", ""]


def test_a_report_shows_queries_and_matches(made, tmp_path):
    query = tmp_path / "<i>query.jpg"
    shutil.copy(made / "photos" / "cat.jpg", query)
    cnnkit.search(made / "photos.npy", query, top_k=3, report=tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/") == 4
    assert "<i>query" not in page and "&lt;i&gt;query" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "`top_k` must be at least 1"),
        ({"min_score": 2}, "`min_score` must lie between -1 and 1"),
        ({"min_score": float("nan")}, "`min_score` must be a finite number"),
        ({"inputs": None}, "`inputs` is required"),
    ],
)
def test_wrong_arguments(made, arguments, message):
    with pytest.raises(UsageError, match=message):
        cnnkit.search(**{"index": made / "photos.npy", "inputs": "x.jpg"} | arguments)


def test_the_paths_are_no_output_over_an_input(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(made / "photos" / "cat.jpg", "photos.npy.paths.jsonl")
    with pytest.raises(UsageError, match=r"paths\.jsonl"):
        cnnkit.classify(
            "photos.npy.paths.jsonl", model=MODEL, embeddings="photos.npy", overwrite=True
        )
