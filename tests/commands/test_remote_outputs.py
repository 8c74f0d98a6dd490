"""Folder jobs that write into object stores: the files of local runs, and what stays local."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cnnkit
from cnnkit.cli import _run
from cnnkit.errors import UsageError

OUT = "memory://b/out"
# A run that copies its rows often, whose process can be killed.
OFTEN = """
import sys, cnnkit
from cnnkit.writers import replica
replica.SECONDS = 0.2
cnnkit.classify("photos", output=sys.argv[1], embeddings=sys.argv[2], resume="resume" in sys.argv)
"""


def content(bucket, name: str) -> bytes:
    return bucket.cat_file(f"b/out/{name}")


def run_cli(monkeypatch, command: str) -> int:
    monkeypatch.setattr("sys.argv", ["cnnkit", *command.split()])
    return _run()


@pytest.fixture
def photos(bucket, examples) -> Path:
    """A folder with two images and one that is torn, in the current folder."""
    folder = Path("photos")
    folder.mkdir()
    for name in ("astronaut.jpg", "cat.jpg"):
        (folder / name).symlink_to(examples / name)
    (folder / "torn.jpg").write_bytes((examples / "cat.jpg").read_bytes()[:9000])
    return folder


def test_classify(bucket, photos, monkeypatch, capfd):
    cnnkit.classify(photos, output="rows.csv", embeddings="f.npy", report="page.html")
    places = f"-o {OUT}/rows.csv --embeddings {OUT}/f.npy --report {OUT}/page.html"
    assert run_cli(monkeypatch, f"classify photos {places} -q") == 1
    for name in ("rows.csv", "f.npy", "f.npy.paths.jsonl"):
        assert content(bucket, name) == Path(name).read_bytes()
    assert b"torn.jpg" in content(bucket, "page.html")
    assert len(bucket.find("b")) == 4
    assert run_cli(monkeypatch, f"classify photos {places} -q") == 2
    assert f"{OUT}/rows.csv exists already. Use --overwrite" in capfd.readouterr().err
    assert run_cli(monkeypatch, f"classify photos {places} -q --resume") == 1


@pytest.mark.parametrize(
    ("task", "said"),
    [
        pytest.param(
            "detect",
            "detect photos --model nanodet-g --report {}/page.html -o {}/detect.jsonl "
            "-o {}/detect.csv -o coco:{}/boxes.json --counts {}/counts.csv",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("explain", "explain photos/cat.jpg -o {}/explain.jsonl"), marks=pytest.mark.slow
        ),
        pytest.param(
            *("pairs", "verify-face --pairs pairs.csv --root photos -o {}/pairs.jsonl"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("people", "gallery identify team.gallery photos -o {}/people.jsonl"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_other_folder_jobs(bucket, photos, monkeypatch, task, said):
    Path("pairs.csv").write_text("a,b\nastronaut.jpg,astronaut.jpg\ncat.jpg,astronaut.jpg\n")
    if task == "people":
        (Path("team") / "Eileen").mkdir(parents=True)
        (Path("team") / "Eileen" / "a.jpg").symlink_to(photos.resolve() / "astronaut.jpg")
        assert run_cli(monkeypatch, "gallery enroll team.gallery team -q") == 0
    status = run_cli(monkeypatch, said.replace("{}", ".") + " -q")
    assert status == (0 if task == "explain" else 1)
    assert run_cli(monkeypatch, said.replace("{}", OUT) + " -q") == status
    assert content(bucket, f"{task}.jsonl") == Path(f"{task}.jsonl").read_bytes() != b""
    if task == "detect":
        for name in ("detect.csv", "boxes.json", "counts.csv"):
            assert content(bucket, name) == Path(name).read_bytes()
    assert len(bucket.find("b")) == (5 if task == "detect" else 1)


def test_an_interrupted_run_is_resumed_elsewhere(bucket, photos, monkeypatch, tmp_path):
    cnnkit.classify(photos, output="rows.jsonl")

    def interrupt(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cnnkit.classify(photos, output=f"{OUT}/rows.jsonl", emit=interrupt)
    assert [*bucket.find("b")] == [f"/b/out/rows.jsonl.parts/{n:08d}" for n in (1, 2)]
    with pytest.raises(UsageError, match="`resume` requires the same options"):
        cnnkit.classify(photos, output=f"{OUT}/rows.jsonl", resume=True, top_k=2)
    outputs = Path(os.environ["CNNKIT_CACHE"]) / "outputs"
    outputs.rename(tmp_path / "gone")
    assert cnnkit.classify(photos, output=f"{OUT}/rows.jsonl", resume=True).resumed == 1
    assert content(bucket, "rows.jsonl") == Path("rows.jsonl").read_bytes()
    assert len(bucket.find("b")) == 1 and not list(outputs.iterdir())


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("detect", {"output": ["rows.jsonl", f"yolo:{OUT}/rows"]}),
        ("detect", {"output": f"VOC:{OUT}/boxes"}),
        ("detect", {"crops": f"{OUT}/crops"}),
        ("explain", {"overlays": f"{OUT}/overlays"}),
        ("explain", {"report": f"{OUT}/page.html"}),
        ("classify", {"sort_into": f"{OUT}/sorted"}),
        ("dedupe", {"output": f"{OUT}/rows.jsonl"}),
        ("search", {"output": f"{OUT}/rows.jsonl"}),
    ],
)
def test_what_is_local_only(bucket, name, keywords):
    given = ["f.npy", "x.jpg"] if name == "search" else ["x.jpg"]
    with pytest.raises(UsageError, match="must be a local file or folder"):
        getattr(cnnkit, name)(*given, **keywords)
    assert not bucket.store


@pytest.mark.parametrize(
    ("inputs", "output", "refused"),
    [
        (f"{OUT}/x.parquet", f"{OUT}/x.parquet", True),
        (f"{OUT}/x.parquet!3", f"{OUT}/x.parquet", True),
        (f"{OUT}/*.parquet", f"{OUT}/x.parquet", True),
        (f"{OUT}/*.parquet", f"{OUT}/y.parquet", False),
        (f"{OUT}/x.parquet", f"{OUT}//x.parquet", False),
    ],
)
def test_no_output_is_an_input(bucket, inputs, output, refused):
    bucket.pipe_file("b/out/x.parquet", b"mine")
    bucket.pipe_file("b/out/y.parquet/z", b"no match")
    said = "must not be an input" if refused else "`top_k`"
    with pytest.raises(UsageError, match=said):
        cnnkit.classify(inputs, output=output, overwrite=True, top_k=0)
    assert content(bucket, "x.parquet") == b"mine"


@pytest.mark.parametrize("output", [f"{OUT}/rows.txt", "memory://b", f"{OUT}/x::memory://y.csv"])
def test_places_that_cannot_be_written(bucket, photos, output):
    with pytest.raises(UsageError, match="`output` must") as caught:
        cnnkit.classify(photos, output=output)
    assert output in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"output": f"coco:{OUT}/boxes.txt"},
        {"output": [f"{OUT}/rows.csv", f"{OUT}/further/"]},
        {"counts": f"{OUT}/counts.txt"},
    ],
)
def test_further_outputs_of_detect_have_their_suffixes(bucket, photos, options):
    with pytest.raises(UsageError, match=r"must (end|name an object)") as caught:
        cnnkit.detect(photos, **options)
    assert OUT in str(caught.value)


@pytest.mark.slow
def test_a_killed_run_is_resumed_elsewhere_on_a_server(s3, examples, tmp_path):
    Path("photos").mkdir()
    for number in range(100):
        for file in examples.glob("c*.jpg"):
            (Path("photos") / f"{number:03d}-{file.name}").symlink_to(file)
    cnnkit.classify("photos", output="rows.jsonl", embeddings="f.npy")
    places = ["s3://bkt/out/rows.jsonl", "s3://bkt/out/f.npy"]

    def started(cache: str, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-c", OFTEN, *places, *more]
        return subprocess.Popen(command, env=os.environ | {"CNNKIT_CACHE": str(tmp_path / cache)})

    def parts() -> int:
        return len(s3.find("bkt/out/rows.jsonl.parts"))

    for number, more in enumerate(([], ["resume"])):
        process, before = started(f"cache-{number}", *more), parts()
        while parts() < before + 2:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not s3.exists(places[0])
    summary = cnnkit.classify(  # in this process: on a third machine
        "photos", output=places[0], embeddings=places[1], resume=True
    )
    assert 0 < summary.resumed < 300
    for name in ("rows.jsonl", "f.npy"):
        assert s3.cat_file(f"bkt/out/{name}") == Path(name).read_bytes()
    assert len(s3.find("bkt/out")) == 3  # and the paths of the embeddings
    assert len([json.loads(line) for line in Path("rows.jsonl").open()]) == 300
