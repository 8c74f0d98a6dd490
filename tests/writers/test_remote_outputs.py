"""Outputs in object stores: the rows of a local run, whatever ends a run on whatever machine."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest

import cnnkit
from cnnkit.errors import CnnkitError, OutputError, UsageError
from cnnkit.folder_job import FolderJob, Outputs, Summary
from cnnkit.images import Found
from cnnkit.results import Failure, make_row, path_fields
from cnnkit.storage import remote, writing
from cnnkit.writers import journal, replica
from cnnkit.writers.remote_files import RemoteFile, local_file, named_by_url, remote_files
from cnnkit.writers.row_tables import ClassificationTable
from cnnkit.writers.shards import Shard

HEADER = {"command": "test", "model": "abc", "options": {"top_k": 5}}
INPUTS = [f"{number}.jpg" for number in range(9)]
ROWS, FEATURES, PAGE = (f"memory://b/out/{name}" for name in ("rows.csv", "f.npy", "page.html"))


class Killed(BaseException):
    """What ends a process without a word."""


@pytest.fixture(autouse=True)
def a_part_for_each_row(machine, monkeypatch):
    monkeypatch.setattr(replica, "SECONDS", 0.0)
    monkeypatch.setattr(journal, "SECONDS_UNSAVED", 0.0)


def row_of(path: str):
    if path == "3.jpg":
        return make_row(path, Failure("corrupt", "bad")), None
    row = {"label": "cat", "score": 0.5, "predictions": []}
    return path_fields(path) | {"status": "ok"} | row, np.full(3, int(path[0]), np.float32)


def page(path: Path, rows) -> None:
    path.write_text("".join(json.dumps(row) for row in rows))


def job_of(rows=ROWS, features=FEATURES, report=PAGE, header=HEADER, **flags) -> FolderJob:
    places = [local_file(one) if one else None for one in (rows, features, report)]
    files = remote_files(rows, features, report)
    outputs = Outputs(*places, remote=files, **flags)
    return FolderJob(outputs, header, 3, ClassificationTable(), page)


def run(*places, inputs=INPUTS, until=None, dies=False, **flags) -> Summary:
    """Run a job; `until` so many new rows, where it is interrupted or dies."""
    with named_by_url(remote_files(*(places or (ROWS, FEATURES, PAGE)))):
        job = job_of(*places, **flags)
        try:
            for number, found in enumerate(job.pending(map(Found, inputs))):
                if number == until:
                    raise Killed
                job.record(*row_of(found.path))
            return job.finish()
        except Killed:
            if dies:  # nothing is said to anybody; the system takes the locks
                job._remote._locks.close()
                job._journal.close()
                job._spool.close()
                job._remote = None
            raise
        finally:
            job.close()


def killed(*places, until=5, dies=True, **flags) -> None:
    with pytest.raises(Killed):
        run(*places, until=until, dies=dies, **flags)


def objects(bucket) -> dict[str, bytes]:
    return {name.removeprefix("/b/out/"): bucket.cat_file(name) for name in bucket.find("b")}


@pytest.fixture
def expected(tmp_path) -> dict[str, bytes]:
    """What a local run writes."""
    folder = tmp_path / "local"
    folder.mkdir()
    run(*(str(folder / name) for name in ("rows.csv", "f.npy", "page.html")))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(kind=UsageError, *places, **flags) -> str:
    with pytest.raises(kind) as caught:
        run(*places, **flags)
    assert "cache" not in str(caught.value) and "/first/" not in str(caught.value)
    return str(caught.value)


def test_objects_are_the_files_of_a_local_run(bucket, machine, expected):
    summary = run()
    assert (summary.ok, summary.failed, summary.resumed) == (8, 1, 0)
    assert objects(bucket) == expected
    assert not list(machine("first").iterdir())  # nothing stays here


def test_a_run_that_dies_is_resumed_on_another_machine(bucket, machine, expected):
    killed()
    parts = objects(bucket)
    assert [*parts] == [f"rows.csv.parts/{number:08d}" for number in range(1, 7)]
    machine("second")
    killed(until=2, resume=True)
    machine("third")
    assert run(resume=True) == Summary(8, 1, 7)
    assert objects(bucket) == expected
    machine("first")  # which has what it had when it died
    assert run(resume=True) == Summary(8, 1, 9)
    assert objects(bucket) == expected


def test_parts_are_only_added(bucket):
    killed()
    before = objects(bucket)
    killed(until=2, resume=True)
    after = objects(bucket)
    assert len(after) > len(before) and {name: after[name] for name in before} == before


def test_what_was_not_copied_yet_is_kept_here(bucket, machine, expected, monkeypatch):
    monkeypatch.setattr(replica, "SECONDS", 1000.0)
    killed()
    assert len(objects(bucket)) == 1
    assert "is an unfinished run" in refusal()  # and takes nothing away
    assert run(resume=True) == Summary(8, 1, 5)
    assert objects(bucket) == expected
    killed(overwrite=True)
    machine("second")
    assert run(resume=True) == Summary(8, 1, 0)


def test_rows_of_a_run_that_was_started_over_elsewhere_are_not_kept(bucket, machine, monkeypatch):
    monkeypatch.setattr(replica, "SECONDS", 1000.0)
    killed(until=7)
    machine("second")
    killed(until=2, overwrite=True)
    machine("first")
    assert run(resume=True).resumed == 0


def test_an_interruption_copies_what_is_complete(bucket, machine, monkeypatch):
    monkeypatch.setattr(replica, "SECONDS", 1000.0)
    killed(dies=False)
    machine("second")
    assert run(resume=True).resumed == 5


def test_large_steps_are_divided_and_features_go_ahead(bucket, machine, monkeypatch, expected):
    monkeypatch.setattr(replica, "SECONDS", 1000.0)
    monkeypatch.setattr(replica, "PART_BYTES", 40)
    killed(dies=False)
    sizes = [len(content.partition(b"\n")[2]) for content in objects(bucket).values()]
    assert max(sizes) <= 40 and len(sizes) > 10
    del bucket.store[f"/b/out/rows.csv.parts/{len(sizes):08d}"]  # a row is cut in two
    machine("second")
    assert run(resume=True).resumed == 4
    assert objects(bucket) == expected


def test_an_object_and_an_unfinished_run_are_not_overwritten(bucket, expected):
    bucket.pipe_file("b/out/f.npy", b"mine")
    assert refusal() == (
        f"{FEATURES} exists already. Use `overwrite=True` to overwrite it, or another name."
    )
    assert objects(bucket) == {"f.npy": b"mine"}
    killed(overwrite=True)
    assert refusal().startswith(f"{ROWS}.parts/ is an unfinished run. Use `resume=True`")
    assert run(overwrite=True).resumed == 0
    assert objects(bucket) == expected
    assert refusal().startswith(f"{ROWS} exists already.")


def test_a_resumed_run_must_be_the_same(bucket, machine):
    killed()
    other = HEADER | {"options": {"top_k": 6}}
    assert "`resume` requires the same options. Received: top_k then 5, now 6." in refusal(
        resume=True, header=other
    )
    assert "must hold rows of this run's inputs" in refusal(inputs=INPUTS[6:], resume=True)
    machine("second")
    run(resume=True)
    assert refusal(resume=True, inputs=["new.jpg"]) == (
        f"{ROWS} is complete and has no row for new.jpg. Use another `output` for the new inputs, "
        "or `overwrite=True` to write all rows again."
    )


def test_parts_that_are_missing_or_changed_are_refused(bucket, machine):
    killed()
    name = "/b/out/rows.csv.parts/00000003"
    content = bucket.store[name].getvalue()
    machine("second")
    for changed in (None, content[:-1], b"anything", content.replace(b"cat", b"dog")):
        del bucket.store[name]
        if changed is not None:
            bucket.pipe_file(name, changed)
        assert f"memory:/{name} must be as this run wrote it" in refusal(resume=True)
        bucket.pipe_file(name, content)
    assert run(resume=True).resumed == 5


def test_of_two_runs_that_start_at_once_one_ends(bucket, machine, monkeypatch):
    first = job_of()
    before = objects(bucket)
    machine("second")
    with monkeypatch.context() as patch:  # it has looked before the other one began
        patch.setattr(replica.Replica, "is_unfinished", lambda self: False)
        assert (
            refusal(OutputError) == f"{ROWS} is being written by another run. Wait for it to end."
        )
    assert objects(bucket) == before
    machine("first")
    first.record(*row_of("0.jpg"))
    first.close()


def test_of_two_runs_that_resume_at_once_one_ends(bucket, machine, expected):
    killed()
    first = job_of(resume=True)
    machine("second")
    second = job_of(resume=True)
    second.record(*row_of("5.jpg"))
    with pytest.raises(OutputError, match="is being written by another run"):
        first.record(*row_of("5.jpg"))
    first.close()
    second.close()
    machine("first")
    assert run(resume=True).resumed == 6
    assert objects(bucket) == expected


def test_a_run_notices_that_another_has_started_over(bucket, machine, expected):
    first = job_of()
    first.record(*row_of("0.jpg"))
    machine("second")
    killed(until=0, overwrite=True)
    machine("first")
    with pytest.raises(OutputError, match="is being written by another run"):
        first.record(*row_of("1.jpg"))
    first.close()
    # What it wrote at the last moment is in nobody's way.
    bucket.pipe_file("b/out/rows.csv.parts/00000003", replica_part(bucket, run="another"))
    machine("second")
    run(resume=True)
    assert objects(bucket) == expected


def replica_part(bucket, run: str) -> bytes:
    content = bucket.cat_file("b/out/rows.csv.parts/00000001")
    head, _, body = content.partition(b"\n")
    return json.dumps(json.loads(head) | {"run": run}).encode() + b"\n" + body


@pytest.mark.parametrize("places", [(ROWS, FEATURES, PAGE), (None, FEATURES, PAGE)])
def test_two_runs_here_exclude_each_other(bucket, places, expected):
    first = job_of(*places)
    with pytest.raises(UsageError, match="is being written by another run"):
        job_of(*places, overwrite=True)
    for number in INPUTS:
        first.record(*row_of(number))
    first.finish()
    assert objects(bucket)["f.npy"] == expected["f.npy"]


def test_an_answer_that_is_lost_is_no_other_run(bucket, expected, monkeypatch):
    pipe, lost = bucket.pipe_file, []

    def pipe_file(path, data, **options):
        pipe(path, data, **options)
        if path.endswith(("2", "4")) and path not in lost:
            lost.append(path)
            raise ConnectionError("gone")

    monkeypatch.setattr(
        type(bucket),
        "pipe_file",
        lambda self, *a, mode="", **k: pipe_file(*a, **({"mode": mode} if mode else {}), **k),
    )
    run()
    assert len(lost) == 2 and objects(bucket) == expected


def test_a_lost_network_ends_the_run_and_its_rows_are_kept(bucket, expected, monkeypatch, caplog):
    job = job_of()
    job.record(*row_of("0.jpg"))

    def fails(*arguments, **options):
        raise ConnectionError("no route to http://key:secret@host/b?X-Amz-Signature=abc")

    with monkeypatch.context() as patch:
        patch.setattr(type(bucket), "pipe_file", fails)
        with caplog.at_level(logging.WARNING):
            job.record(*row_of("1.jpg"))  # it may come back
        assert "The run continues and tries again" in caplog.text
        patch.setattr(replica, "PATIENCE", 0.0)
        with pytest.raises(OutputError) as caught:
            job.record(*row_of("2.jpg"))
        job.close()
    message = str(caught.value)
    assert message == (
        f"{ROWS}.parts/00000003 cannot be written: no route to http://host/b. The rows are saved "
        "on this machine. Fix the cause, then run the same command with `resume=True`."
    )
    assert run(resume=True) == Summary(8, 1, 3)
    assert objects(bucket) == expected


@pytest.mark.parametrize("error", [PermissionError("AKIA"), FileNotFoundError("x")])
def test_a_store_that_refuses_ends_the_run_at_once(bucket, machine, error, monkeypatch):
    def fails(*arguments, **options):
        raise error

    monkeypatch.setattr(type(bucket), "pipe_file", fails)
    message = refusal(OutputError)
    assert message.startswith(f"{ROWS}.parts/00000001 cannot be written: ")
    assert "AKIA" not in message and objects(bucket) == {}
    assert not list(machine("first").iterdir())


def test_an_upload_that_fails_can_be_resumed(bucket, machine, expected, monkeypatch):
    def fails(*arguments, **options):
        raise OSError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(type(bucket), "put_file", fails)
        message = refusal(OutputError)
    assert "cannot be written: cut off. The rows are saved on this machine. Fix" in message
    with monkeypatch.context() as patch:
        patch.setattr(writing, "object_size", lambda url: 3)
        assert "must have" in refusal(OutputError, resume=True)
    machine("second")
    assert run(resume=True) == Summary(8, 1, 9)
    assert objects(bucket) == expected


def test_parts_of_a_finished_run_are_removed_by_the_next(bucket, expected, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(replica.Replica, "remove", lambda self: None)
        run()
    assert "rows.csv.parts/done" in objects(bucket)
    assert run(resume=True).resumed == 9
    assert objects(bucket) == expected


def test_shards_have_their_records_beside_them(bucket):
    run(shard=Shard(1, 2))
    found = objects(bucket)
    assert {"rows.csv.shard.json", "f.npy.shard.json"} <= {*found}
    assert json.loads(found["rows.csv.shard.json"])["size"] == len(found["rows.csv"])


def test_what_lies_beside_a_replaced_object_goes_with_it(bucket):
    """Paths of other images beside new embeddings: whoever copied both searched the wrong ones."""
    names = [f"memory://b/out/part {number}" for number in range(2)]
    for number, name in enumerate(names):
        run(f"{name}.csv", f"{name}.npy", None, shard=Shard(number, 2))
    bucket.pipe_file("b/out/all.npy", b"of another run")
    bucket.pipe_file("b/out/all.npy.paths.jsonl", b"of another run")
    cnnkit.merge([f"{name}.npy" for name in names], "memory://b/out/all.npy", overwrite=True)
    assert "all.npy" in objects(bucket) and "all.npy.paths.jsonl" not in objects(bucket)


def test_shards_are_merged(bucket, machine, expected, tmp_path):
    names = [f"memory://b/out/part {number}" for number in range(3)]
    parts = [f"{name}.csv" for name in names]
    for number, name in enumerate(names[:2]):
        run(f"{name}.csv", f"{name}.npy", None, shard=Shard(number, 3))
    machine("second")
    told = f"{parts[2]} cannot be read: No such file or directory."
    with pytest.raises(UsageError, match=re.escape(told)):
        cnnkit.merge(parts, ROWS)
    killed(parts[2], f"{names[2]}.npy", None, shard=Shard(2, 3), until=1)
    with pytest.raises(UsageError, match=re.escape(f"{parts[2]} must be finished")):
        cnnkit.merge(parts, ROWS)
    run(parts[2], f"{names[2]}.npy", None, shard=Shard(2, 3), resume=True)
    assert cnnkit.merge(reversed(parts), ROWS) == 9
    cnnkit.merge([f"{name}.npy" for name in names], tmp_path / "f.npy")
    assert objects(bucket)["rows.csv"] == expected["rows.csv"]
    assert (tmp_path / "f.npy").read_bytes() == expected["f.npy"]
    with pytest.raises(UsageError, match=f"{ROWS} exists already"):
        cnnkit.merge(parts, ROWS)
    with pytest.raises(UsageError, match=f"must not be an input. Received: {parts[0]}, "):
        cnnkit.merge(parts, parts[0], overwrite=True)
    with pytest.raises(UsageError, match=re.escape(f"{ROWS[:-3]}txt")):
        cnnkit.merge(parts, f"{ROWS[:-3]}txt")
    assert not list(machine("second").iterdir())


def test_only_some_outputs_are_objects(bucket, machine, expected, tmp_path):
    places = (str(tmp_path / "rows.csv"), FEATURES, None)
    killed(*places)
    assert objects(bucket) == {}
    run(*places, resume=True)
    assert objects(bucket)["f.npy"] == expected["f.npy"]
    assert (tmp_path / "rows.csv").read_bytes() == expected["rows.csv"]
    run(None, None, PAGE)
    assert objects(bucket)["page.html"] == expected["page.html"]
    assert not list(machine("first").iterdir())


def test_errors_are_retried_from_elsewhere(bucket, machine, expected):
    killed()
    machine("second")
    assert run(resume=True, retry_errors=True) == Summary(8, 1, 4)
    assert objects(bucket) == expected


def test_images_are_not_sorted_by_rows_elsewhere(tmp_path):
    outputs = {"rows": local_file(ROWS), "remote": remote_files(ROWS)}
    with pytest.raises(UsageError, match="`output` must be a local file with `sort_into`"):
        Outputs(**outputs, sort_into=tmp_path / "sorted")


def test_places_on_this_machine_are_apart_and_harmless():
    places = [
        local_file(f"s3://b/{name}") for name in ("x.csv", "x.CSV", "../x.csv", "a/.../x.c d")
    ]
    assert len(set(places)) == 4 and {path.name for path in places} == {
        *("output.csv", "output.CSV", "output")
    }
    assert len({len(path.parts) for path in places}) == 1
    assert local_file("x.csv") == Path("x.csv") and remote_files("x.csv", None, "") == ()


def test_credentials_are_not_shown():
    secret = "wJalrXUtnFEMI"
    for text in (
        f"https://host/c?sv=1&sig={secret}",
        f"https://me:{secret}@host/x",
        f"AccountKey={secret};x",
        f"Authorization: Bearer {secret}",
        f"aws_secret_access_key = {secret}",
        f"X-Amz-Security-Token={secret}&b=1",
    ):
        assert secret not in writing.harmless(text) and len(writing.harmless(text)) > 5
    assert writing.reason_of(ValueError("plain words")) == "plain words"
    assert writing.reason_of(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    "url", ["s3://b", "s3://b/", "s3://b/x/", "s3://b/*.csv", "s3://b/x::file:///y", "s3://b/a\nb"]
)
def test_a_url_that_names_no_object_is_refused(url):
    with pytest.raises(UsageError, match="`output` must"):
        writing.check_target("`output`", url)


def test_a_store_without_conditions_is_asked_before(bucket, monkeypatch):
    monkeypatch.setattr(writing, "_CONDITIONS", {})
    writing.put_object("memory://b/x", b"1", new=True)
    with pytest.raises(FileExistsError):
        writing.put_object("memory://b/x", b"2", new=True)
    assert remote.read_object("memory://b/x") == b"1"


def test_errors_name_the_objects():
    file = RemoteFile.of(ROWS)
    with pytest.raises(CnnkitError) as caught, named_by_url([file]):
        raise UsageError(f"{file.local}.part is bad")
    assert str(caught.value) == f"{ROWS}.part is bad"
    assert os.fspath(file.folder) not in str(caught.value)


def test_an_upload_has_no_more_requests_than_a_store_allows():
    for size in (0, writing.UPLOAD_BYTES * writing.MAX_REQUESTS + 1, 5 * 1024**4):
        least = writing._upload_options("s3://b/x", size)["chunksize"]
        assert least >= writing.UPLOAD_BYTES and least * writing.MAX_REQUESTS >= size
    assert writing._upload_options("hf://b/x", 1) == {}


@pytest.mark.slow
def test_a_large_upload_is_whole_and_new(s3, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(np.random.default_rng(0).bytes(3 * writing.UPLOAD_BYTES + 5))
    writing.upload(file, "s3://bkt/large.npy", new=True)
    with pytest.raises(FileExistsError):
        writing.upload(file, "s3://bkt/large.npy", new=True)
    writing.download("s3://bkt/large.npy", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    prefix = "s3://bkt/many.parts/"
    for number in range(20):
        writing.put_object(f"{prefix}{number}", b"x", new=True)
    assert len(writing.objects_below(prefix)) == len(writing.objects_in(prefix)) == 20
    writing.remove_objects(prefix, map(str, range(21)))
    assert writing.objects_below(prefix) == {}


def test_a_url_of_another_kind_is_no_file():
    with pytest.raises(UsageError, match="a URL of s3://, gs://, az://, hf://"):
        local_file("ftp://x/a.jsonl")
    assert local_file("ftp:/x/a.jsonl") == Path("ftp:/x/a.jsonl")
