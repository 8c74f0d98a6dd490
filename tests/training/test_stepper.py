from __future__ import annotations

import keras
import numpy as np
import pytest

from cnnkit.training.freezing import unfrozen
from cnnkit.training.stepper import Stepper, computing_in
from tests.training.small import assert_same, makers, plan, small_network, values


def changed(model: keras.Model, before: list[np.ndarray]) -> set[str]:
    """Return the paths of the variables that have other values now; not the states of chance."""
    pairs = zip(model.variables, before, values(model), strict=True)
    return {
        variable.path
        for variable, old, new in pairs
        if not np.array_equal(old, new) and "seed_generator" not in variable.path
    }


def train_one_epoch(model: keras.Model, the_plan: object, rate: float = 0.01) -> None:
    with unfrozen(model, the_plan):
        Stepper(model, the_plan, xla=False).fit(makers()[0](8), 0, lambda step: rate)


@pytest.mark.usefixtures("eager")
def test_frozen_layers_and_statistics_stay_bit_identical() -> None:
    model = small_network()
    before = values(model)
    train_one_epoch(model, plan(stages=1, train_bn=False, head_layers=("classifier",)))
    layers = {path.split("/")[0] for path in changed(model, before)}
    assert layers == {"stage2_block1_conv", "head_conv", "classifier"}


@pytest.mark.usefixtures("eager")
def test_normalizations_learn_where_they_are_asked_to() -> None:
    model = small_network()
    before = values(model)
    train_one_epoch(model, plan(train_bn=True))
    assert changed(model, before) == {v.path for v in model.weights if "seed" not in v.path}


@pytest.mark.usefixtures("eager")
def test_a_first_step_moves_each_layer_by_its_own_rate() -> None:
    """Adam's first step is the rate times the gradient's sign, where epsilon counts for nothing."""
    model, the_plan = (
        small_network(),
        plan(head_layers=("classifier",), backbone_rate=0.1, weight_decay=0.0, train_bn=False),
    )
    before = {v.path: np.array(v) for v in model.weights}
    with unfrozen(model, the_plan):
        batch = next(iter(makers()[0](8).dataset()))
        Stepper(model, the_plan, xla=False).step(batch, 0.02)
    after = {v.path: np.array(v) for v in model.weights}
    moved = {path: np.abs(after[path] - old).max() for path, old in before.items()}
    assert moved["classifier/kernel"] == pytest.approx(0.02, rel=1e-3)
    assert moved["head_conv/kernel"] == pytest.approx(0.002, rel=1e-3)
    assert moved["stem_conv/kernel"] == pytest.approx(0.002, rel=1e-2)


@pytest.mark.usefixtures("eager")
def test_weight_decay_shrinks_kernels_at_the_layers_rate_and_leaves_biases() -> None:
    """With the same gradient, decay takes rate * decay * weight more."""
    after = []
    for decay in (0.0, 0.5):
        model, the_plan = (
            small_network(),
            plan(head_layers=("classifier",), backbone_rate=0.1, weight_decay=decay),
        )
        for variable in model.weights:
            if variable.path.endswith("bias"):
                variable.assign(np.full(variable.shape, 0.25, np.float32))
        before = {v.path: np.array(v) for v in model.weights}
        Stepper(model, the_plan, xla=False).step(next(iter(makers()[0](8).dataset())), 0.02)
        after.append({v.path: np.array(v) for v in model.weights})
    for path, rate in (("classifier/kernel", 0.02), ("stem_conv/kernel", 0.002)):
        expected = rate * 0.5 * before[path]
        np.testing.assert_allclose(after[0][path] - after[1][path], expected, atol=2e-7)
    np.testing.assert_array_equal(after[0]["classifier/bias"], after[1]["classifier/bias"])


def test_a_snapshot_brings_everything_back() -> None:
    model, the_plan = small_network(), plan()
    stepper = Stepper(model, the_plan, xla=False)
    stepper.fit(makers()[0](8), 0, lambda step: 0.01)
    kept = stepper.snapshot()
    first = stepper.fit(makers()[0](8), 1, lambda step: 0.01)
    ended = values(model)
    stepper.restore(kept)
    assert stepper.fit(makers()[0](8), 1, lambda step: 0.01) == first
    assert_same(values(model), ended)


@pytest.mark.usefixtures("eager")
def test_validation_counts_no_filler() -> None:
    model = small_network()
    stepper = Stepper(model, plan(), xla=False)
    whole, in_parts = stepper.evaluate(makers()[1](20)), stepper.evaluate(makers()[1](7))
    assert in_parts == pytest.approx(whole, rel=1e-5)


def test_the_given_model_is_not_compiled() -> None:
    model = small_network()
    Stepper(model, plan(), xla=False)
    assert not model.compiled and not hasattr(model, "optimizer")


@pytest.mark.slow
def test_bfloat16_inside_and_float32_at_the_ends() -> None:
    model = small_network()
    before = [layer.dtype_policy.name for layer in model.layers]
    image = np.full((2, 6, 6, 1), 200, np.uint8)
    full = np.asarray(model(image))
    with computing_in(model, "bfloat16"):
        assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
        assert model.get_layer("logits").compute_dtype == "float32"
        assert {v.dtype for v in model.weights if "seed" not in v.path} == {"float32"}
        mixed = np.asarray(model(image))
        losses = [
            Stepper(model, plan(), xla=False).fit(makers()[0](8), n, lambda step: 0.01).loss
            for n in range(3)
        ]
    assert [layer.dtype_policy.name for layer in model.layers] == before
    assert mixed.dtype == np.float32 and not np.array_equal(mixed, full)
    np.testing.assert_allclose(mixed, full, atol=0.05)
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_xla_gives_what_tensorflow_gives() -> None:
    results = []
    for xla in (False, True):
        model = small_network()
        model.get_layer("dropout").rate = 0.0  # XLA draws other numbers
        stepper = Stepper(model, plan(), xla=xla)
        results.append(stepper.fit(makers()[0](8), 0, lambda step: 0.01).loss)
        assert stepper._trainer.jit_compile is xla
    assert results[0] == pytest.approx(results[1], rel=1e-4)
