"""``cnnkit transfer-learn`` where it trains the whole network: its options, digits, and kills."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.classification.training.drawings import draw, write_digits

COMMAND = [sys.executable, "-m", "cnnkit", "transfer-learn"]


@pytest.mark.slow
def test_lenet_5_reads_digits(run_cnnkit, tmp_path):
    write_digits(tmp_path / "digits")
    arguments = "--from-scratch lenet-5 --augment none --epochs 8 --learning-rate 0.002".split()
    done = run_cnnkit(
        "transfer-learn", "digits", "-o", "d", *arguments, "--assert-accuracy", "0.98"
    )
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "d" / "card.json").read_text())
    assert card["training"]["metrics"]["val"]["top_1"] >= 0.98
    # For gray images as it is, but what it is given is RGB.
    assert card["architecture"]["arguments"] == {"classes": 10, "input_shape": [32, 32, 3]}
    done = run_cnnkit("evaluate", "--model", "d", "digits/val", "--json")
    found = json.loads(done.stdout)["metrics"]["top_1"]
    assert found == pytest.approx(card["training"]["metrics"]["val"]["top_1"], abs=0.003)


@pytest.mark.slow
def test_every_option_of_training_does_what_it_says(run_cnnkit, tmp_path):
    draw(tmp_path / "photos", count=8)
    options = "--fine-tune 1 --stages 2 --train-bn --lr-find --deterministic --mix cutmix".split()
    options += ["--tensorboard", "logs", "--backbone", "squeezenet-1.1", "--batch-size", "8"]
    done = run_cnnkit("transfer-learn", "photos", "-o", "b", *options)
    assert done.returncode == 0, done.stderr
    said = done.stderr
    # Nothing of TensorFlow's own log, which begins otherwise.
    assert all(line.startswith("cnnkit: ") for line in said.splitlines())
    assert "learning rate: " in said and " suggested after " in said
    assert "--deterministic: training runs without XLA." in said
    assert "epoch 1 of 1: loss " in said
    assert len(list((tmp_path / "logs").glob("events.out.tfevents.*"))) == 1
    assert "Search for the learning rate" in (tmp_path / "b" / "report.html").read_text()
    record = json.loads((tmp_path / "b" / "card.json").read_text())["training"]
    plan = record["network"]["plan"]
    assert (plan["stages"], plan["train_bn"], plan["deterministic"]) == (2, True, True)
    assert record["arguments"]["mix"] == "cutmix"


def epochs_of(bundle):
    """Return the rows of the network's epochs and the figures of a bundle."""
    rows = [r for r in csv.DictReader((bundle / "history.csv").open()) if r["stage"] == "network"]
    card = json.loads((bundle / "card.json").read_text())
    return rows, card["training"]["metrics"], card["weights"]["sha256"]


def killed_in_training(process, chance):
    """Kill a run some moments after it told of an epoch or two; return whether it still ran."""
    left = chance.randint(1, 2)
    for line in process.stderr:
        left -= ": epoch " in line
        if not left:
            time.sleep(chance.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("mix", ["none", "mixup"])
def test_killed_at_ten_random_moments_and_resumed(clean_environment, tmp_path, mix):
    draw(tmp_path / "photos", count=12)
    options = "--from-scratch lenet-5 --epochs 60 --batch-size 4 --resume --mix".split()

    def started(name):
        return subprocess.Popen(
            [*COMMAND, "photos", "-o", name, *options, mix],
            cwd=tmp_path,
            env=clean_environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole = started("whole")
    assert whole.communicate()[1] and whole.returncode == 0
    chance, kills = random.Random(time.time_ns()), 0
    while kills < 10 and killed_in_training(started("killed"), chance):
        kills += 1
    assert kills >= 2
    if not (tmp_path / "killed").exists():
        last = started("killed")
        assert last.communicate()[1] and last.returncode == 0
    assert epochs_of(tmp_path / "killed") == epochs_of(tmp_path / "whole")
    hidden = [path.name for path in tmp_path.iterdir() if path.name.startswith(".cnnkit-")]
    assert hidden == []
    assert not (tmp_path / "killed.part").exists()
