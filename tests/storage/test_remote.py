"""Objects are listed and read like files, and a list from a stranger opens nothing else."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import cnnkit
from cnnkit.commands.inputs import counting
from cnnkit.errors import ImageError, UsageError
from cnnkit.images import Finder, read_bytes
from cnnkit.storage import places, remote
from cnnkit.style.job import target_of

fsspec = pytest.importorskip("fsspec")


def put(system, objects: dict[str, bytes]) -> None:
    for key, content in objects.items():
        system.pipe_file(f"b/{key}", content)


def found(*inputs: str, **more) -> list:
    return [(one.path, one.failure and one.failure.kind) for one in Finder(list(inputs), **more)]


def kind_of(path: str, **more) -> str:
    with pytest.raises(ImageError) as caught:
        read_bytes(path, **more)
    return caught.value.kind


KEYS = "B.jpg a.jpg a/z.png a/deep/y.webp a.b/x.gif notes.md .hidden/h.jpg .h.jpg é.jpg Z/1.tif"


def test_prefixes_have_the_order_of_folders(bucket, tmp_path):
    put(bucket, {key: b"x" for key in KEYS.split()})
    for key in KEYS.split():
        (tmp_path / "b" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / key).write_bytes(b"x")
    local = Finder(["b"])
    names = [one.path for one in local]
    finder = Finder(["memory://b"])
    assert [one.path for one in finder] == [f"memory://{name}" for name in names]
    assert finder.skipped == local.skipped == 1
    assert found("memory://b/") == found("memory://b")


def test_objects_patterns_and_what_is_missing(bucket):
    put(
        bucket,
        {"a.jpg": b"1", "c/1.jpg": b"2", "c/2.png": b"3", "empty.jpg": b"", "w[1].jpg": b"4"},
    )
    assert found("memory://b/a.jpg", "memory://b/none.jpg") == [
        ("memory://b/a.jpg", None),
        ("memory://b/none.jpg", None),  # only reading it tells
    ]
    assert (
        kind_of("memory://b/none.jpg") == "missing" and kind_of("memory://b/empty.jpg") == "empty"
    )
    assert kind_of("memory://b/416.jpg") == "missing"  # no HTTP status
    assert found("memory://b/**/*.jpg")[:2] == [
        ("memory://b/a.jpg", None),
        ("memory://b/c/1.jpg", None),
    ]
    assert found("memory://b/c/?.png") == [("memory://b/c/2.png", None)]
    assert found("memory://b/w[1].jpg") == [("memory://b/w[1].jpg", None)]
    assert read_bytes("memory://b/w[1].jpg") == b"4"
    assert found("memory://b/*.tif") == [("memory://b/*.tif", "no-images")]
    assert found("memory://nothing/") == [("memory://nothing/", "missing")]


def test_what_exists_by_the_name_of_a_pattern_is_meant(bucket):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    put(bucket, {"w[1].tar": tar.getvalue(), "d[1]/a.jpg": b"1", "d1/b.jpg": b"2"})
    assert found("memory://b/w[1].tar") == [("memory://b/w[1].tar!a.jpg", None)]
    for folder in ("memory://b/d[1]", "memory://b/d[1]/"):
        assert found(folder) == [("memory://b/d[1]/a.jpg", None)]
    assert found("memory://b/d[12]") == [("memory://b/d1/b.jpg", None)]


def test_the_one_result_of_stylize_is_that_of_one_object(bucket, tmp_path):
    put(bucket, {"a[1].jpg": b"1", "b.jpg": b"2", "c/1.jpg": b"3", "x.tar": b"4"})
    for given in ("a[1].jpg", "b.jpg", "x.tar!a.jpg"):
        assert target_of(f"{tmp_path}/x.png", [f"memory://b/{given}"]).is_file
    for given in ("a[12].jpg", "*.jpg", "c/", "c", "x.tar"):
        with pytest.raises(UsageError, match="must be used with one image"):
            target_of(f"{tmp_path}/x.png", [f"memory://b/{given}"])


def test_urls_are_kept_as_they_are(bucket):
    assert found(
        "memory://b/k.jpg", "memory://b//k.jpg", "memory://b/./k.jpg", "memory://b/k.jpg"
    ) == [
        ("memory://b/k.jpg", None),
        ("memory://b//k.jpg", None),
        ("memory://b/./k.jpg", None),
    ]


def test_sizes_are_bounded_by_the_request(bucket, monkeypatch):
    put(bucket, {"a.jpg": b"12345"})
    asked = []
    cat = bucket.cat_file
    monkeypatch.setattr(bucket, "cat_file", lambda *a, **k: asked.append(k) or cat(*a, **k))
    assert read_bytes("memory://b/a.jpg", max_bytes=5) == b"12345"
    assert kind_of("memory://b/a.jpg", max_bytes=4) == "too-large"
    assert asked == [{"start": 0, "end": 6}, {"start": 0, "end": 5}]


def test_a_tar_object_that_was_replaced_is_indexed_again(bucket):
    def put_tar(*names: str) -> None:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 5
                archive.addfile(info, io.BytesIO(name.encode()))
        put(bucket, {"x.tar": tar.getvalue()})

    put_tar("a.jpg", "b.jpg")
    assert read_bytes("memory://b/x.tar!a.jpg") == b"a.jpg"
    put_tar("b.jpg", "a.jpg")
    assert kind_of("memory://b/x.tar!a.jpg") == "unreadable"  # it could have been the other
    assert read_bytes("memory://b/x.tar!a.jpg") == b"a.jpg"


def test_tar_and_parquet_objects(bucket):
    pyarrow, parquet = (pytest.importorskip(f"pyarrow{name}") for name in ("", ".parquet"))
    tar, table = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name in ("a/1.jpg", "1.cls", "b/2.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(name.encode()[:3]))
    parquet.write_table(pyarrow.table({"image": [b"x", b"y"]}), table)
    put(bucket, {"s/0.tar": tar.getvalue(), "s/1.parquet": table.getvalue(), "s/2.jpg": b"z"})
    assert found("memory://b/s") == [("memory://b/s/2.jpg", None)]
    expected = {
        "memory://b/s/0.tar!a/1.jpg": b"a/1",
        "memory://b/s/0.tar!b/2.jpg": b"b/2",
        "memory://b/s/1.parquet!0": b"x",
        "memory://b/s/1.parquet!1": b"y",
    }
    finder = Finder(["memory://b/s/*.tar", "memory://b/s/1.parquet"])
    assert {one.path: read_bytes(one.path) for one in finder} == expected
    for path, content in expected.items():
        assert found(path) == [(path, None)] and read_bytes(path) == content
    assert kind_of("memory://b/s/0.tar!none.jpg") == "missing"


@pytest.mark.parametrize(
    "path",
    [
        "s3://b/x::file:///etc/passwd",
        "s3://b/x.jpg::file:///etc/passwd.jpg",
        "s3://zip://x.zip::http://localhost/y.jpg",
        "http://127.0.0.1:9/a.jpg",
        "https://127.0.0.1:9/a.jpg",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "local:///etc/passwd",
        "memory://b/a.jpg",
        "simplecache::s3://b/a.jpg",
        "github://o:r@/a.jpg",
        "ftp://127.0.0.1/a.jpg",
        "s3a://b/a.jpg",
        "reference://::file:///etc/passwd",
        "file:///etc/x.tar!a.jpg",
        "http://127.0.0.1:9/x.tar!a.jpg",
        "s3://b/x.tar!a::file:///etc/passwd",
    ],
)
def test_nothing_but_the_known_schemes_is_opened(path, monkeypatch):
    def opened(*arguments, **options):
        raise AssertionError("opened")

    monkeypatch.setattr(fsspec, "filesystem", opened)
    monkeypatch.setattr("socket.socket.connect", opened)
    monkeypatch.setattr(remote, "_opened", {})
    ((shown, kind),) = found(path)
    assert shown == path and kind in ("unsupported", "missing")
    assert kind_of(path) in ("unsupported", "missing")


def test_lists_of_pairs_may_name_objects_and_nothing_else(bucket, examples):
    put(bucket, {"a.jpg": (examples / "astronaut.jpg").read_bytes()})
    Path("pairs.csv").write_text(
        "a,b\nmemory://b/a.jpg,memory://b/none.jpg\nfile:///etc/passwd,http://127.0.0.1:9/b.jpg\n"
    )
    rows = []
    cnnkit.verify_pairs("pairs.csv", root="photos", emit=rows.append)
    assert (rows[0]["a"], rows[0]["b"]) == ("memory://b/a.jpg", "memory://b/none.jpg")
    assert "no such object" in rows[0]["error"]["message"]
    assert (rows[1]["a"], rows[1]["b"]) == (
        os.path.join("photos", "file:///etc/passwd"),
        os.path.join("photos", "http://127.0.0.1:9/b.jpg"),
    )
    assert rows[1]["error"]["kind"] == "missing"


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(places.SCHEMES, "gs", ("gs", "no_such_package"))
    with pytest.raises(UsageError) as caught:
        list(Finder(["gs://b/a.jpg"]))
    message = "gs:// needs the package no_such_package. Install it with: pip install 'cnnkit[gs]'."
    assert str(caught.value) == message


def test_a_bucket_is_not_listed_twice_to_count_it(bucket, monkeypatch):
    put(bucket, {"a.jpg": b"1", "b.jpg": b"2"})
    listed, steps = [], []
    entries = remote.entries
    monkeypatch.setattr(remote, "entries", lambda url: listed.append(url) or entries(url))
    emit = counting(None, lambda *step: steps.append(step), lambda: Finder(["memory://b"]))
    emit({})
    assert listed == [] and steps == [(0, 0), (1, 0)]
    local = counting(None, lambda *step: steps.append(step), lambda: Finder(["none.jpg"]))
    local({})
    assert steps[-1] == (1, 1)


def test_rows_are_those_of_files(bucket, examples):
    images = {name: (examples / name).read_bytes() for name in ("cat.jpg", "coffee.jpg")}
    images["torn.jpg"] = images["cat.jpg"][:9000]
    put(bucket, images)
    Path("b").mkdir()
    for name, content in images.items():
        (Path("b") / name).write_bytes(content)
    rows = []
    inputs = ["b", "memory://b", "memory://b/none.jpg"]
    summary = cnnkit.classify(inputs, emit=rows.append, output="rows.jsonl", report="report.html")
    paths = [row.pop("path") for row in rows]
    assert paths[3:6] == [f"memory://{path}" for path in paths[:3]] and rows[:3] == rows[3:6]
    assert (summary.ok, summary.failed) == (4, 3) and rows[6]["error"]["kind"] == "missing"
    assert cnnkit.classify(inputs, output="rows.jsonl", resume=True).resumed == 7


def test_local_images_import_no_file_system(examples):
    code = (
        "import sys, cnnkit.pipeline, cnnkit.images as images\n"
        "[images.read_bytes(one.path) for one in images.Finder(sys.argv[1])]\n"
        "print({'fsspec', 'tarfile', 'pyarrow', 's3fs', 'aiohttp'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code, str(examples)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("url", ["s3://", "s3:///", "gs://"])
def test_a_url_without_a_bucket_lists_no_other(url):
    """As ``s3://$BUCKET`` is where the variable is not set: all buckets were read."""
    [one] = Finder(url)
    assert (one.failure.kind, one.failure.message) == ("missing", "the URL names no bucket")


# --- a server of S3's protocol ------------------------------------------------------------


@pytest.mark.slow
def test_a_bucket_has_the_rows_of_a_folder(s3, examples):
    files = sorted(examples.glob("*.jpg"))
    for file in files:
        s3.pipe_file(f"bkt/photos/{file.name}", file.read_bytes())
    s3.pipe_file("bkt/photos/empty.jpg", b"")
    s3.pipe_file("bkt/photos/w [1] é?.jpg", files[0].read_bytes())
    assert kind_of("s3://bkt/photos/empty.jpg") == "empty"
    assert kind_of("s3://bkt/photos/none.jpg") == "missing"
    assert kind_of("s3://none/photos/none.jpg") == "missing"
    assert found("s3://bkt/photos/w [1] é?.jpg") == [("s3://bkt/photos/w [1] é?.jpg", None)]
    assert read_bytes("s3://bkt/photos/w [1] é?.jpg") == files[0].read_bytes()
    rows, local = [], []
    cnnkit.classify("s3://bkt/photos/", emit=rows.append, output="rows.jsonl")
    cnnkit.classify(files, emit=local.append)
    by_name = {os.path.basename(row.pop("path")): row for row in rows}
    assert len(by_name) == len(files) + 2
    for row in local:
        assert by_name[os.path.basename(row.pop("path"))] == row
    assert [json.loads(line) for line in Path("rows.jsonl").open()] != []


@pytest.mark.slow
def test_a_tar_file_in_a_bucket(s3, examples):
    with tarfile.open("x.tar", "w") as archive:
        for file in sorted(examples.glob("c*.jpg")):
            archive.add(file, f"d/{file.name}")
    s3.put_file("x.tar", "bkt/shards/0.tar")
    rows, local = [], []
    cnnkit.classify("s3://bkt/shards/*.tar", emit=rows.append)
    cnnkit.classify("x.tar", emit=local.append)
    names = [row.pop("path") for row in rows]
    assert names == [f"s3://bkt/shards/0.tar!d/{p.name}" for p in sorted(examples.glob("c*.jpg"))]
    for row in local:
        del row["path"]
    assert rows == local


def test_an_object_for_which_there_is_no_memory_is_not_called_unreadable(bucket, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    put(bucket, {"b/a.jpg": b"1"})
    monkeypatch.setattr(type(bucket), "cat_file", full)
    assert kind_of("memory://b/a.jpg") == "too-large"
