from __future__ import annotations

import pytest

from cnnkit.errors import UsageError
from cnnkit.style import estimate
from cnnkit.style.settings import OptimizationSettings


def test_memory_grows_with_the_image_and_tiles_bound_it(steps):
    sizes = [(512, 512), (1024, 1024), (4096, 4096)]
    whole = [estimate.memory_needed(steps, size, None, 0) for size in sizes]
    tiled = [estimate.memory_needed(steps, size, 512, 0) for size in sizes]
    assert whole == sorted(whole) and tiled == sorted(tiled)
    assert whole[2] > 4 * tiled[2]


def test_what_does_not_fit_is_tiled_or_refused_with_advice(steps, monkeypatch):
    monkeypatch.setattr(estimate, "resident_memory", lambda: 0)
    room = estimate.memory_needed(steps, (2048, 2048), 512, 0) / estimate.USABLE

    def with_memory(bytes_):
        monkeypatch.setattr(estimate, "available_memory", lambda: bytes_)

    with_memory(int(room * 10))
    assert estimate.chosen_tile(steps, (2048, 2048), "auto") is None
    assert estimate.chosen_tile(steps, (2048, 2048), "256") == 256
    with_memory(int(room * 1.05))
    assert estimate.chosen_tile(steps, (2048, 2048), "auto") == estimate.TILE
    with pytest.raises(UsageError, match="a smaller `size`, or `tile='auto'`"):
        estimate.chosen_tile(steps, (2048, 2048), "none")
    with_memory(int(room * 0.2))
    with pytest.raises(UsageError, match="the result must fit into"):
        estimate.chosen_tile(steps, (2048, 2048), "auto")
    with_memory(None)
    assert estimate.chosen_tile(steps, (2048, 2048), "auto") is None


def test_time_grows_with_steps_and_pixels_and_keeps_to_the_budget(steps):
    def seconds(size, **settings):
        return estimate.estimated_seconds(steps, size, OptimizationSettings(**settings), 1e-6)

    assert seconds((512, 512), steps=400) > 1.5 * seconds((512, 512), steps=100)
    assert seconds((1024, 1024)) > 2 * seconds((512, 512))
    assert seconds((1024, 1024), tile=256) > seconds((1024, 1024))
    assert seconds((1024, 1024), time_budget=9.0) == 9
