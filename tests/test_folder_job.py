"""A folder job that goes on: what the journal of a stranger, or of another run, may not do."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from cnnkit.errors import OutputError, RuntimeUnavailableError, UsageError
from cnnkit.folder_job import FolderJob, Outputs
from cnnkit.images import Finder, Found
from cnnkit.writers import Journal
from cnnkit.writers.row_tables import ClassificationTable, FlatTable

HEADER = {"command": "test"}
SORTED = Path("sorted")


@pytest.fixture(autouse=True)
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no process to try suspects in, as where none can be started: here is no image."""

    def start() -> None:
        raise RuntimeUnavailableError("none")

    monkeypatch.setattr("cnnkit.isolation.suspects.start_decoder", start)


def ok(path: str, label: str = "cat") -> dict:
    return {"path": path, "status": "ok", "label": label, "score": 0.5, "predictions": []}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Three images in ``in/`` and a file that is none of the run's beside it."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.jpg", "in/b.jpg", "in/c.jpg", "private/keys.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)


def unfinished(*rows: dict) -> None:
    journal = Journal.open(Path("rows.jsonl"), HEADER)
    for row in rows:
        journal.append(row)
    journal.close()


def run(how: str = "move", inputs=("in",), find=None, **more) -> list[dict]:
    """Go on with the killed run and give the finished rows."""
    outputs = Outputs(rows=Path("rows.jsonl"), sort_into=SORTED, how=how, resume=True)
    job = FolderJob(outputs, HEADER, destination=lambda row: row["label"], **more)
    try:
        for item in job.pending((find or Finder)(list(inputs))):
            job.record(ok(item.path))
        job.finish()
    finally:
        job.close()
    return [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]


def tree() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize("how", ["move", "copy", "link"])
@pytest.mark.parametrize(
    "row",
    [
        ok("private/keys.jpg") | {"sorted_to": "elsewhere/keys.jpg"},
        ok("private/keys.jpg") | {"sorted_to": "sorted/cat/keys.jpg"},
        ok("in/../private/keys.jpg") | {"sorted_to": "sorted/cat/keys.jpg"},
        ok("in/a.jpg") | {"sorted_to": "elsewhere/a.jpg"},
        ok("in/a.jpg") | {"sorted_to": "sorted/../elsewhere/a.jpg"},
        ok("in/a.jpg") | {"sorted_to": "sorted/dog/a.jpg"},
        ok("in/a.jpg") | {"sorted_to": "sorted/cat/b.jpg"},
        ok("in/a.jpg") | {"sorted_to": "sorted/cat/deeper/a.jpg"},
        ok("in/a.jpg") | {"sorted_to": "/tmp/nowhere/a.jpg"},
        ok("in/a.jpg") | {"sorted_to": ["sorted/cat/a.jpg"]},
    ],
)
def test_a_row_moves_nothing_but_this_runs_inputs_to_where_this_run_puts_them(row, how):
    unfinished(row)
    with pytest.raises(UsageError, match=r"rows\.jsonl\.part must"):
        run(how)
    assert not Path("elsewhere").exists() and Path("private/keys.jpg").exists()
    assert {Path(path).name for path in tree()} == {
        *("a.jpg", "b.jpg", "c.jpg", "keys.jpg", "rows.jsonl.part")
    }


def test_a_class_folder_that_leads_elsewhere_gets_nothing():
    Path("elsewhere").mkdir()
    SORTED.mkdir()
    (SORTED / "cat").symlink_to(Path("elsewhere").resolve())
    unfinished(ok("in/a.jpg") | {"sorted_to": "sorted/cat/a.jpg"})
    with pytest.raises(UsageError, match="where this run would place them"):
        run()
    assert Path("in/a.jpg").exists() and not list(Path("elsewhere").iterdir())


def test_a_link_is_no_finished_move():
    """It and its target are the same file: to remove the target would lose the image."""
    (SORTED / "cat").mkdir(parents=True)
    (SORTED / "cat" / "a.jpg").symlink_to(Path("in/a.jpg").resolve())
    unfinished(ok("in/a.jpg") | {"sorted_to": "sorted/cat/a.jpg"})
    run()
    assert (SORTED / "cat" / "a.jpg").read_text() == "in/a.jpg"


def test_what_a_killed_run_moved_keeps_its_row():
    (SORTED / "cat").mkdir(parents=True)
    Path("in/a.jpg").rename(SORTED / "cat" / "a.jpg")
    rows = [ok(f"in/{name}.jpg") | {"sorted_to": f"sorted/cat/{name}.jpg"} for name in "ab"]
    unfinished(*rows)
    assert [row["path"] for row in run()] == ["in/a.jpg", "in/b.jpg", "in/c.jpg"]
    assert sorted(p.read_text() for p in SORTED.rglob("*.jpg")) == [
        "in/a.jpg",
        "in/b.jpg",
        "in/c.jpg",
    ]


@pytest.mark.parametrize("inputs", [("in/*.jpg",), ("*/[ab].jpg", "in/c.jpg"), ("**/*.jpg",)])
def test_what_was_moved_from_under_a_pattern_keeps_its_row(inputs):
    Path("private/keys.jpg").unlink()
    (SORTED / "cat").mkdir(parents=True)
    Path("in/a.jpg").rename(SORTED / "cat" / "a.jpg")
    unfinished(ok("in/a.jpg") | {"sorted_to": "sorted/cat/a.jpg"})

    def find(given):
        return Finder(given, exclude=["sorted"])

    assert len(run(inputs=inputs, find=find)) == 3


@pytest.mark.parametrize("path", ["gone.jpg", "in/../gone.jpg", "/gone/a.jpg", "other/a.jpg"])
def test_a_row_of_what_these_inputs_never_gave_is_refused(path):
    unfinished(ok(path))
    with pytest.raises(
        UsageError, match=re.escape(f"this run's inputs. Received: a row of {path}.")
    ):
        run()


def test_a_pair_that_is_not_asked_for_is_refused():
    row = {"a": "in/a.jpg", "b": "in/b.jpg", "status": "error"}
    row["error"] = {"kind": "no-face", "message": "none"}
    unfinished(row)
    with pytest.raises(UsageError, match=r"a row of in/a\.jpg and in/b\.jpg"):
        run(table=FlatTable([], ("a", "b")), find=lambda _: [Found("in/a.jpg\0in/c.jpg")])


def test_a_place_that_a_killed_run_has_chosen_is_not_given_away(tmp_path):
    """The new in/0/a.jpg comes first, and must not take the place that in/a.jpg was promised."""
    Path("in/0").mkdir()
    Path("in/0/a.jpg").write_text("new")
    unfinished(ok("in/a.jpg") | {"sorted_to": "sorted/cat/a.jpg"})
    run("copy")
    assert Path("sorted/cat/a.jpg").read_text() == "in/a.jpg"
    assert Path("sorted/cat/a-2.jpg").read_text() == "new"


@pytest.mark.parametrize(
    "row",
    [
        {"path": 5, "status": "ok"},
        {"path": ["a"], "status": "ok"},
        {"path": "in/a.jpg\0", "status": "ok"},
        {"path": "in/a.jpg", "path_base64": 7, "status": "ok"},
        {"path": "in/a.jpg", "status": "fine"},
        {"path": "in/a.jpg", "status": ["ok"]},
        {"path": "in/a.jpg", "status": "error"},
        {"path": "in/a.jpg", "status": "error", "error": {"kind": "none", "message": ""}},
        {"path": "in/a.jpg", "status": "error", "error": {"kind": "empty", "message": [1]}},
        ok("in/a.jpg") | {"score": "high"},
        ok("in/a.jpg") | {"label": {"a": 1}},
        ok("in/a.jpg") | {"predictions": 3},
        ok("in/a.jpg") | {"predictions": [{}, {}]},
        {"a": "in/a.jpg", "status": "ok"},
    ],
)
def test_what_is_no_row_is_refused_in_one_line(row):
    unfinished()
    with Path("rows.jsonl.part").open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match="must hold rows of cnnkit"):
        run(table=ClassificationTable())


@pytest.mark.parametrize("line", ["[" * 100_000, "1" * 5_000, "nothing", "[]", "null", "\udcff"])
def test_what_is_no_json_of_ours_is_refused_in_one_line(line):
    unfinished()
    with Path("rows.jsonl.part").open("a", errors="surrogateescape") as file:
        file.write(line + "\n")
    with pytest.raises(UsageError, match="must hold rows of cnnkit"):
        run()


def test_a_report_that_a_strangers_row_breaks_is_no_fault_of_ours():
    unfinished(ok("in/a.jpg"))
    with pytest.raises(UsageError, match="must hold rows of cnnkit"):
        run(makers=[lambda rows: [row["no such field"] for row in rows()]])
    assert Path("rows.jsonl.part").exists()


def test_two_rows_of_one_input_are_refused():
    unfinished(ok("in/a.jpg"), ok("in/a.jpg"))
    with pytest.raises(UsageError, match="two rows for one input"):
        run()


def test_an_endless_line_is_not_read(monkeypatch):
    monkeypatch.setattr("cnnkit.writers.journal.MAX_LINE_BYTES", 1000)
    unfinished()
    with Path("rows.jsonl.part").open("a") as file:
        file.write("x" * 2000)
    with pytest.raises(UsageError, match="an endless line"):
        run()


# --- two runs, one output ----------------------------------------------------------------


def started(**flags) -> FolderJob:
    return FolderJob(Outputs(rows=Path("rows.jsonl"), **flags), HEADER)


@pytest.mark.parametrize("flags", [{"overwrite": True}, {"resume": True}])
def test_a_second_run_leaves_the_first_ones_rows_alone(flags):
    first = started()
    first.record(ok("in/a.jpg"))
    with pytest.raises(UsageError, match="being written by another run"):
        started(**flags)
    first.record(ok("in/b.jpg"))
    first.finish()
    assert len(Path("rows.jsonl").read_text().splitlines()) == 2


def test_a_second_run_for_the_same_features_leaves_the_first_ones_alone():
    outputs = {"embeddings": Path("f.npy"), "overwrite": True}
    first = FolderJob(Outputs(rows=Path("1.jsonl"), **outputs), HEADER, 2)
    first.record(ok("in/a.jpg"), np.ones(2, np.float32))
    with pytest.raises(UsageError, match=r"f\.npy\.part is being written by another run"):
        FolderJob(Outputs(rows=Path("2.jsonl"), **outputs), HEADER, 2)
    first.record(ok("in/b.jpg"), np.ones(2, np.float32))
    first.finish()
    assert np.load("f.npy").tolist() == [[1, 1], [1, 1]]


def cut(part: Path) -> None:
    part.write_bytes(b"")


def replace(part: Path) -> None:
    content = part.read_bytes()
    part.unlink()
    part.write_bytes(content)


def rewrite(part: Path) -> None:
    part.write_bytes(part.read_bytes().replace(b"cat", b"dog"))


@pytest.mark.parametrize("change", [cut, replace, rewrite, Path.unlink])
def test_a_run_whose_journal_was_changed_says_so_and_fails(change):
    job = started()
    job.record(ok("in/a.jpg"))
    change(Path("rows.jsonl.part"))
    with pytest.raises(OutputError, match="was changed by another program"):
        job.finish()
    assert not Path("rows.jsonl").exists()


@pytest.mark.parametrize("change", [cut, replace, Path.unlink])
def test_a_run_notices_it_at_its_next_row(change, monkeypatch):
    monkeypatch.setattr("cnnkit.writers.journal.SECONDS_UNSAVED", 0.0)
    job = started()
    job.record(ok("in/a.jpg"))
    change(Path("rows.jsonl.part"))
    with pytest.raises(OutputError, match="was changed by another program"):
        job.record(ok("in/b.jpg"))


def featured(**flags) -> FolderJob:
    outputs = Outputs(rows=Path("rows.jsonl"), embeddings=Path("f.npy"), **flags)
    return FolderJob(outputs, HEADER, 2)


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_no_row_is_saved_whose_features_have_no_room(monkeypatch, seconds):
    monkeypatch.setattr("cnnkit.writers.journal.SECONDS_UNSAVED", seconds)
    job = featured()
    for number in range(5):
        job.record(ok(f"in/{number}.jpg"), np.full(2, number, np.float32))
    job._journal.save()
    features = job._spool._file
    with open("/dev/full", "wb") as job._spool._file, monkeypatch.context() as patch:
        patch.setattr(job._spool, "_check_unchanged", lambda: None)
        with pytest.raises(OutputError, match=r"f\.npy\.part cannot be written: No space left"):
            for number in range(5, 50):
                job.record(ok(f"in/{number}.jpg"), np.full(2, number, np.float32))
        job.close()
        patch.setattr(job._spool, "_file", features)
    features.close()
    assert len(Path("rows.jsonl.part").read_text().splitlines()) == 1 + 5 + 1  # and how it ended
    again = featured(resume=True)
    paths = [Found(f"in/{number}.jpg") for number in range(8)]
    for found in again.pending(paths):
        again.record(ok(found.path), np.full(2, int(Path(found.path).stem), np.float32))
    assert again.finish().resumed == 5
    assert np.load("f.npy").tolist() == [[number] * 2 for number in range(8)]


def test_a_link_in_the_journals_place_is_not_followed():
    Path("rows.jsonl.part").symlink_to(Path("private/keys.jpg").resolve())
    with pytest.raises(UsageError, match=r"be a regular file\. Received: a link"):
        started(overwrite=True)
    Path("rows.jsonl.part").unlink()
    Path("rows.jsonl.part").symlink_to(Path("private/new").resolve())
    with pytest.raises(UsageError, match="a link"):
        started()
    assert tree()[-1] == "private/keys.jpg"
    assert Path("private/keys.jpg").read_text() == "private/keys.jpg"


def test_a_pipe_in_the_journals_place_is_refused_at_once():
    os.mkfifo("rows.jsonl.part")
    with pytest.raises(UsageError, match="be a file"):
        started(overwrite=True)


@pytest.mark.parametrize("rows", [None, Path("rows.jsonl")])
def test_resuming_is_advised_only_where_a_run_can_be_resumed(rows):
    SORTED.mkdir()
    (SORTED / "cat").write_text("in the way")
    outputs = Outputs(rows=rows, sort_into=SORTED)
    job = FolderJob(outputs, HEADER, destination=lambda row: row["label"])
    try:
        with pytest.raises(OutputError, match=r"a\.jpg cannot be put into") as caught:
            job.record(ok("in/a.jpg"))
    finally:
        job.close()
    assert ("`resume=True`" in str(caught.value)) == (rows is not None)
