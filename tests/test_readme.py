"""Every command line and program of the README is run, in a folder laid out as it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnkit.images import decode, read_bytes
from tests.classification.training.drawings import draw
from tests.faces.astronauts import write_astronauts
from tests.faces.gallery.portraits import write_people
from tests.forked import run_forked

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


# Their networks take images as they are.
ANY_SIZE = ("find-face", "stylize")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def images(tmp_path: Path, examples: Path) -> Path:
    """Lay out the folders that the README speaks of, and return where they are."""
    shutil.copytree(examples, tmp_path / "photos", ignore=shutil.ignore_patterns("*.md"))
    draw(tmp_path / "classes", count=16)
    write_astronauts(tmp_path, examples)  # passport.jpg and selfie.jpg
    face = decode(read_bytes(str(examples / "astronaut.jpg")))
    write_people(tmp_path / "people", face, photos=2)
    shutil.copy(examples / "coffee.jpg", tmp_path / "painting.jpg")
    return tmp_path


# What takes a quarter of a minute or needs what such a line made: the default run leaves it out.
LENGTHY = re.compile(r"transfer-learn|\bmine\b|--steps")


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_command_lines_work_in_their_order(
    every: bool, images: Path, run_cnnkit: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines = [line for line in lines if every or not LENGTHY.search(line)]
    assert len(lines) >= 20
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "cnnkit"
        done = run_cnnkit(*arguments)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    made = {p.name for p in images.iterdir()}
    assert {"rows.jsonl", "rows.csv", "report.html", "sorted", "features.npy"} <= made


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_program_names_the_images(
    every: bool, images: Path, clean_environment: dict[str, str]
) -> None:
    (program,) = blocks("python")
    if not every:
        program, training, _ = program.partition("model = cnnkit.transfer_learn(")
        assert training
    done = run_forked(["-c", program], cwd=images, env=clean_environment)
    assert done.returncode == 0, done.stderr
    accuracy = r"top-1 [01]\.\d\d\n" if every else ""
    assert re.fullmatch(r"(.+ \d\.\d+\n){2}" + accuracy, done.stdout)
    assert "cat" in done.stdout.lower()
    rows = (images / "named.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == len(list((images / "photos").iterdir()))
    assert (images / "ours" / "card.json").is_file() == every


def test_the_table_of_models_is_that_of_the_cards() -> None:
    rows = {
        cells[1].split()[0]: cells for line in README.splitlines() if (cells := line.split("|"))[1:]
    }
    cards = [json.loads(p.read_text(encoding="utf-8")) for p in ROOT.glob("models/*/card.json")]
    assert len(cards) >= 2
    for card in cards:
        cells = [cell.strip() for cell in rows[card["name"]]]
        assert cells[4] == f"{card['weights']['parameters']:,}"
        assert cells[5] == card["license"]
        if card["task"] in ANY_SIZE:
            assert cells[3].startswith("any size")
        else:
            assert cells[3].startswith(f"{card['input']['height']} x {card['input']['width']},")


@pytest.mark.parametrize("verb", ["demo", "test"])
def test_the_verbs_are_in_the_makefile(verb: str) -> None:
    assert f"    make {verb} " in README
    done = subprocess.run(["make", "-n", verb], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"demo": "cnnkit classify examples/images", "test": "-m pytest"}[verb] in done.stdout
