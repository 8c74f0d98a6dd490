from __future__ import annotations

import random

import numpy as np
import pytest

from cnnkit.errors import UsageError
from cnnkit.reports.charts import line_chart
from cnnkit.training import ArrayBatches, find_learning_rate, train
from cnnkit.training.rate_search import valley
from tests.training.small import assert_same, examples, makers, plan, small_network, values

# (losses, place): the longest descent and the point half way from its first to its last.
VALLEYS = [
    ([5.0, 4.0, 3.0, 2.0, 1.0, 9.0], 2),
    ([1.0, 1.0, 1.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.4, 1.3, 8.0], 6),
    ([1.0, 2.0, 3.0], 0),
    ([2.0], 0),
]


@pytest.mark.parametrize(("losses", "place"), VALLEYS)
def test_the_valley_by_hand(losses: list[float], place: int) -> None:
    assert valley(losses) == place


def test_a_search_finds_a_rate_that_trains() -> None:
    model = small_network()
    search = find_learning_rate(model, makers()[0], plan())
    assert search.rates[0] == pytest.approx(1e-7)
    np.testing.assert_allclose(np.diff(np.log10(search.rates)), 8 / 99, rtol=1e-6)
    assert 10 <= len(search.rates) == len(search.losses) <= 100
    assert 1e-4 < search.suggestion < 1
    chart = line_chart(
        {"loss": search.points()}, title="Search", x_label="log10 of the rate", y_label="loss"
    )
    assert "<svg" in chart


def test_it_stops_where_the_loss_explodes() -> None:
    search = find_learning_rate(small_network(), makers()[0], plan(), lowest=1e-3, highest=1e6)
    assert len(search.rates) < 100
    assert search.losses[-1] > 4 * min(search.losses) or not np.isfinite(search.losses[-1])
    assert all(x <= 4 * min(search.losses[: n + 1]) for n, x in enumerate(search.losses[:-1]))


@pytest.mark.slow
def test_it_changes_nothing() -> None:
    """Weights, statistics, dropout, the flags, the process's chance; and what comes after."""
    expected = small_network()
    train(expected, *makers(), plan(2))
    model = small_network()
    before, flags = values(model), [layer.trainable for layer in model.layers]
    chance = random.getstate(), np.random.get_state()[1].tolist()
    find_learning_rate(model, makers()[0], plan(stages=1, head_layers=("classifier",)), steps=20)
    assert_same(values(model), before)
    assert [layer.trainable for layer in model.layers] == flags
    assert (random.getstate(), np.random.get_state()[1].tolist()) == chance
    train(model, *makers(), plan(2))
    assert_same(values(model), values(expected))


def test_it_gives_everything_back_when_it_fails() -> None:
    class Failing(ArrayBatches):
        def dataset(self, first_epoch: int = 0, epochs: int | None = 1) -> object:
            yield from super().dataset(first_epoch, 1)
            raise KeyError("no more")

    model = small_network()
    before = values(model)
    with pytest.raises(KeyError):
        find_learning_rate(
            model, lambda size: Failing(*examples(24, 1), size, training=True), plan()
        )
    assert_same(values(model), before)


@pytest.mark.slow
def test_the_same_search_twice() -> None:
    first, second = (
        find_learning_rate(small_network(seed=5), makers()[0], plan(), steps=15) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    "options", [{"lowest": 0.0}, {"lowest": 2.0, "highest": 1.0}, {"steps": 9}]
)
def test_rates_that_make_no_search_are_refused(options: dict) -> None:
    with pytest.raises(UsageError, match="must rise over at least 10 steps"):
        find_learning_rate(small_network(), makers()[0], plan(), **options)
