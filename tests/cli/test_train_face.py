"""``cnnkit train-face`` as a user meets it."""

from __future__ import annotations

import pytest

from tests.faces.training.digits import write_digits


@pytest.mark.slow  # docs/train-face.md trains in the default tests
def test_a_run_says_what_it_came_to_and_its_status_tells_of_a_missed_figure(run_cnnkit, tmp_path):
    write_digits(tmp_path / "digits", each=6)
    arguments = ["train-face", "digits", "-o", "ours", "--network", "embedding-small"]
    arguments += ["--crop", "none", "--size", "16", "--epochs", "1", "--augment", "none"]
    done = run_cnnkit(*arguments, "--people", "4", "--photos", "2", "--assert-auc", "1")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    pairs = "30 same-person and 36 different-person pairs (unseen people):"
    assert lines[0] == f"validation, 2 people, {pairs}"
    assert lines[1].lstrip().startswith("AUC 0.")
    assert lines[-1].strip() == "cnnkit verify-face --embedder ours A B"
    assert "--assert-auc 1 failed" in done.stderr
    # Nothing of TensorFlow's own log, which begins otherwise.
    assert all(line.startswith("cnnkit: ") for line in done.stderr.splitlines())
    assert (tmp_path / "ours" / "report.html").is_file()


def test_what_cannot_be_learned_is_one_line(run_cnnkit, tmp_path):
    write_digits(tmp_path / "digits", each=1)
    done = run_cnnkit("train-face", "digits", "-o", "ours", "--crop", "none")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--crop must be face with --network dlib-face" in done.stderr
    options = ("--crop", "none", "--network", "embedding-small")
    done = run_cnnkit("train-face", "digits", "-o", "ours", *options)
    assert done.returncode == 2
    assert "at least 4 people with 2 photos each" in done.stderr.splitlines()[-1]
