"""``cnnkit dedupe`` on the command line."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

from cnnkit.cli import _run, group


@pytest.fixture
def photos(tmp_path, examples, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("cat.jpg", "rocket.jpg"):
        shutil.copy(examples / name, tmp_path / "photos")
    shutil.copy(examples / "cat.jpg", tmp_path / "photos" / "\x1b[31mevil.jpg")
    return tmp_path / "photos"


def dedupe(*arguments):
    return CliRunner().invoke(group, ["dedupe", "photos", *arguments])


def test_rows_go_to_a_pipe_and_groups_to_people(photos):
    done = dedupe()
    assert done.exit_code == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["copy"] for row in rows] == [None, "exact", None]
    assert done.stderr == (
        "3 images, 1 exact copy and 0 near copies in 1 group, 0 failed. No file was changed.\n"
    )
    table = dedupe("--format", "table").stdout
    assert table == (
        "keep       451x300  photos/\\x1b[31mevil.jpg\nexact      451x300  photos/cat.jpg\n"
    )


def test_a_run_that_is_refused_shows_no_table(photos):
    done = dedupe("--min-score", "0.5", "--format", "csv")
    assert done.exit_code != 0 and done.stdout == ""


def test_a_bad_input_is_a_row_and_status_1(photos):
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    done = dedupe("--format", "csv")
    assert done.exit_code == 1
    assert "photos/bad.jpg,error,,,,,,truncated," in done.stdout
    done = dedupe("--format", "table", "-q")
    assert "photos/bad.jpg: the JPEG file ends early" in done.stderr


def test_copies_are_moved_and_nothing_else(photos):
    done = dedupe("--sort-into", "copies", "--how", "move", "-o", "rows.jsonl")
    assert done.exit_code == 0 and done.stdout == ""
    assert done.stderr.endswith("1 moved into copies\n")
    assert sorted(path.name for path in photos.iterdir()) == ["\x1b[31mevil.jpg", "rocket.jpg"]
    [moved] = (photos.parent / "copies" / "group-00001").iterdir()
    assert moved.name == "cat.jpg"


def test_look_alikes_are_shown_below_the_copies(photos):
    with Image.open(photos / "cat.jpg") as cat:
        cat.crop((45, 30, cat.width, cat.height)).save(photos / "part.png")
    options = ("--look-alikes", "--model", "squeezenet-1.1")
    done = dedupe(*options, "--format", "table")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[-1]) for line in lines[:3]] == [
        ("keep", "photos/\\x1b[31mevil.jpg"),
        ("exact", "photos/cat.jpg"),
        ("image", "photos/\\x1b[31mevil.jpg"),
    ]
    assert 0.86 < float(lines[3][0]) < 1 and lines[3][-1] == "photos/part.png"
    assert "in 1 group, 1 look-alike in 1 group, 0 failed" in done.stderr
    header, *rows = dedupe(*options, "--format", "csv").stdout.splitlines()
    assert "original,width,height,look_alike_group,look_alike_of,similarity," in header
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--all-pairs", "--all-pairs requires --look-alikes."),
        ("--look-alikes --model mine", "--min-score is required."),
    ],
)
def test_options_of_look_alikes_are_named_as_such(photos, monkeypatch, capfd, line, said):
    monkeypatch.setattr("sys.argv", ["cnnkit", "dedupe", "photos", *line.split()])
    assert _run() == 2
    assert said in capfd.readouterr().err
