"""``cnnkit shapes`` as text: status, standard output and standard error."""

from __future__ import annotations

import json
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "shapes.txt"
COURSE_NET = ["conv 10 3x3", "conv 20 5x5/2", "conv 40 5x5/2", "flatten", "dense 10", "softmax"]


def test_every_layer_is_shown_with_its_formulas(run_cnnkit):
    done = run_cnnkit("shapes", "--input", "39x39x3", *COURSE_NET)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == GOLDEN.read_text(encoding="utf-8")


def test_json(run_cnnkit):
    done = run_cnnkit("shapes", "--input", "39x39x3", *COURSE_NET, "--json")
    content = json.loads(done.stdout)
    assert [layer["output"] for layer in content["layers"][:3]] == [
        [37, 37, 10],
        [17, 17, 20],
        [7, 7, 40],
    ]
    assert content["totals"] == {"parameters": 44950, "multiplies": 2814230, "activations": 23410}


def test_a_mistake_is_underlined(run_cnnkit):
    done = run_cnnkit("shapes", "--input", "39x39x3", "conv 10 3x3", "conv 20 5y5/2")
    assert (done.returncode, done.stdout) == (2, "")
    first, second, third = done.stderr.splitlines()
    assert (first, second) == ("  conv 20 5y5/2", "          ^^^^^")
    assert third.startswith('cnnkit: error: layer 2 ("conv 20 5y5/2"): the kernel must be')
