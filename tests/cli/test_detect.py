"""``cnnkit detect`` as a user runs it: rows, files, exit statuses, messages."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from cnnkit.writers.targets import claimed_folders
from tests.ugly_files import write_ugly_files


@pytest.fixture
def photos(examples, tmp_path):
    """A folder: two images, one below, one torn."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(examples / "coffee.jpg", folder)
    shutil.copy(examples / "photographer.jpg", folder / "sub")
    (folder / "torn.jpg").write_bytes((examples / "cat.jpg").read_bytes()[:9000])
    return folder


def rows_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_rows_and_files_in_one_pass(run_cnnkit, photos, tmp_path):
    done = run_cnnkit(
        *("detect", "photos", "-o", "rows.jsonl", "-o", "rows.csv", "-o", "coco:found.json"),
        *("-o", "yolo:labels", "--annotate", "drawn", "--counts", "counts.csv"),
        *("--report", "report.html", "--format", "jsonl"),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("2 ok, 1 failed, 0 skipped")
    coffee, photographer, torn = rows_of(done.stdout)
    assert (tmp_path / "rows.jsonl").read_text() == done.stdout
    assert coffee["detections"][0]["label"] == "dining table"
    assert coffee["detections"][0]["class_id"] == 60
    people = [one for one in photographer["detections"] if one["label"] == "person"]
    assert len(people) >= 1
    for one in people:
        left, top, width, height = one["box"]
        assert 0 <= left < left + width <= photographer["width"]
        assert 0 <= top < top + height <= photographer["height"]
    assert torn["error"]["kind"] == "truncated"
    coco = json.loads((tmp_path / "found.json").read_text())
    assert [one["file_name"] for one in coco["images"]] == [
        "coffee.jpg",
        "sub/photographer.jpg",
    ]
    assert {"id": 90, "name": "toothbrush"} in coco["categories"]
    assert {1, 67} <= {one["category_id"] for one in coco["annotations"]}
    assert all(0.4 <= one["score"] <= 1 for one in coco["annotations"])
    assert (tmp_path / "labels" / "coffee.txt").read_text().startswith("60 0.")
    assert sorted(p.name for p in (tmp_path / "drawn").rglob("*.jpg")) == [
        "coffee.jpg",
        "photographer.jpg",
    ]
    assert (tmp_path / "counts.csv").read_text().startswith("path,status,objects,person,")
    assert (tmp_path / "report.html").read_text().count("data:image/jpeg") == 2
    again = run_cnnkit(
        *("detect", "photos", "-o", "rows.jsonl", "-o", "rows.csv", "-o", "coco:found.json"),
        *("-o", "yolo:labels", "--annotate", "drawn", "--counts", "counts.csv"),
        *("--report", "report.html", "--resume"),
    )
    assert (again.returncode, again.stdout) == (1, "")
    assert "3 resumed" in again.stderr
    in_the_way = run_cnnkit("detect", "photos", "-o", "rows.jsonl")
    assert in_the_way.returncode == 2
    assert "rows.jsonl exists already. Use --overwrite" in in_the_way.stderr


def test_choosing_what_counts(run_cnnkit, photos):
    done = run_cnnkit(
        *("detect", "photos", "--classes", "Cup,person", "--confidence", "0.9,cup=0.25"),
        *("--where", "cup>=1 and not person", "--format", "csv"),
    )
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {line["label"] for line in lines if line["status"] == "ok"} == {"cup"}
    assert [line["path"] for line in lines if line["status"] == "error"] == ["photos/torn.jpg"]
    assert done.returncode == 1


def test_a_table_for_people_and_tiles(run_cnnkit, examples):
    done = run_cnnkit(
        "detect", examples / "cat.jpg", "--format", "table", "--agnostic", "--tile=300"
    )
    header, line = done.stdout.splitlines()
    assert header.split() == ["IMAGE", "SCORE", "OBJECTS"]
    assert "cat" in line and "%" in line
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--classes", "dgo"), "--classes must name classes of the model. Received: 'dgo'. Did"),
        (("--confidence", "high"), "--confidence must be a number, or CLASS=NUMBER"),
        (("--confidence", "dog=2"), "--confidence must lie between 0 and 1"),
        (("--where", "dog >"), "--where must say a whole number after a comparison"),
        (("--tile", "5"), "--tile must be at least 32 pixels"),
        (("--agnostic", "car+dgo"), "--agnostic must name classes"),
        (("--model", "squeezenet-1.1"), "--model must be a detector"),
        (("--fit", "crop"), "--fit must be one of pad, stretch"),
        (("--annotate", "photos"), "photos has files already"),
        (("--crops", "photos", "--overwrite"), "an output folder must differ from the folders of"),
        (("-o", "coco:a.txt"), "coco: must name a .json file"),
        (("-o", "yolo:"), "yolo: must be followed by a path"),
        (("-o", "a.xml"), "-o must end in one of .jsonl, .csv, .parquet"),
        (("-o", "a.csv", "-o", "./a.csv"), "outputs must be different files and folders"),
        (("--resume",), "--resume requires -o."),
    ],
)
def test_bad_options_say_so_in_one_line(photos, arguments, told, monkeypatch, capsys):
    """In this process: each would otherwise start one of its own."""
    from cnnkit import cli

    monkeypatch.chdir(photos.parent)
    monkeypatch.setattr("sys.argv", ["cnnkit", "detect", "photos", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert told in captured.err


def test_ugly_files_are_rows(run_cnnkit, tmp_path):
    folder = tmp_path / "ugly"
    folder.mkdir()
    written = write_ugly_files(folder)
    done = run_cnnkit("detect", "ugly", "-o", "rows.jsonl", "--annotate", "drawn", "--crops", "cut")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and "fault" not in done.stderr
    rows = rows_of((tmp_path / "rows.jsonl").read_text(errors="surrogateescape"))
    assert len(rows) > len(written) / 2
    assert {row["status"] for row in rows} == {"ok", "error"}


def name_of(row: dict) -> str:
    return row["path"].removeprefix("photos/")


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_resume_without_a_run_keeps_the_images_of_another(run_cnnkit, photos, tmp_path) -> None:
    """`--resume` stands in scripts that may run again: here there is nothing to resume."""
    kept = ("--annotate", "drawn", "--crops", "cut", "--counts", "counts.csv")
    assert run_cnnkit("detect", "photos", "-o", "first.jsonl", *kept).returncode == 1
    before = {name: files_below(tmp_path / name) for name in ("drawn", "cut")}
    for resumed in ((), ("--resume",)):
        for option, place in (("--annotate", "drawn"), ("--crops", "cut")):
            done = run_cnnkit("detect", "photos", "-o", "second.jsonl", option, place, *resumed)
            assert done.returncode == 2
            assert f"{place} has files already." in done.stderr
        done = run_cnnkit("detect", "photos", "-o", "second.jsonl", *kept[4:], *resumed)
        assert (done.returncode, "counts.csv exists already" in done.stderr) == (2, True)
    assert {name: files_below(tmp_path / name) for name in ("drawn", "cut")} == before
    assert not (tmp_path / "second.jsonl").exists()
    again = run_cnnkit("detect", "photos", "-o", "first.jsonl", *kept, "--resume")
    assert again.returncode == 1, again.stderr  # a finished run makes them again
    assert {name: files_below(tmp_path / name) for name in ("drawn", "cut")} == before


def test_overwriting_leaves_no_objects_that_were_not_found_now(run_cnnkit, photos, tmp_path):
    kept = ("--annotate", "drawn", "--crops", "cut", "--overwrite")
    assert run_cnnkit("detect", "photos", *kept, "--confidence", 0.1).returncode == 1
    many = files_below(tmp_path / "cut")
    (tmp_path / "cut" / "person" / "mine.jpg").write_bytes(b"of the user")
    (tmp_path / "photos" / "coffee.jpg").write_text("broken since")
    assert (
        run_cnnkit("detect", "photos", *kept, "--confidence", 0.5, "-o", "rows.jsonl").returncode
        == 1
    )
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    objects = {
        f"{one['label']}/{name_of(row).removesuffix('.jpg')}-{number}.jpg"
        for row in rows
        for number, one in enumerate(row.get("detections", ()), 1)
    }
    assert 0 < len(objects) < len(many)
    assert set(files_below(tmp_path / "cut")) == objects | {"person/mine.jpg"}
    sound = {name_of(row) for row in rows if row["status"] == "ok"}
    assert set(files_below(tmp_path / "drawn")) == sound


def test_overwriting_removes_no_files_of_the_user(run_cnnkit, photos, tmp_path) -> None:
    """Cameras number their files as crops are numbered: photos sorted by class look like them."""
    sound = (photos / "coffee.jpg").read_bytes()
    mine = ("cut/cat/coffee-1.jpg", "cut/dog/torn-1.jpg", "drawn/torn.jpg", "cut/dog/x-1.jpg")
    for name in mine:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(sound)
    kept = ("--annotate", "drawn", "--crops", "cut", "--overwrite")
    assert run_cnnkit("detect", "photos", *kept).returncode == 1
    assert [name for name in mine if not (tmp_path / name).is_file()] == []


def test_overwriting_keeps_inputs_in_the_folder_of_a_class(run_cnnkit, photos, tmp_path) -> None:
    folder = tmp_path / "sorted" / "person"
    folder.mkdir(parents=True)
    for name in ("a.jpg", "a-1.jpg", "a-2.jpg"):
        (folder / name).write_bytes((photos / "sub" / "photographer.jpg").read_bytes())
    done = run_cnnkit("detect", "a.jpg", "--crops", "..", "--overwrite", cwd=folder)
    assert (done.returncode, "must differ from the folders" in done.stderr) == (2, True)
    assert set(files_below(folder)) == {"a.jpg", "a-1.jpg", "a-2.jpg"}


def test_two_runs_at_once_do_not_share_a_folder(run_cnnkit, photos, tmp_path) -> None:
    with claimed_folders([tmp_path / "drawn"], replaces=False):
        done = run_cnnkit("detect", "photos", "--annotate", "drawn", "--overwrite")
        assert done.returncode == 2
        assert "drawn" in done.stderr and "another run" in done.stderr
    assert not (tmp_path / "drawn").exists()  # nothing came into it
