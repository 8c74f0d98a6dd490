"""`cnnkit evaluate --model dlib-face` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.faces.astronauts import write_astronauts


def test_lfws_list_and_a_report(run_cnnkit: Callable, tmp_path: Path, examples: Path) -> None:
    """Two people of two images each: coffee has no face, so half of the pairs fail."""
    made = write_astronauts(tmp_path / "made", examples)
    for person, names in {
        "Eileen_Collins": ("passport.jpg", "selfie.jpg"),
        "A_Cup": ("coffee.jpg", "coffee.jpg"),
    }.items():
        folder = tmp_path / "lfw" / person
        folder.mkdir(parents=True)
        for number, name in enumerate(names, start=1):
            (folder / f"{person}_{number:04d}.jpg").write_bytes((made / name).read_bytes())
    lines = ["1", "Eileen_Collins\t1\t2", "Eileen_Collins\t1\tA_Cup\t1"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    alone = run_cnnkit("evaluate", "--model", "dlib-face", "pairs.txt", "--root", "lfw")
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "must hold readable pairs of one person and of two" in alone.stderr
    (tmp_path / "pairs.csv").write_text(
        "a,b,same\npassport.jpg,selfie.jpg,1\ntwo.jpg,selfie.jpg,1\n"
        "passport.jpg,coffee.jpg,0\ntwo.jpg,passport.jpg,0\n"
    )
    done = run_cnnkit(
        *("evaluate", "--model", "dlib-face", "pairs.csv", "--root", "made"),
        *("--json", "--report", "report.html"),
    )
    assert done.returncode == 1, done.stderr
    figures = json.loads(done.stdout)
    assert figures["data"] == {"path": "pairs.csv", "pairs": 4, "repeated": 0, "errors": 1}
    assert figures["metrics"]["same_pairs"] == 2
    assert figures["mistakes"][0]["expected"] is False  # the list itself is wrong there
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Most confident mistakes" in page and "no-face" in page


def test_the_embedder_is_evaluated_in_8_bit_integers(
    run_cnnkit: Callable, tmp_path: Path, examples: Path
) -> None:
    """As in `verify-face`, where the detector stays in float32; it was refused for the detector."""
    write_astronauts(tmp_path / "made", examples)
    (tmp_path / "pairs.csv").write_text(
        "a,b,same\npassport.jpg,selfie.jpg,1\ntwo.jpg,passport.jpg,0\n"
    )
    done = run_cnnkit(
        *("evaluate", "--model", "dlib-face", "pairs.csv", "--root", "made"),
        *("--precision", "int8"),
    )
    assert done.returncode == 0, done.stderr
    assert "2 pairs (1 same, 1 different), 0 could not be compared" in done.stdout
