"""The journal: every row once, nothing torn, another run's journal refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.errors import OutputError, UsageError
from cnnkit.results import key_of
from cnnkit.writers import Journal
from cnnkit.writers import journal as journals
from cnnkit.writers.row_files import json_line

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


def saved(tmp_path) -> int:
    """How many rows are in the file."""
    return len((tmp_path / "rows.jsonl.part").read_bytes().splitlines()) - 1


def test_rows_that_come_fast_are_saved_together_and_slow_ones_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "SECONDS_UNSAVED", 3600.0)
    journal = Journal.open(tmp_path / "rows.jsonl", HEADER)
    rows = [ok(f"{number}.jpg") for number in range(2 * journals.ROWS_UNSAVED + 3)]
    for number, row in enumerate(rows):
        journal.append(row)
        assert number + 1 - saved(tmp_path) < journals.ROWS_UNSAVED
    assert saved(tmp_path) == 1 + 2 * journals.ROWS_UNSAVED  # the first one waited for none
    assert final_rows(journal) == rows
    assert saved(tmp_path) == len(rows)
    monkeypatch.setattr(journals, "SECONDS_UNSAVED", 0.0)
    for number in range(3):
        journal.append(ok(f"slow {number}.jpg"))
        assert saved(tmp_path) == len(rows) + number + 1
    journal.close()


@pytest.mark.parametrize("end", [Journal.close, Journal.note_interruption, Journal.save])
def test_the_last_rows_are_saved_however_a_run_ends(tmp_path, monkeypatch, end):
    monkeypatch.setattr(journals, "SECONDS_UNSAVED", 3600.0)
    journal = Journal.open(tmp_path / "rows.jsonl", HEADER)
    for number in range(5):
        journal.append(ok(f"{number}.jpg"))
    end(journal)
    journal.close()
    resumed = Journal.open(tmp_path / "rows.jsonl", HEADER, resume=True)
    assert [row["path"] for row in final_rows(resumed)] == [f"{number}.jpg" for number in range(5)]
    resumed.close()


def test_a_full_disk_says_how_many_rows_are_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "SECONDS_UNSAVED", 3600.0)
    journal = Journal.open(tmp_path / "rows.jsonl", HEADER)
    for number in range(4):
        journal.append(ok(f"{number}.jpg"))
    journal.close()
    with pytest.raises(ValueError, match="closed"):
        journal._file.fileno()
    journal._file = open("/dev/full", "wb")
    monkeypatch.setattr(journal, "_check_unchanged", lambda: None)
    for number in range(4, 8):
        journal.append(ok(f"{number}.jpg"))
    with pytest.raises(OutputError, match=r"No space left on device\. 4 rows are saved in it"):
        journal.save()
    journal.close()


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


# Values of JSON, also such as no run writes.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
# What may stand around them, or be left of them, where somebody else wrote the file.
AROUND = st.sampled_from(
    ["", " ", "\n", "\r\n", "\t", ",", "]", "}", "{}", "\ufeff", "\0", "x", '"']
)


def outcome(work, line):
    """Return what becomes of a line, with the kind of its error."""
    try:
        return repr(work(line))
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


@given(VALUES, AROUND, AROUND, st.none() | st.integers(0, 40))
def test_a_line_is_read_as_the_whole_parser_reads_it(value, before, after, cut):
    for line in (before + json_line(value)[:cut] + after, before + json.dumps(value) + after):
        assert outcome(journals._decoded, line) == outcome(journals.DECODE, line)


ROWS = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["a.jpg", "", "a\0b", "\udcff", 3, None]),
        "path_base64": st.sampled_from(["/w==", "?", 3]),
        "a": st.sampled_from(["b", "", 3]),
        "b": st.sampled_from(["c", None]),
        "frame": st.sampled_from([0, 7, -1, True, None]),
        "status": st.sampled_from(["ok", "error", "done", None, ["ok"]]),
        "error": st.sampled_from([{"kind": "empty", "message": ""}, {"kind": "?"}, None]),
    },
)


@given(ROWS)
@settings(max_examples=300)
def test_the_usual_row_is_checked_as_any_other(row):
    class Unusual(dict):
        """A row that is looked at in full."""

    def checked(one):
        try:
            return journals.check_row(one)
        except journals.MALFORMED as error:
            return type(error)

    assert checked(row) == checked(Unusual(row))
    if isinstance(checked(row), int):
        assert checked(row) == journals.path_key(key_of(row))


def test_paths_of_the_same_bytes_in_memory_have_different_keys():
    """Python's own hash of them is the same."""
    assert journals.path_key("\u4141") != journals.path_key("AA")
    assert hash("\u4141") == hash("AA"), "what the length is taken in for"


@given(st.text(max_size=8), st.text(max_size=8))
@pytest.mark.parametrize("key", [journals._built_in, journals._digest])
def test_a_path_has_one_key(key, first, second):
    first, second = (name.encode("utf-8", "replace").decode() for name in (first, second))
    assert (key(first) == key(second)) == (first == second)
    assert 0 <= key(first) % 2**64 == key(f"{first} "[:-1]) % 2**64
