"""`cnnkit.dedupe` with `look_alikes`: other photos of the same thing, apart from the copies."""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import numpy as np
import pytest
from PIL import Image, ImageOps

import cnnkit
from cnnkit.commands import look_alikes
from cnnkit.errors import UsageError

MODEL = "squeezenet-1.1"


@pytest.fixture(scope="module")
def photos(tmp_path_factory, examples):
    """A cat, its copy, a part of it and a mirrored part; a cup; and a file that is no image."""
    folder = tmp_path_factory.mktemp("alike") / "photos"
    folder.mkdir()
    for name in ("cat.jpg", "coffee.jpg", "rocket.jpg"):
        shutil.copy(examples / name, folder / name)
    shutil.copy(examples / "cat.jpg", folder / "again.jpg")
    with Image.open(examples / "cat.jpg") as cat:
        part = cat.crop((45, 30, cat.width, cat.height))
        part.save(folder / "part.png")
        ImageOps.mirror(part).crop((0, 0, 300, 250)).save(folder / "a-mirrored.png")
    (folder / "bad<b>.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture(scope="module")
def found(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    steps: list[tuple[int, int]] = []
    result = cnnkit.dedupe(
        photos,
        look_alikes=True,
        model=MODEL,
        output=folder / "rows.jsonl",
        report=folder / "r.html",
        sort_into=folder / "sorted",
        progress=lambda *step: steps.append(step),
    )
    return result, folder, steps


def test_a_killed_run_leaves_no_embeddings_behind(photos, tmp_path, monkeypatch):
    """They take 5 GB for a million photos, in a folder that nobody looks into."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []
    cnnkit.dedupe(
        photos,
        look_alikes=True,
        model=MODEL,
        progress=lambda done, total: seen.append(list(tmp_path.iterdir())),
    )
    assert len(seen) > 7 and not any(seen)


def by_name(result):
    return {os.path.basename(row["path"]): row for row in result.rows}


def test_look_alikes_are_a_group_of_their_own(photos, found):
    result, _, steps = found
    rows = by_name(result)
    kept = os.path.join(photos, "again.jpg")
    assert [[os.path.basename(row["path"]) for row in g] for g in result.groups] == [
        ["again.jpg", "cat.jpg"]
    ]
    assert [[os.path.basename(row["path"]) for row in g] for g in result.look_alikes] == [
        ["again.jpg", "a-mirrored.png", "part.png"]
    ]
    assert rows["part.png"]["look_alike_of"] == kept and rows["part.png"]["copy"] is None
    assert 0.86 <= rows["part.png"]["similarity"] < 1
    assert rows["cat.jpg"]["look_alike_group"] is None  # a copy stands behind its original
    assert rows["rocket.jpg"]["look_alike_group"] is None
    assert steps[-1] == (14, 14)


def test_they_are_in_the_files_but_not_sorted(found):
    result, folder, _ = found
    assert tuple(map(json.loads, (folder / "rows.jsonl").open())) == result.rows
    assert [path.name for path in (folder / "sorted").glob("*/*")] == ["cat.jpg"]
    page = (folder / "r.html").read_text()
    assert page.count("Look-alikes: other images") == 1
    assert page.index("Group 1<") < page.index("Look-alikes 1<")
    assert "Could not be compared" in page and "bad&lt;b&gt;.jpg" in page and "<b>.jpg" not in page


def test_the_plan_of_a_killed_run_is_resumed_with_them(photos, found, tmp_path):
    _, folder, _ = found
    shutil.copytree(folder / "sorted", tmp_path / "sorted")
    plan = tmp_path / "sorted" / "plan.jsonl"
    plan.write_text(plan.read_text().replace(str(folder), str(tmp_path)))
    again = cnnkit.dedupe(
        photos,
        look_alikes=True,
        model=MODEL,
        sort_into=tmp_path / "sorted",
        output=tmp_path / "rows.csv",
        resume=True,
    )
    assert len(again.look_alikes) == 1
    assert "look_alike_group,look_alike_of,similarity" in (tmp_path / "rows.csv").read_text()
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    for line in lines:
        line.pop("look_alike_group", None)
    (tmp_path / "without").mkdir()
    plan_without = tmp_path / "without" / "plan.jsonl"
    plan_without.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UsageError, match=r"an earlier dedupe\. Received: one without look-alikes"):
        cnnkit.dedupe(
            photos, look_alikes=True, model=MODEL, sort_into=tmp_path / "without", resume=True
        )
    plan.write_text(plan.read_text().replace('"look_alike_group": 1', '"look_alike_group": []'))
    with pytest.raises(UsageError, match=r"the \.jsonl of an earlier dedupe"):
        cnnkit.dedupe(photos, sort_into=tmp_path / "sorted", resume=True)


def test_all_pairs_are_compared_only_if_asked(photos, found, monkeypatch):
    monkeypatch.setattr(look_alikes, "CANDIDATE_BITS", 0)
    few = cnnkit.dedupe(photos, look_alikes=True, model=MODEL)
    assert few.look_alikes == []
    everything = cnnkit.dedupe(photos, look_alikes=True, model=MODEL, all_pairs=True)
    assert by_name(everything) == {
        name: {k: v for k, v in row.items() if k != "sorted_to"}
        for name, row in by_name(found[0]).items()
    }
    strict = cnnkit.dedupe(photos, look_alikes=True, model=MODEL, all_pairs=True, min_score=0.9999)
    assert strict.look_alikes == []


def test_rows_say_nothing_of_look_alikes_where_nobody_asked(photos):
    assert not any("look_alike_group" in row for row in cnnkit.dedupe(photos).rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"all_pairs": True}, "`all_pairs` requires `look_alikes`"),
        ({"min_score": 0.5}, "`min_score` requires `look_alikes`"),
        ({"model": MODEL}, "`model` requires `look_alikes`"),
        ({"precision": "float32"}, "`precision` requires `look_alikes`"),
        ({"look_alikes": True, "min_score": 1.5}, "`min_score` must lie between -1 and 1"),
        ({"look_alikes": True, "model": "mine"}, "`min_score` is required"),
        ({"look_alikes": True, "model": "mtcnn", "min_score": 0.5}, "`model` must be a classifier"),
    ],
)
def test_wrong_arguments(photos, arguments, message):
    with pytest.raises(UsageError, match=message):
        cnnkit.dedupe(photos, **arguments)


def test_an_image_without_an_embedding_looks_like_none():
    assert np.isnan(look_alikes._unit_vector(cnnkit.Failure("failed", "no"), 3)).all()
