"""``cnnkit network`` as text: status, standard output and standard error."""

from __future__ import annotations

import json
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "network-lenet-5.txt"


def test_the_list_needs_no_framework(run_cnnkit):
    done = run_cnnkit(
        "network", "--list", environment={"KERAS_BACKEND": "no-such-backend"}, fresh=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    line = next(line for line in done.stdout.splitlines() if line.startswith("vgg-16"))
    assert "138,357,544  15,470,264,320  VGG-16 (2014): column D" in line


def test_table_drawing_and_page(run_cnnkit, tmp_path):
    files = ("--diagram", "lenet.svg", "--report", "lenet.html")
    done = run_cnnkit("network", "lenet-5", *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == GOLDEN.read_text(encoding="utf-8")
    svg = (tmp_path / "lenet.svg").read_text(encoding="utf-8")
    page = (tmp_path / "lenet.html").read_text(encoding="utf-8")
    assert svg.startswith("<svg") and svg in page
    assert '<th scope="row" dir="auto">hidden1</th>' in page


def test_json(run_cnnkit):
    done = run_cnnkit("network", "lenet-5", "--input", "28x28x1", "--classes", "26", "--json")
    content = json.loads(done.stdout)
    assert content["layers"][0]["output"] == [28, 28, 1]
    assert content["layers"][-1]["output"] == [26]
    assert content["totals"]["parameters"] == 156 + 2416 + 30_840 + 10_164 + 85 * 26


def test_what_is_refused_before_the_work_begins(run_cnnkit, tmp_path):
    (tmp_path / "there.svg").touch()
    for arguments, told in (
        ((), "Exactly one of NAME and --list is required"),
        (("lenet-5", "--diagram", "x.gif"), "--diagram must end in .svg or .png"),
        (("lenet-5", "--diagram", "there.svg"), "there.svg exists already"),
        (("lenet-5", "--input", "huge"), "--input must be HEIGHTxWIDTHxCHANNELS"),
    ):
        done = run_cnnkit("network", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr and len(done.stderr.splitlines()) == 1
