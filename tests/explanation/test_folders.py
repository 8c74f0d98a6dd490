"""Explaining folders on other machines: whose files are taken for this run's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnnkit.errors import OutputError
from cnnkit.explanation.folders import SavedImages, explain_folders, image_name
from cnnkit.folder_job import Outputs
from cnnkit.images import Found

MAPS = SavedImages(heats=Path("maps"))


class Elsewhere:
    """Makes rows as another machine does, whose folder is shared or is not."""

    def __init__(self, shares: bool) -> None:
        self.shares = shares

    def planned(self, found: Any, header: Any, *, is_new: bool) -> list[Found]:
        return list(found)

    def rows(self, pending: Any) -> Any:
        for item in pending:
            heat = Path("maps", f"{image_name(item.path)}.npy")
            if self.shares:
                np.save(heat, np.ones((2, 2)))
            yield {"path": item.path, "status": "ok", "heat": str(heat)}, None

    def end(self) -> None:
        pass

    def close(self) -> None:
        pass


def explain(engine: Elsewhere, **more: Any) -> Any:
    explainer: Any = SimpleNamespace(bundle=SimpleNamespace(answers_hash="x"))
    outputs = Outputs(rows=Path("rows.jsonl"), **more)
    return explain_folders(explainer, [Found("a.jpg")], outputs, MAPS, options={}, engine=engine)


def test_a_map_of_an_earlier_run_is_not_taken_for_this_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert explain(Elsewhere(shares=True)).ok == 1
    Path("maps", "mine.npy").write_text("no file of the run")
    with pytest.raises(OutputError, match="maps must be a folder that all machines of the cluster"):
        explain(Elsewhere(shares=False), overwrite=True)
    assert explain(Elsewhere(shares=True), overwrite=True).ok == 1
    assert len(list(Path("maps").iterdir())) == 2
