"""`cnnkit verify-face` as a user runs it: text, exit status, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faces.astronauts import write_astronauts


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    return write_astronauts(tmp_path_factory.mktemp("pictures"), examples)


def test_one_person_and_a_drawing(run_cnnkit: Callable, images: Path, tmp_path: Path) -> None:
    command = ("verify-face", images / "passport.jpg", images / "selfie.jpg")
    done = run_cnnkit(*command, "--annotate", "why.png")
    assert (done.returncode, done.stderr.count("Compiling") <= 2) == (0, True), done.stderr
    assert done.stdout.startswith("same person: distance 0.")
    assert "threshold 0.600, probability of the same person over 99.9%" in done.stdout
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.height == 480 + 44 and drawn.width > 900
    again = run_cnnkit(*command, "--annotate", "why.png")
    assert (again.returncode, again.stdout) == (2, "")
    assert "why.png exists already. Use --overwrite" in again.stderr


def test_a_strict_threshold_says_no(run_cnnkit: Callable, images: Path) -> None:
    names = (images / "passport.jpg", images / "selfie.jpg")
    done = run_cnnkit("verify-face", *names, "--threshold", "0.01", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    row = json.loads(done.stdout)
    assert list(row)[:5] == ["a", "b", "status", "distance", "threshold"]
    assert (row["same"], row["threshold"], len(row["faces"])) == (False, 0.01, 2)
    assert set(row["faces"][0]["landmarks"]) == {
        *("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    }


def test_several_faces_are_drawn_where_it_cannot_be_told(
    run_cnnkit: Callable, images: Path, tmp_path: Path
) -> None:
    names = (images / "passport.jpg", images / "two.jpg")
    done = run_cnnkit("verify-face", *names, "--annotate", "why.png")
    assert done.returncode == 2 and done.stdout.startswith("undecided: ")
    with Image.open(tmp_path / "why.png") as drawn:
        # 480 x 480 and 960 x 480, beside each other.
        assert drawn.width == 480 + 8 + 960 and drawn.height >= 480 + 44
        assert drawn.getpixel((drawn.width - 4, drawn.height - 4)) == (84, 84, 92)
        marked = np.asarray(drawn.convert("RGB"))[:480, 488:]
    with Image.open(images / "two.jpg") as plain:
        before = np.asarray(plain.convert("RGB").resize((960, 480), Image.Resampling.BILINEAR))
    changed = np.abs(marked.astype(int) - before).max(axis=2) > 60
    assert changed[:, :480].sum() > 500 and changed[:, 480:].sum() > 500  # a face in each half
    gone = run_cnnkit("verify-face", images / "torn.jpg", "none.jpg", "--annotate", "none.png")
    assert gone.returncode == 2 and not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("coffee.jpg", "coffee.jpg: no face of at least 40 pixels was found"),
        (
            "two.jpg",
            "two.jpg: 2 faces were found: which one is meant? choose largest or all",
        ),
        ("torn.jpg", "torn.jpg: the JPEG file ends early"),
    ],
)
def test_what_cannot_be_told_is_status_2(
    run_cnnkit: Callable, images: Path, other: str, told: str
) -> None:
    done = run_cnnkit("verify-face", images / "passport.jpg", images / other)
    assert done.returncode == 2
    assert done.stdout.startswith("undecided: ") and told in done.stdout
    assert done.stdout.count("\n") == 1


def test_pairs(run_cnnkit: Callable, images: Path, tmp_path: Path) -> None:
    lines = ["a,b,same", "passport.jpg,selfie.jpg,1", "selfie.jpg,coffee.jpg,0"]
    lines.append("two.jpg,selfie.jpg,")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    command = ("verify-face", "--pairs", "pairs.csv", "--root", images)
    done = run_cnnkit(*command, "-o", "rows.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("1 ok, 2 failed, 0 skipped in ")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok", "error", "error"]
    assert [row.get("error", {}).get("kind") for row in rows[1:]] == ["no-face", "several-faces"]
    assert (rows[0]["same"], rows[0]["expected"]) == (True, True)
    (tmp_path / "well.csv").write_text("\n".join(lines[:2]))
    well = run_cnnkit("verify-face", "--pairs", "well.csv", "--root", images, "--format", "csv")
    assert well.returncode == 0  # whatever the verdict
    assert len(well.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Two images are required. Received: 0."),
        (("a.jpg",), "Two images are required. Received: 1."),
        (("a.jpg", "--gallery", "g"), "--gallery requires --as"),
        (("a.jpg", "b.jpg", "--root", "x"), "--root requires --pairs"),
        (("a.jpg", "b.jpg", "-o", "x.jsonl"), "-o requires --pairs"),
        (("a.jpg", "b.jpg", "--passphrase-file", "x"), "--passphrase-file requires --gallery"),
        (("a.jpg", "b.jpg", "--annotate", "x.gif"), "--annotate must end in .png or .jpg"),
        (("--pairs", "p.csv", "--json"), "--json and --pairs are mutually exclusive"),
        (("--pairs", "none.csv"), "none.csv cannot be read: No such file"),
        (("a.jpg", "b.jpg", "--embedder", "mtcnn"), "--embedder must be a model for embed-face"),
        (("a.jpg", "b.jpg", "--min-face", "3"), "--min-face must be at least 12 pixels"),
    ],
)
def test_a_wrong_command_is_one_line(
    run_cnnkit_here: Callable, arguments: tuple, told: str
) -> None:
    done = run_cnnkit_here("verify-face", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr and len(done.stderr.splitlines()) == 1
