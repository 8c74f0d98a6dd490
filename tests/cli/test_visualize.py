"""``cnnkit visualize`` as a user runs it."""

from __future__ import annotations

import csv
import shutil

import pytest

from cnnkit.images import decode
from tests.explanation.small import saved


def test_patches_of_a_folder(run_cnnkit, examples, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("cat.jpg", "coffee.jpg", "rocket.jpg"):
        shutil.copy(examples / name, folder)
    shutil.copy(examples / "cat.jpg", folder / "copy.jpg")
    (folder / "torn.jpg").write_bytes((examples / "cat.jpg").read_bytes()[:9000])
    model = saved(tmp_path, "pooled")
    done = run_cnnkit(
        *("visualize", "patches", "photos", "--model", model, "--layer", "first", "--units", "0-2"),
        *("-o", "patches.csv", "--sheets", "sheets", "--report", "patches.html"),
    )
    assert done.returncode == 1, done.stderr
    assert "photos/torn.jpg: truncated" in done.stderr and "4 images, 3 units" in done.stderr
    with (tmp_path / "patches.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # A copy of an image counts once, and the first of them is named.
    assert {row["path"] for row in rows} <= {f"photos/{n}.jpg" for n in ("cat", "coffee", "rocket")}
    for unit in ("0", "1", "2"):
        values = [float(row["activation"]) for row in rows if row["unit"] == unit]
        assert values == sorted(values, reverse=True) and len(values) <= 3
    for row in rows:
        assert int(row["left"]) < int(row["right"]) and int(row["top"]) < int(row["bottom"])
    assert decode((tmp_path / "sheets" / "sheet-001.jpg").read_bytes()).shape[2] == 3
    page = (tmp_path / "patches.html").read_text()
    assert page.count("data:image/jpeg") == len({row["unit"] for row in rows})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["filters"], "-o or --report is required"),
        (["filters", "-o", "a.gif"], "-o must end in one of .png"),
        (["activations", "missing.jpg", "-o", "no.txt/x", "--report", "a.txt"], "end in .html"),
        (["activations", "missing.jpg", "-o", "a.png"], "-o must name a folder. Received: a.png"),
        (["patches", "photos", "-o", "rows.jsonl"], "-o must end in .csv"),
        (["dream", "--layer", "first", "-o", "a.png"], "--layer requires --units"),
        (["dreams"], "No such command"),
    ],
)
def test_what_breaks_a_rule_is_one_clear_line(run_cnnkit_here, arguments, message):
    done = run_cnnkit_here("visualize", *arguments)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
