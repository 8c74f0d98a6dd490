"""The journal: every row once, nothing torn, another run's journal refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.errors import UsageError
from cnnkit.writers import Journal

HEADER = {"command": "classify", "model": "abc", "options": {"top_k": 5, "fit": "crop"}}


def ok(path: str, label: str = "cat") -> dict:
    return {"path": path, "status": "ok", "label": label, "score": 0.5, "predictions": []}


def failed(path: str) -> dict:
    return {"path": path, "status": "error", "error": {"kind": "empty", "message": "zero bytes"}}


def final_rows(journal: Journal) -> list[dict]:
    return [row for _, row in journal.rows()]


def written(tmp_path, rows):
    journal = Journal.open(tmp_path / "rows.jsonl", HEADER)
    for row in rows:
        journal.append(row)
    journal.close()
    return tmp_path / "rows.jsonl"


@given(cut=st.integers(min_value=0, max_value=10_000))
@settings(max_examples=60)
def test_a_journal_cut_anywhere_resumes_to_the_same_rows(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    rows = [ok(f"{i}.jpg", label=f"naïve {i}") for i in range(12)]
    target = written(folder, rows)
    part = folder / "rows.jsonl.part"
    content = part.read_bytes()
    part.write_bytes(content[: cut % (len(content) + 1)])

    journal = Journal.open(target, HEADER, resume=True)
    for row in rows:
        if not journal.is_done(row["path"]):
            journal.append(row)
    assert final_rows(journal) == rows
    assert journal.statuses == {"ok": 12, "error": 0}
    journal.close()


def test_failed_rows_are_kept_unless_they_are_tried_again(tmp_path):
    target = written(tmp_path, [ok("a"), failed("b"), ok("c")])
    journal = Journal.open(target, HEADER, resume=True)
    assert [journal.is_done(path) for path in "abcd"] == [True, True, True, False]
    journal.close()


def test_a_row_tried_again_stands_where_it_first_stood(tmp_path):
    target = written(tmp_path, [ok("a"), failed("b"), ok("c"), failed("d")])
    journal = Journal.open(target, HEADER, resume=True, retry_errors=True)
    assert [path for path in "abcd" if not journal.is_done(path)] == ["b", "d"]
    journal.append(ok("b"))
    journal.append(failed("d"))
    assert [(row["path"], row["status"]) for row in final_rows(journal)] == [
        ("a", "ok"),
        ("b", "ok"),
        ("c", "ok"),
        ("d", "error"),
    ]
    assert journal.statuses == {"ok": 3, "error": 1}
    assert [index for index, _ in journal.rows()] == [0, 4, 2, 5]
    journal.close()

    again = Journal.open(target, HEADER, resume=True, retry_errors=True)
    assert not again.is_done("d")
    again.append(ok("d"))
    assert [row["status"] for row in final_rows(again)] == ["ok"] * 4
    again.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "other"}, "model"),
        ({"options": {"top_k": 3, "fit": "crop"}}, "top_k then 5, now 3"),
        ({"command": "detect"}, "command"),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path, change, named):
    target = written(tmp_path, [ok("a")])
    with pytest.raises(UsageError, match=named):
        Journal.open(target, HEADER | change, resume=True)
    assert final_rows(Journal.open(target, HEADER, resume=True)) == [ok("a")]


def test_an_interrupted_run_leaves_lines_of_json_and_says_that_it_did_not_die(tmp_path):
    target = tmp_path / "rows.jsonl"
    journal = Journal.open(target, HEADER)
    journal.append(ok("a"))
    journal.note_interruption()
    journal.close()
    lines = (tmp_path / "rows.jsonl.part").read_text().splitlines()
    assert [json.loads(line).get("path") for line in lines] == [None, "a", None]
    again = Journal.open(target, HEADER, resume=True)
    assert (again.died, final_rows(again)) == (False, [ok("a")])
    again.append(ok("b"))
    assert final_rows(again) == [ok("a"), ok("b")]
    again.close()
    killed = Journal.open(target, HEADER, resume=True)
    assert killed.died
    killed.close()


def test_rows_of_another_schema_version_are_not_gone_on_with(tmp_path):
    target = written(tmp_path, [ok("a")])
    part = tmp_path / "rows.jsonl.part"
    before = part.read_text().replace('"cnnkit_journal": 2', '"cnnkit_journal": 1')
    part.write_text(before)
    with pytest.raises(UsageError, match=r"schema version 2\. Received: version 1") as caught:
        Journal.open(target, HEADER, resume=True)
    assert "\n" not in str(caught.value) and part.read_text() == before


def test_what_is_in_the_way_is_refused(tmp_path):
    target = written(tmp_path, [ok("a")])
    with pytest.raises(UsageError, match=r"unfinished run.*`resume=True`"):
        Journal.open(target, HEADER)
    (tmp_path / "rows.jsonl.part").unlink()
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        Journal.open(target, HEADER)
    with pytest.raises(UsageError, match="nothing to resume"):
        Journal.open(target, HEADER, resume=True)
    Journal.open(target, HEADER, overwrite=True).close()
    assert target.read_text() == "mine", "the finished file is replaced only at the end"


def test_a_foreign_file_in_the_journals_place_is_refused(tmp_path):
    part = tmp_path / "rows.jsonl.part"
    part.write_text("my notes\nmore notes\n")
    with pytest.raises(UsageError, match="another file"):
        Journal.open(tmp_path / "rows.jsonl", HEADER, resume=True)
    assert part.read_text() == "my notes\nmore notes\n"


def test_two_runs_cannot_write_one_journal(tmp_path):
    first = Journal.open(tmp_path / "rows.jsonl", HEADER)
    with pytest.raises(UsageError, match="another run"):
        Journal.open(tmp_path / "rows.jsonl", HEADER, resume=True)
    first.close()


def test_undecodable_names_survive(tmp_path):
    path = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    row = ok(path) | {"path_base64": "Y2Fm6S5qcGc="}
    target = written(tmp_path, [row])
    journal = Journal.open(target, HEADER, resume=True)
    assert journal.is_done(path)
    assert final_rows(journal) == [row]
    assert json.loads((tmp_path / "rows.jsonl.part").read_bytes().splitlines()[1]) == row


def test_a_fault_of_the_program_is_not_blamed_on_the_rows(tmp_path):
    target = written(tmp_path, [ok("a")])

    def check(error):
        def raising(row):
            raise error

        return raising

    for error in (NameError("a typo"), OSError("unreachable")):
        with pytest.raises(type(error)):
            Journal.open(target, HEADER, resume=True, check=check(error))
    for error in (IndexError("no predictions"), OverflowError("infinite")):
        with pytest.raises(UsageError, match="must hold rows of cnnkit"):
            Journal.open(target, HEADER, resume=True, check=check(error))
