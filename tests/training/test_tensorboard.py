from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from cnnkit.training import train
from cnnkit.training.tensorboard import CURVES
from tests.training.small import makers, plan, small_network


def test_every_curve_is_written_for_tensorboard(tmp_path: Path) -> None:
    the_plan = plan(2, start_counts=True)
    result = train(small_network(), *makers(), the_plan, tensorboard_folder=tmp_path)
    found = {}
    [file] = tmp_path.glob("events.out.tfevents.*")
    for record in tf.data.TFRecordDataset(str(file)):
        event = event_pb2.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    expected = {
        (f"epoch/{name}", report.epoch): getattr(report, name)
        for report in result.history
        for name in CURVES
        if report.epoch or name not in ("loss", "accuracy")
    }
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_nothing_is_written_where_it_is_not_asked_for(tmp_path: Path) -> None:
    train(small_network(), *makers(), plan(1), state_folder=tmp_path / "state")
    assert not list(tmp_path.rglob("events*"))
