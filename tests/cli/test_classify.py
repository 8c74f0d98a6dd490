"""``cnnkit classify`` as a user runs it: rows, files, exit statuses, messages."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil

import numpy as np
import pytest

from cnnkit.results import path_of
from tests.ugly_files import write_ugly_files


def rows_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def photos(examples, tmp_path):
    """A folder to classify: three images, one torn, one that is text."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(examples / "cat.jpg", folder)
    shutil.copy(examples / "coffee.jpg", folder / "sub" / "naïve name.jpg")
    shutil.copy(examples / "coffee-rotated.jpg", folder / "sub")
    (folder / "text.jpg").write_text("no image")
    (folder / "torn.jpg").write_bytes((examples / "cat.jpg").read_bytes()[:9000])
    return folder


def test_rows_for_everything_in_order(run_cnnkit, photos):
    done = run_cnnkit("classify", "photos")
    rows = rows_of(done.stdout)
    assert [row["path"] for row in rows] == [
        "photos/cat.jpg",
        "photos/sub/coffee-rotated.jpg",
        "photos/sub/naïve name.jpg",
        "photos/text.jpg",
        "photos/torn.jpg",
    ]
    assert rows[0]["label"] in ("Egyptian cat", "tiger cat", "tabby")
    assert [row["label"] for row in rows[1:3]] == ["espresso", "espresso"]
    assert len(rows[0]["predictions"]) == 5
    assert [row["error"]["kind"] for row in rows[3:]] == ["not-an-image", "truncated"]
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("3 ok, 2 failed, 0 skipped")


def test_all_well_is_status_0_and_quiet_says_nothing(run_cnnkit, examples):
    done = run_cnnkit("classify", examples / "cat.jpg", "--top-k", 1, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = rows_of(done.stdout)
    assert list(row) == ["path", "status", "label", "score", "predictions"]
    assert row["predictions"] == [
        {
            "class_id": row["predictions"][0]["class_id"],
            "label": row["label"],
            "score": row["score"],
        }
    ]


def test_the_threshold_decides_but_never_touches_the_guesses(run_cnnkit, examples):
    done = run_cnnkit("classify", examples / "astronaut.jpg", "--threshold", 0.99)
    (row,) = rows_of(done.stdout)
    assert row["label"] == "unknown"
    assert row["predictions"][0]["label"] != "unknown" and row["score"] < 0.99
    assert done.returncode == 0


def test_csv_table_and_parquet(run_cnnkit, photos, tmp_path):
    done = run_cnnkit("classify", "photos", "--format", "csv", "--top-k", 2)
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(table) == 5 and table[1]["label"] == "espresso" and table[1]["label_2"]
    done = run_cnnkit("classify", "photos", "--format", "table")
    assert "espresso" in done.stdout and "truncated" in done.stdout
    parquet = pytest.importorskip("pyarrow.parquet")
    done = run_cnnkit("classify", "photos", "-o", "rows.parquet")
    assert done.stdout == ""
    assert [r["status"] for r in parquet.read_table(tmp_path / "rows.parquet").to_pylist()] == (
        ["ok"] * 3 + ["error"] * 2
    )


def test_a_list_on_standard_input(run_cnnkit, photos):
    listed = "photos/cat.jpg\nphotos/sub/naïve name.jpg\nphotos/cat.jpg\n"
    done = run_cnnkit("classify", "-", stdin=listed)
    assert [row["path"] for row in rows_of(done.stdout)] == listed.splitlines()[:2]
    done = run_cnnkit("classify", "-0", "-", stdin=listed.replace("\n", "\0"))
    assert len(rows_of(done.stdout)) == 2


def test_a_pattern(run_cnnkit, photos):
    done = run_cnnkit("classify", "photos/**/c*.jpg")
    names = [row["path"] for row in rows_of(done.stdout)]
    assert names == ["photos/cat.jpg", "photos/sub/coffee-rotated.jpg"]


def test_embeddings_have_a_line_for_each_row(run_cnnkit, photos, tmp_path):
    run_cnnkit("classify", "photos", "-o", "rows.jsonl", "--embeddings", "features.npy")
    features = np.load(tmp_path / "features.npy")
    assert features.shape == (5, 1280)
    assert np.isnan(features[3:]).all() and np.isfinite(features[:3]).all()
    # The same image turned and turned back is closer than another one.
    near, far = (np.linalg.norm(features[1] - features[i]) for i in (2, 0))
    assert near < far / 3
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "features.npy",
        "features.npy.paths.jsonl",
        "rows.jsonl",
    ]


@pytest.mark.parametrize("how", ["copy", "link", "move"])
def test_sort_into_folders(run_cnnkit, photos, tmp_path, how):
    before = sorted(p.name for p in photos.rglob("*.jpg"))
    done = run_cnnkit(
        *("classify", "photos", "-o", "rows.jsonl", "--sort-into", "photos/sorted"),
        *("--how", how, "--threshold", 0.5, "--report", "report.html"),
    )
    assert done.returncode == 1
    sorted_into = {
        str(p.relative_to(photos / "sorted")) for p in (photos / "sorted").rglob("*.jpg")
    }
    assert sorted_into == {
        "_unknown/cat.jpg",
        "espresso/coffee-rotated.jpg",
        "espresso/naïve name.jpg",
        "_errors/text.jpg",
        "_errors/torn.jpg",
    }
    rows = rows_of((tmp_path / "rows.jsonl").read_text())
    assert all((tmp_path / row["sorted_to"]).exists() for row in rows)
    left = sorted(p.name for p in photos.rglob("*.jpg") if "sorted" not in p.parts)
    assert left == ([] if how == "move" else before)
    # Three images, each with its thumbnail, also where it was moved.
    assert (tmp_path / "report.html").read_text().count("data:image/") == 3


def test_names_do_not_collide_when_sorted(run_cnnkit, examples, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        shutil.copy(examples / "coffee.jpg", tmp_path / "in" / folder)
    run_cnnkit("classify", "in", "--sort-into", "out")
    assert sorted(os.listdir(tmp_path / "out" / "espresso")) == ["coffee-2.jpg", "coffee.jpg"]


def test_an_existing_file_is_refused_before_any_work(run_cnnkit, photos, tmp_path):
    (tmp_path / "rows.jsonl").write_text("mine")
    done = run_cnnkit("classify", "photos", "-o", "rows.jsonl")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "cnnkit: error: rows.jsonl exists already. Use --overwrite to overwrite it, "
        "or another name."
    )
    assert (tmp_path / "rows.jsonl").read_text() == "mine"
    assert run_cnnkit("classify", "photos", "-o", "rows.jsonl", "--overwrite").returncode == 1


@pytest.mark.parametrize(
    "suffix", ["jsonl", pytest.param("csv", marks=pytest.mark.slow), "parquet"]
)
def test_resuming_a_finished_run_does_nothing_more(run_cnnkit, photos, tmp_path, suffix):
    command = ["classify", "photos", "-o", f"rows.{suffix}"]
    assert run_cnnkit(*command).returncode == 1
    finished = (tmp_path / f"rows.{suffix}").read_bytes()
    done = run_cnnkit(*command, "--resume")
    assert done.returncode == 1
    assert done.stderr.startswith("3 ok, 2 failed, 0 skipped, 5 resumed")
    assert (tmp_path / f"rows.{suffix}").read_bytes() == finished
    shutil.copy(photos / "cat.jpg", photos / "new.jpg")
    done = run_cnnkit(*command, "--resume")
    assert done.returncode == 2 and "no row for photos/new.jpg" in done.stderr
    (tmp_path / f"rows.{suffix}").write_text("something else")
    done = run_cnnkit(*command, "--resume")
    assert done.returncode == 2 and "must hold rows of cnnkit" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "-o", "rows.xlsx"], "-o must end in one of .jsonl, .csv, .parquet"),
        (["photos", "-o", "no/rows.jsonl"], "-o must be in an existing folder"),
        (
            ["photos", "--model", "eficientnet"],
            "Did you mean 'efficientnet-lite3' or 'efficientnet-lite0'?",
        ),
        (["photos", "--fit", "zoom"], "--fit must be one of crop, pad, stretch"),
        (["photos", "--top-k", "0"], "0 is not in the range x>=1"),
        (["photos", "--threshold", "7"], "--threshold must lie between 0 and 1"),
        (["photos", "--device", "tpu"], "--device must be one of auto, cpu, gpu"),
        (["photos", "--resume"], "--resume requires -o."),
        (["photos", "--retry-errors"], "--retry-errors requires --resume."),
        (["photos", "--embeddings", "e.txt"], "--embeddings must end in one of .npy, .parquet"),
        (["photos", "--report", "r.txt"], "--report must end in .html"),
        (["photos", "--labels", "x.txt"], "x.txt cannot be read"),
        (["photos", "--sort-into", "photos/cat.jpg"], "--sort-into must name a folder"),
        ([], "INPUT is required"),
        (["photos", "-0"], "-0 requires - ("),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(run_cnnkit_here, photos, arguments, message):
    done = run_cnnkit_here("classify", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ugly_files_give_a_row_each(run_cnnkit, tmp_path):
    expected = write_ugly_files(tmp_path / "ugly")
    assert len(expected) >= 40
    done = run_cnnkit("classify", "ugly", "-o", "rows.jsonl")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    rows = rows_of((tmp_path / "rows.jsonl").read_text())
    kinds = {
        os.path.relpath(path_of(row), "ugly"): row.get("error", {}).get("kind", "ok")
        for row in rows
    }
    assert len(rows) == len(kinds)
    assert kinds == expected
    assert [path_of(row) for row in rows] == sorted(path_of(row) for row in rows)


def test_no_image_at_all(run_cnnkit, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_cnnkit("classify", "empty", "nowhere.jpg")
    assert [row["error"]["kind"] for row in rows_of(done.stdout)] == ["no-images", "missing"]
    assert done.returncode == 1


def test_an_unreadable_place_for_the_rows_is_named(run_cnnkit, photos, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    done = run_cnnkit("classify", "photos", "-o", "locked/rows.jsonl")
    assert done.returncode == 2 and "locked/rows.jsonl cannot be written" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_ends_with_one_line_and_status_2(run_cnnkit, photos, tmp_path):
    os.symlink("/dev/full", tmp_path / "rows.jsonl.part")
    done = run_cnnkit("classify", "photos", "-o", "rows.jsonl", "--overwrite")
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
