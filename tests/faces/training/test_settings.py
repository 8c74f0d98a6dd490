"""What a run of train-face may be asked."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from cnnkit.errors import UsageError
from cnnkit.faces.training import EmbedderSettings

FROM_SCRATCH = {"network": "embedding-small", "loss": "semi-hard"}


def asked(**changes) -> EmbedderSettings:
    """Return the settings of a training from scratch."""
    return EmbedderSettings("d", Path("b"), **FROM_SCRATCH | changes)


def test_the_rates_and_sides_of_the_two_networks():
    assert asked().rate == 1e-3
    assert EmbedderSettings("d", Path("b")).rate == 1e-5
    assert EmbedderSettings("d", Path("b"), size=64).side == 150
    assert asked(size=64).side == 64
    assert not EmbedderSettings("d", Path("b")).trains


def test_the_defaults_are_those_of_train_face():
    from cnnkit.commands.train_face import train_face

    function = inspect.signature(train_face).parameters
    settings = EmbedderSettings("d", Path("b"))
    assert settings.loss == "head"  # what train_face chooses for its network
    shared = set(function) & set(vars(settings)) - {"data", "output", "loss", "max_bad"}
    assert len(shared) >= 18
    for name in shared - {"max_pixels"}:
        assert getattr(settings, name) == function[name].default, name


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"network": "lenet-5"}, "`network`"),
        ({"loss": "contrastive"}, "`loss`"),
        ({"loss": "head"}, "`loss='head'`"),
        ({"network": "dlib-face", "crop": "none"}, "`crop`"),
        ({"margin": 0.0}, "`margin`"),
        ({"margin": float("nan")}, "`margin`"),
        ({"learning_rate": 0.0}, "`learning_rate`"),
        ({"people": 1}, "`people`"),
        ({"photos": 1}, "`photos`"),
        ({"dimensions": 5000}, "`dimensions`"),
        ({"size": 4}, "`size`"),
        ({"epochs": 0}, "`epochs`"),
        ({"seed": -1}, "`seed`"),
        ({"split_by": "chance"}, "`split_by`"),
        ({"network": "dlib-face", "loss": "head", "resume": True}, "`resume`"),
    ],
)
def test_what_is_refused(changes, option):
    with pytest.raises(UsageError, match=f"^{option} must"):
        asked(**changes)


def test_the_soft_margin_belongs_to_batch_hard():
    assert asked(loss="batch-hard", margin=0.0).margin == 0
