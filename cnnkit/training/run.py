"""The frame that all trainings share: a run's places, its identity, its records and its bundle.

run = TrainingRun(output, resume=resume, overwrite=overwrite)
with run.claimed():                               # refuses what is in the way, holds the state
...                                           # `train(..., state_folder=run.state_folder)`
with run.new_bundle(content, origin) as folder:
write_history(folder, columns, rows)      # and whatever else belongs to the bundle
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cnnkit.bundles import embedded_folder, embedded_names
from cnnkit.bundles.writing import NewBundle, check_target, write_model, writing_bundle
from cnnkit.runtime.process import backend_name, import_tensorflow, random_numbers_kept
from cnnkit.runtime.processes import current_group
from cnnkit.training.plan import TrainingPlan
from cnnkit.training.reports import TrainingResult
from cnnkit.training.state_folder import claimed, empty, state_folder_of
from cnnkit.writers.row_files import csv_line

# Files of a bundle beside its model.
HISTORY, SPLIT, REPORT = "history.csv", "split.csv", "report.html"
BACKBONE_LICENSE = "LICENSE.backbone"

# Shows a stage, by its name, that works through so many images; gives what to call after each.
StageProgress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@contextlib.contextmanager
def silent(name: str, count: int) -> Iterator[Callable[[], None]]:
    """Show nothing: the `StageProgress` of a program that asks for none."""
    yield lambda: None


class TrainingRun:
    """One run of a training command, from its first check to its bundle.

    Attributes:
        output: The folder of the new bundle.
        state_folder: Where an unfinished run keeps its state: beside the bundle.
        may_replace: Whether a bundle of that name may be replaced: with `overwrite`, or when
            resuming a run that was begun with it.
    """

    def __init__(
        self,
        output: Path,
        *,
        resume: bool = False,
        overwrite: bool = False,
        stages: Sequence[str] = (),
        keeps_state: bool = True,
    ) -> None:
        """Look at what is there; nothing is changed before `claimed`.

        Args:
            output: The folder of the new bundle.
            resume: Continue an unfinished run.
            overwrite: Replace an existing bundle, and discard an unfinished run.
            stages: The names of folders in the state folder that hold the checkpoints; none: it
                holds them itself.
            keeps_state: Whether the run writes checkpoints.
        """
        self.output = output
        self.state_folder = state_folder_of(output)
        # A bundle beside an unfinished run is one that the run was to replace from its start.
        self.may_replace = overwrite or (resume and _holds_anything(self.state_folder))
        self._resume, self._overwrite = resume, overwrite
        self._stages, self._keeps_state = tuple(stages), keeps_state

    @property
    def leads(self) -> bool:
        """Whether this process writes the state and the bundle; of several only the first does."""
        return current_group().leads

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the state folder; remove the state where the block ends well.

        What the block seeds draws for the program as before, once it is left.

        Raises:
            UsageError: Another run holds it, an unfinished one is in the way, or something that
                is no training's state lies there.
            OutputError: The bundle cannot be written there.
        """
        with random_numbers_kept():
            if not self.leads:
                yield
                return
            check_target(self.output, self.may_replace)
            with claimed(
                self.state_folder,
                resume=self._resume,
                overwrite=self._overwrite,
                stages=self._stages,
                used=self._keeps_state,
            ):
                yield
                if self._keeps_state:
                    empty(self.state_folder, self._stages)

    @contextlib.contextmanager
    def new_bundle(self, content: NewBundle, origin: str | None = None) -> Iterator[Path]:
        """Write the model; give the folder for what else belongs to the bundle.

        The bundle appears whole when the block ends well, or not at all.

        Args:
            content: The model and its card.
            origin: The model that it was made of; the license of an embedded one goes along.

        Raises:
            OutputError: The output cannot be written.
        """
        if backend_name() == "jax":
            with contextlib.suppress(ImportError):
                import_tensorflow()  # as Keras does when it saves a model, but not quietly
        with writing_bundle(self.output, self.may_replace) as folder:
            write_model(folder, content)
            yield folder
            if origin is not None and origin in embedded_names():
                license_file = embedded_folder(origin) / "LICENSE"
                if license_file.is_file():
                    shutil.copyfile(license_file, folder / BACKBONE_LICENSE)


def _holds_anything(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:  # there is none, or it cannot be read: `claimed` says what is wrong
        return False


def identity_of(everything: Any) -> str:
    """Return a hash of all that a resumed run must share with the one before it.

    Args:
        everything: JSON values; surrogates in text are allowed.
    """
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def epochs_record(plan: TrainingPlan, result: TrainingResult) -> dict[str, Any]:
    """Return how a network was trained, for the card."""
    return {
        "plan": plan.to_dict(),
        "best_epoch": result.best_epoch,
        "stopped_early": result.stopped_early,
        "batch_size": result.batch_size,
        "notes": list(result.notes),
    }


def write_history(folder: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the history of a training as CSV; what a row lacks, and NaN, are empty cells.

    Args:
        folder: Folder of the bundle.
        columns: Column names in order.
        rows: By column name; other names are omitted.
    """
    lines = [csv_line(list(columns))]
    lines += [csv_line([_cell(row.get(name)) for name in columns]) for row in rows]
    (folder / HISTORY).write_text("".join(lines), "utf-8")


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.8g}" if isinstance(value, float) else str(value)
