"""Logs for TensorBoard, which need not be installed."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType

from cnnkit.runtime.process import import_tensorflow
from cnnkit.training.reports import EpochReport

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


class EventWriter:
    """Writes the curves of a run; a context manager, to be called with each epoch's report."""

    def __init__(self, folder: Path) -> None:
        """Open an event file of its own in the folder."""
        self._tensorflow = import_tensorflow()
        self._writer = self._tensorflow.summary.create_file_writer(str(folder))

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def __call__(self, report: EpochReport) -> None:
        """Write one epoch, so that it can be seen at once."""
        tf = self._tensorflow
        # What tf.summary.scalar writes; that function needs TensorBoard itself.
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
            data_class=1,  # scalars
        )
        with self._writer.as_default():
            for name in CURVES:
                value = getattr(report, name)
                if math.isfinite(value):
                    tag = f"epoch/{name}"
                    tensor = tf.constant(value, tf.float32)
                    tf.summary.write(tag, tensor, report.epoch, metadata)
        self._writer.flush()
