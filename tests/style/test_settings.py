from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnkit.errors import UsageError
from cnnkit.losses.style import ALPHA, BETA
from cnnkit.style.settings import (
    OptimizationSettings,
    fitted_size,
    loss_weights,
    scales_of,
    tile_choice,
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 63}, "`size` must lie between 64 and 16384"),
        ({"steps": 0}, "`steps` must lie between 1"),
        ({"alpha": -1.0}, "`alpha` must"),
        ({"beta": float("nan")}, "`beta` must lie between"),
        ({"alpha": 0.0, "beta": 0.0}, "`alpha` and `beta` must not both be 0"),
        ({"style_scale": 0.0}, "`style_scale` must"),
        ({"seed": -1}, "`seed` must"),
        ({"optimizer": "sgd"}, "`optimizer` must be one of adam, l-bfgs"),
        ({"tile": 64}, "`tile` must"),
        ({"time_budget": 0.5}, "`time_budget` must"),
        (
            {"optimizer": "l-bfgs", "tile": 256},
            "`optimizer='l-bfgs'` and `tile` are mutually exclusive",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        OptimizationSettings(**values)


def test_strength_is_the_share_of_beta():
    assert (OptimizationSettings().alpha, OptimizationSettings().beta) == (ALPHA, BETA)
    assert OptimizationSettings().strength == pytest.approx(0.8)
    assert OptimizationSettings(alpha=1, beta=3).strength == pytest.approx(0.75)


@given(st.integers(64, 3000), st.integers(64, 3000), st.integers(1, 1000))
def test_scales_grow_to_the_result_and_share_the_steps(height, width, steps):
    scales = scales_of(height, width, steps, 64)
    assert (scales[-1].height, scales[-1].width) == (height, width)
    assert sum(scale.steps for scale in scales) == steps
    assert all(scale.steps > 0 for scale in scales)
    assert min(min(scale.height, scale.width) for scale in scales) >= 64
    sides = [scale.long_side for scale in scales]
    assert sides == sorted(set(sides))
    shares = [scale.budget_share for scale in scales]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(64, 2000))
def test_fitted_sizes_keep_the_proportions(height, width, side):
    rows, columns = fitted_size(height, width, side)
    assert max(rows, columns) == side and min(rows, columns) >= 1
    assert abs(rows - height * side / max(height, width)) <= 1


def test_strength_is_alpha_and_beta():
    assert loss_weights(0.3, None, None) == {"alpha": 0.7, "beta": 0.3}
    assert loss_weights(None, 10.0, 40.0) == {"alpha": 10.0, "beta": 40.0}
    assert loss_weights(None, None, None) == {"alpha": None, "beta": None}
    with pytest.raises(UsageError, match="`strength` and `alpha` are mutually exclusive"):
        loss_weights(0.3, 1.0, None)
    with pytest.raises(UsageError, match="`strength` must lie between 0 and 1"):
        loss_weights(1.3, None, None)


def test_tiles_are_words_or_pixels():
    assert [tile_choice(tile) for tile in ("auto", "none", "256", 256)] == [
        *("auto", "none", "256", "256")
    ]
    for tile in ("big", "-1", "64", 64):
        with pytest.raises(UsageError, match="`tile` must"):
            tile_choice(tile)
