from __future__ import annotations

import numpy as np
import pytest

from cnnkit.style.optimization import Optimization
from cnnkit.style.settings import OptimizationSettings
from cnnkit.style.state import load_state, save_state
from cnnkit.style.targets import Style, StyleTarget

RUN = {"sha256": "x"}


@pytest.fixture(scope="module")
def make(steps, small):
    content, style = small("cat.jpg", 104, 184), small("coffee.jpg", 104, 184)

    def optimization(mask=None, size=(104, 184), **settings) -> Optimization:
        settings = OptimizationSettings(**{"steps": 12, **settings})
        target = StyleTarget(steps, [Style("s", style)], settings.style_scale)
        return Optimization(steps, content, size, target, settings, mask=mask)

    optimization.content = content
    return optimization


@pytest.fixture(scope="module")
def undisturbed(make):
    """The image of a run that nothing stops."""
    return make().run()


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("l-bfgs", marks=pytest.mark.slow)])
def test_the_style_loss_falls(make, optimizer):
    told = []
    result = make(steps=24, beta=1000.0, optimizer=optimizer).run(told.append)
    assert result.shape == (104, 184, 3)
    assert result.min() >= 0 and result.max() <= 255
    assert told[-1].style < 0.15
    assert told[-1].step == 24 and told[-1].size == (104, 184)


def test_the_same_seed_gives_the_same_image_and_scales_differ(make):
    one, again, other = (make(seed=seed, start="noise", steps=8).run() for seed in (1, 1, 2))
    assert np.abs(one - again).mean() < 0.5
    assert np.abs(one - other).mean() > 5


@pytest.mark.parametrize("stop", [1, 5, 6, 7, 11])
def test_a_run_that_is_gone_on_with_ends_like_an_undisturbed_one(make, undisturbed, stop, tmp_path):
    file = tmp_path / "state.safetensors"

    class Killed(Exception):
        pass

    def watch(progress):
        if progress.step == stop:
            save_state(file, progress.state, RUN)
            raise Killed

    with pytest.raises(Killed):
        make().run(watch)
    later = make()
    sizes = [(scale.height, scale.width) for scale in later.scales]
    later.state = load_state(file, RUN, sizes)
    assert later.state.count == stop
    resumed = later.run()
    assert np.abs(resumed - undisturbed).mean() < 2
    assert later.state.count == 12


def test_what_the_mask_keeps_out_does_not_move(make):
    mask = np.zeros((104, 184, 1), np.float32)
    mask[:, :92] = 1
    result = make(mask=mask, steps=6).run()
    assert np.abs(result[:, 100:] - make.content[:, 100:]).mean() < 6
    assert np.abs(result[:, :84] - make.content[:, :84]).mean() > 5


def test_a_time_budget_ends_early_and_still_reaches_the_last_scale(make):
    run = make(steps=100_000, time_budget=2.0)
    sizes = []
    run.run(lambda progress: sizes.append(progress.size))
    assert run.state.count < 100_000
    assert sizes[-1] == (104, 184)


def test_strength_nought_keeps_the_image(make):
    result = make(alpha=1.0, beta=0.0, variation=0.0).run()
    assert np.abs(result - make.content).mean() < 6


def test_a_new_scale_never_makes_a_step_without_bound(make):
    jumps, before = [], None

    def watch(progress):
        nonlocal before
        if before is not None and before.shape == progress.state.pixels.shape:
            jumps.append(np.abs(progress.state.pixels - before).max())
        before = progress.state.pixels.copy()

    make(steps=24).run(watch)
    assert max(jumps) < 40  # levels; the rate is 5, and Adam's first steps may be some of it
