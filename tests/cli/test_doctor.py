from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.data.images import class_folders, save, scene
from tests.formats.drawn_boxes import draw_boxes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", {"cat": 20, "dog": 20})


def test_a_clean_set_exits_with_0(run_cnnkit, photos: Path) -> None:
    done = run_cnnkit("doctor", "photos")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "photos: 40 images, 2 classes (cat 20, dog 20)\nFound nothing that would hurt training.\n"
    )
    assert "40 images read in" in done.stderr
    quiet = run_cnnkit("doctor", "photos", "-q")
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_notes_alone_exit_with_0(run_cnnkit, photos: Path) -> None:
    (photos / "list.txt").write_text("text")
    done = run_cnnkit("doctor", "photos")
    assert done.returncode == 0
    assert "note     1 file beside the class folders: not used  [stray-files]" in done.stdout
    assert done.stdout.endswith("1 note: nothing that would hurt training.\n")


def test_what_hurts_is_named_and_exits_with_1(run_cnnkit, photos: Path) -> None:
    (photos / "cat/\x1b[31m.jpg").write_bytes(b"")
    shutil.copy(photos / "cat/003.jpg", photos / "dog/copy.jpg")
    done = run_cnnkit("doctor", "photos")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[1:4] == [
        "error    1 file cannot be read  [unreadable]",
        r"           photos/cat/\x1b[31m.jpg  empty: the file has no content (0 bytes)",
        "         Replace or remove them; training skips them and names them.",
    ]
    assert "           photos/cat/003.jpg = photos/dog/copy.jpg" in lines
    assert lines[-1] == "2 errors: fix before training."


def test_json_is_one_document_and_the_same_findings(run_cnnkit, photos: Path) -> None:
    save(photos / "dog/small.jpg", scene(25, 20, 20))
    done = run_cnnkit("doctor", "photos", "--json", "-q")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert [(f["severity"], f["code"]) for f in found["findings"]] == [("warning", "tiny")]
    assert found["findings"][0]["groups"][0][0]["path"] == "photos/dog/small.jpg"


def test_the_report_is_one_safe_page_with_thumbnails(run_cnnkit, photos: Path, tmp_path) -> None:
    shutil.copy(photos / "cat/003.jpg", photos / "cat/<script>alert(1)<.jpg")
    done = run_cnnkit("doctor", "photos", "--report", "page.html")
    assert done.returncode == 1, done.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') == 2
    assert "<script>alert" not in page
    assert "exact-duplicates" in page
    again = run_cnnkit("doctor", "photos", "--report", "page.html")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert run_cnnkit("doctor", "photos", "--report", "page.html", "--overwrite").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "DATA must be a folder or a CSV. Received: none."),
        (["photos/cat"], "DATA must hold a folder for each class"),
        (["photos", "--root", "x"], "--root requires a CSV"),
        (["photos", "--report", "page.txt"], "--report must end in .html"),
        ([], "Missing argument 'DATA'"),
    ],
)
def test_what_cannot_run_exits_with_2_and_one_line(
    run_cnnkit_here, photos, arguments, message
) -> None:
    done = run_cnnkit_here("doctor", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_csv_with_its_root(run_cnnkit, photos: Path, tmp_path: Path) -> None:
    rows = [f"{p.parent.name}/{p.name},{p.parent.name}" for p in sorted(photos.glob("*/*"))]
    (tmp_path / "set.csv").write_text("\n".join(["file,label", *rows]))
    done = run_cnnkit("doctor", "set.csv", "--root", "photos")
    assert done.returncode == 0, done.stdout + done.stderr


def test_boxes_are_examined_and_wrong_ones_named(run_cnnkit, tmp_path: Path) -> None:
    draw_boxes(tmp_path / "shapes", count=24)
    done = run_cnnkit("doctor", "shapes")
    assert done.returncode == 0, done.stderr
    head = "shapes: 24 images, 48 boxes, 2 classes (disc "
    assert done.stdout.startswith(head)
    first = tmp_path / "shapes/annotations/000.xml"
    first.write_text(first.read_text().replace("<xmax>", "<xmax>9"))
    wrong = run_cnnkit("doctor", "voc:shapes/annotations", "--report", "doctor.html", "--json")
    assert wrong.returncode == 1
    [finding] = [f for f in json.loads(wrong.stdout)["findings"] if f["severity"] == "warning"]
    assert finding["code"] == "outside"
    assert (tmp_path / "doctor.html").stat().st_size > 1000
