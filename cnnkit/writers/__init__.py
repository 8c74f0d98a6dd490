"""Results on their way out: the journal of a run, the finished files, the terminal."""

from __future__ import annotations

from cnnkit.writers.feature_files import FeatureSpool
from cnnkit.writers.finished_rows import FinishedRows
from cnnkit.writers.journal import Journal
from cnnkit.writers.row_files import ROW_SUFFIXES, csv_line, json_line, write_rows
from cnnkit.writers.terminal import printable

__all__ = [
    "ROW_SUFFIXES",
    "FeatureSpool",
    "FinishedRows",
    "Journal",
    "csv_line",
    "json_line",
    "printable",
    "write_rows",
]
