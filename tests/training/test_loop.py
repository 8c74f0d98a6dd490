from __future__ import annotations

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnkit.errors import CnnkitError, UsageError
from cnnkit.training import ArrayBatches, EpochReport, TrainingPlan, train
from cnnkit.training.stepper import Stepper
from tests.training.small import (
    CLASSES,
    assert_same,
    examples,
    makers,
    plan,
    small_network,
    values,
)


@keras.saving.register_keras_serializable("tests")
class HungryLayer(keras.layers.Layer):
    """Needs more memory than there is for batches above a size."""

    room = 8

    def call(self, x: tf.Tensor) -> tf.Tensor:
        batch = x.shape[0] if x.shape[0] is not None else 1
        if batch > self.room:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return x


def hungry_network() -> keras.Model:
    model = small_network()
    hungry = HungryLayer(name="hungry")(model.get_layer("features").output)
    return keras.Model(
        model.inputs, model.get_layer("logits")(model.get_layer("classifier")(hungry))
    )


def measured(model: keras.Model) -> float:
    return Stepper(model, plan(), xla=False).evaluate(makers()[1](8)).loss


def test_a_run_learns_and_reports_each_epoch() -> None:
    model, reports = small_network(), []
    the_plan = plan(8, learning_rate=0.03)
    result = train(model, *makers(), the_plan, on_epoch=reports.append)
    assert tuple(reports) == result.history
    assert [r.epoch for r in reports] == list(range(1, 9))
    assert result.best.val_accuracy >= 0.8
    assert reports[-1].loss < reports[0].loss
    # 6 steps an epoch, 48 in all: 5 of warm-up, and the sixth is the first of the cosine.
    assert reports[0].learning_rate == pytest.approx(0.03)
    assert reports[-1].learning_rate == pytest.approx(
        0.015 * (1 + math.cos(math.pi * 42 / 43)), rel=1e-6
    )
    assert reports[-1].seconds_left == 0 < reports[0].seconds_left
    assert result.seconds == pytest.approx(sum(r.seconds for r in reports))
    assert not result.stopped_early and result.batch_size == 8 and result.notes == ()


def test_the_best_epochs_weights_are_kept() -> None:
    """A rate that is far too high makes later epochs worse."""
    model = small_network()
    wild = plan(6, learning_rate=0.3, patience=None, warm_up=1.0, train_bn=False)
    result = train(model, *makers(), wild)
    losses = [report.val_loss for report in result.history]
    assert result.best.val_loss == min(losses) < losses[-1]
    assert [r.best for r in result.history] == [
        loss < min(losses[:n], default=math.inf) for n, loss in enumerate(losses)
    ]
    assert measured(model) == pytest.approx(min(losses), rel=1e-6)


def test_patience_ends_a_run() -> None:
    wild = plan(30, learning_rate=1.0, patience=2, warm_up=0.0, train_bn=False)
    result = train(small_network(), *makers(), wild)
    assert result.stopped_early
    assert result.history[-1].epoch == result.best_epoch + 2 < 30


@pytest.mark.slow
def test_the_start_is_kept_where_it_was_better() -> None:
    model = small_network()
    train(model, *makers(), plan(8))
    before, reports = values(model), []
    wild = plan(2, learning_rate=1.0, start_counts=True, train_bn=False)
    result = train(model, *makers(), wild, on_epoch=reports.append)
    assert result.best_epoch == 0 and math.isnan(result.best.loss)
    assert [r.epoch for r in reports] == [0, 1, 2]
    weights = [n for n, v in enumerate(model.variables) if "seed" not in v.path]
    assert_same([values(model)[n] for n in weights], [before[n] for n in weights])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights() -> None:
    runs = []
    for _ in range(2):
        np.random.seed(None)  # what was drawn before must not count
        model = small_network()
        train(model, *makers(), plan(2))
        runs.append(values(model))
    assert_same(*runs)
    model = small_network()
    train(model, *makers(), plan(2, seed=7))
    assert not np.array_equal(values(model)[0], runs[0][0])  # other dropout


@pytest.mark.slow
def test_class_weights_move_the_decision() -> None:
    shares = []
    for weight in (0.05, 20.0):
        model = small_network()
        train(model, *makers(), plan(2, class_weights=(weight, 1.0, 1.0)))
        scores = np.asarray(model(examples(60, 9)[0]))
        shares.append(np.mean(scores.argmax(axis=1) == 0))
    assert shares[0] < shares[1]


@pytest.mark.slow
def test_mixed_labels_are_learned_from() -> None:
    images, labels = examples(48, 1)
    shares = 0.8 * np.eye(CLASSES, dtype=np.float32)[labels] + np.float32(0.2 / CLASSES)
    result = train(
        small_network(),
        lambda size: ArrayBatches(images, shares, size, training=True),
        makers()[1],
        plan(4, learning_rate=0.1),
    )
    assert result.best.val_accuracy > 0.5


def test_a_batch_that_does_not_fit_is_halved_and_said(tmp_path: Path) -> None:
    """A run that had to halve ends where one with that size from the start does."""
    said: list[str] = []
    model = hungry_network()
    result = train(
        model, *makers(), plan(2, batch_size=32), on_message=said.append, state_folder=tmp_path
    )
    assert said == [
        "Out of memory at batch size 32; retrying with 16.",
        "Out of memory at batch size 16; retrying with 8.",
    ]
    assert result.batch_size == 8 and list(result.notes) == said
    other = hungry_network()
    train(other, *makers(), plan(2, batch_size=8))
    assert_same(values(model), values(other))


@pytest.mark.slow
def test_memory_that_ends_in_the_middle_of_an_epoch_repeats_that_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The step of Keras itself fails, after three good ones."""
    steps: list[int] = []
    train_on_iterator = keras.Model.make_train_function

    def failing(trainer: keras.Model, force: bool = False) -> None:
        train_on_iterator(trainer, force)
        step = trainer.train_function

        def once_too_much(iterator: object) -> object:
            steps.append(1)
            if len(steps) == 4:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return step(iterator)

        trainer.train_function = once_too_much

    other = small_network()
    train(other, *makers(), plan(2, batch_size=4))
    monkeypatch.setattr(keras.Model, "make_train_function", failing)
    model = small_network()
    result = train(model, *makers(), plan(2, batch_size=8))
    assert result.batch_size == 4 and len(result.notes) == 1
    assert_same(values(model), values(other))


@pytest.mark.usefixtures("eager")
def test_no_room_for_one_image_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = hungry_network()
    monkeypatch.setattr(HungryLayer, "room", 0)
    with pytest.raises(CnnkitError, match="memory must have room for one image per step"):
        train(model, *makers(), plan(1, batch_size=2))


def test_other_errors_of_tensorflow_are_not_taken_for_memory() -> None:
    class Broken(ArrayBatches):
        def _order(self, epoch: np.ndarray) -> list[np.ndarray]:
            raise ValueError("no order")

    with pytest.raises(tf.errors.OpError, match="no order"):
        train(
            small_network(),
            lambda size: Broken(*examples(8, 1), size, training=True),
            makers()[1],
            plan(1),
        )


@pytest.mark.usefixtures("eager")
def test_a_loss_that_is_no_number_stops_the_run() -> None:
    model = small_network()
    wild = plan(5, learning_rate=1e30, warm_up=0.0, train_bn=False, start_counts=True)
    result = train(model, *makers(), wild)
    assert result.stopped_early and result.best_epoch == 0
    assert any("is not finite" in note for note in result.notes)
    assert all(np.isfinite(v).all() for v in values(model))
    with pytest.raises(CnnkitError, match="must stay finite in at least one epoch"):
        train(
            small_network(),
            *makers(),
            TrainingPlan.from_scratch(
                2, learning_rate=1e30, warm_up=0.0, train_bn=False, batch_size=8
            ),
        )


def test_what_does_not_fit_the_plan_is_refused() -> None:
    image = keras.Input((4,))
    two = keras.Model(image, [keras.layers.Dense(2)(image), keras.layers.Dense(2)(image)])
    with pytest.raises(UsageError, match="must end in logits"):
        train(two, *makers(), plan())
    with pytest.raises(UsageError, match="class_weights must be one for each of the 3 classes"):
        train(small_network(), *makers(), plan(class_weights=(1.0,)))


@pytest.mark.usefixtures("eager")
def test_the_model_is_given_back_as_it_came() -> None:
    model = small_network()
    model.get_layer("stem_conv").trainable = False
    before = [(x.trainable, x.dtype_policy.name) for x in model.layers]
    train(model, *makers(), plan(1, precision="bfloat16"))
    assert [(x.trainable, x.dtype_policy.name) for x in model.layers] == before
    assert not model.compiled


def test_a_report_is_the_same_after_json() -> None:
    report = EpochReport(0, 3, math.nan, math.nan, 0.5, 0.9, 0.0, 1.0, 2.0, best=True)
    as_json = report.to_dict()
    assert as_json["loss"] is None and as_json["val_loss"] == 0.5
    again = EpochReport.from_dict(as_json)
    assert math.isnan(again.loss) and again.to_dict() == as_json
