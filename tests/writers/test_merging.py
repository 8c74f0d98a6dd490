"""Shards: their files, merged, are the file of one run; anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cnnkit
from cnnkit.embedding_index import EmbeddingIndex
from cnnkit.errors import UsageError
from cnnkit.folder_job import FolderJob, Outputs
from cnnkit.images import Finder, Found
from cnnkit.results import path_fields
from cnnkit.writers.embedding_paths import EmbeddingsOrigin, write_paths
from cnnkit.writers.row_tables import ClassificationTable, DetectionTable
from cnnkit.writers.shards import Shard

HEADER = {"command": "test", "model": "abc", "options": {"top_k": 5}}
# The first looks like a formula, the second is not UTF-8, the third has a line end.
NAMES = ["=1.jpg", "caf\udce9.jpg", "two\nlines.jpg", *(f"{n}.jpg" for n in range(8))]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def row_of(path: str) -> dict:
    """A failure, or as many boxes as the name has letters."""
    if path.startswith("3"):
        return {**path_fields(path), "status": "error", "error": {"kind": "empty", "message": "0"}}
    box = {"label": "cat", "class_id": 1, "score": 0.5, "box": [1.0, 2.0, 3.0, 4.0]}
    boxes = {"width": 8, "height": 9, "detections": [box] * (len(path) % 3)}
    return {**path_fields(path), "status": "ok", "label": "cat", "score": 0.5, **boxes}


def run(output: str, shard=None, *, names=NAMES, header=HEADER, table=None, **more) -> None:
    embeddings = Path(more.pop("embeddings")) if "embeddings" in more else None
    outputs = Outputs(Path(output), embeddings, shard=Shard.of(shard), **more)
    job = FolderJob(outputs, header, 3, table or DetectionTable())
    try:
        for item in job.pending([Found(name) for name in names]):
            features = np.full(3, len(item.path), np.float32)
            job.record(row_of(item.path), None if item.path.startswith("3") else features)
        job.finish()
    finally:
        job.close()


def shards(count: int, suffix: str, **more) -> list[str]:
    paths = [f"part-{index}{suffix}" for index in range(count)]
    for index, path in enumerate(paths):
        run(path, (index, count), **more)
    return paths


@pytest.mark.parametrize("count", [1, 2, 3, 11, 13])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_merged_files_are_byte_for_byte_those_of_one_run(count, suffix):
    run(f"one{suffix}")
    parts = shards(count, suffix)
    assert cnnkit.merge(reversed(parts), f"merged{suffix}") == len(NAMES)
    assert Path(f"merged{suffix}").read_bytes() == Path(f"one{suffix}").read_bytes()


@pytest.mark.parametrize("count", [1, 3, 13])
def test_parquet_and_embeddings_merge(count, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("cnnkit.writers.merging.PARQUET_ROW_GROUP", 2 * count)
    monkeypatch.setattr("cnnkit.writers.merging.ROWS_AT_ONCE", 2 * count)
    run("one.parquet", embeddings="one.npy")
    features = [f"part-{index}.npy" for index in range(count)]
    for index, place in enumerate(features):
        run(f"part-{index}.parquet", (index, count), embeddings=place)
    cnnkit.merge([f"part-{index}.parquet" for index in range(count)], "merged.parquet")
    assert parquet.read_table("merged.parquet") == parquet.read_table("one.parquet")
    cnnkit.merge(features, "merged.npy")
    assert Path("merged.npy").read_bytes() == Path("one.npy").read_bytes()


def test_merged_embeddings_can_be_searched_like_those_of_one_run():
    origin = EmbeddingsOrigin("lite", "efficientnet-lite0", "c" * 64, "crop")
    features = [Path(f"part-{index}.npy") for index in range(3)]
    for index, place in enumerate(features):
        run(f"part-{index}.jsonl", (index, 3), embeddings=place)
        write_paths(place, origin, [path_fields(name) for name in NAMES[index::3]])
    cnnkit.merge(features, "merged.npy")
    assert [line["path"] for line in EmbeddingIndex("merged.npy").lines()] == NAMES
    write_paths(features[1], replace(origin, model="other"), [{"path": "a"}] * 4)
    before = Path("merged.npy").read_bytes(), Path("merged.npy.paths.jsonl").read_bytes()
    Path("part-2.npy").write_bytes(Path("part-1.npy").read_bytes()[::-1])
    with pytest.raises(UsageError, match=r"part-1\.npy must be as its run finished it"):
        cnnkit.merge(features, "merged.npy", overwrite=True)
    assert before == (Path("merged.npy").read_bytes(), Path("merged.npy.paths.jsonl").read_bytes())


def test_embeddings_are_never_merged_beside_the_paths_of_others(caplog):
    """Those of the file that was overwritten stayed: a search named other images."""
    for index in range(2):
        run(f"part-{index}.jsonl", (index, 2), embeddings=f"part-{index}.npy")
    origin = EmbeddingsOrigin("lite", "efficientnet-lite0", "c" * 64, "crop")
    Path("merged.npy").write_bytes(b"of another run")
    write_paths(Path("merged.npy"), origin, [path_fields(f"other-{name}") for name in NAMES])
    cnnkit.merge(["part-0.npy", "part-1.npy"], "merged.npy", overwrite=True)
    assert not Path("merged.npy.paths.jsonl").exists()
    assert "part-0.npy has no part-0.npy.paths.jsonl" in caplog.text


def test_shards_of_a_folder_take_every_nth_image_and_say_so_in_their_journal(examples):
    run("part.jsonl", "1/4", table=ClassificationTable(), names=NAMES)
    rows = [json.loads(line) for line in Path("part.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows] == NAMES[1::4]
    outputs = Outputs(Path("other.jsonl"), shard=Shard(1, 4))
    job = FolderJob(outputs, HEADER)
    job.close()
    with pytest.raises(UsageError, match=r"the same shard. Received: then '1/4', now '2/4'"):
        FolderJob(Outputs(Path("other.jsonl"), shard=Shard(2, 4), resume=True), HEADER)
    with pytest.raises(UsageError, match=r"the same shard. Received: then '1/4', now None"):
        FolderJob(Outputs(Path("other.jsonl"), resume=True), HEADER)


def test_a_resumed_shard_merges_as_well():
    run("one.jsonl")
    parts = shards(2, ".jsonl")
    Path(parts[0]).unlink()
    job = FolderJob(Outputs(Path(parts[0]), shard=Shard(0, 2)), HEADER, table=DetectionTable())
    item = next(iter(job.pending([Found(name) for name in NAMES])))
    job.record(row_of(item.path))
    job.close()
    with pytest.raises(UsageError, match="must be finished"):
        Path(f"{parts[0]}.shard.json").unlink()
        cnnkit.merge(parts, "merged.jsonl")
    run(parts[0], "0/2", resume=True)
    cnnkit.merge(parts, "merged.jsonl")
    assert Path("merged.jsonl").read_bytes() == Path("one.jsonl").read_bytes()


def test_parts_that_do_not_belong_together_are_refused():
    first, second, third = shards(3, ".jsonl")
    refusals = [
        ([first, second], "be the files of all 3 shards. Received: no file of shard 2/3"),
        ([first, second, third, second], "both 1/3"),
    ]
    run("other.jsonl", "2/3", header=HEADER | {"model": "def"})
    refusals.append(([first, second, "other.jsonl"], "model: 'abc' and 'def'"))
    run("options.jsonl", "2/3", header=HEADER | {"options": {"top_k": 1}})
    refusals.append(([first, second, "options.jsonl"], "options: top_k 5 and 1"))
    run("fewer.jsonl", "2/3", names=NAMES[:-1])
    refusals.append(([first, second, "fewer.jsonl"], "runs over 11 and 10 inputs"))
    run("renamed.jsonl", "2/3", names=[*NAMES[:-1], "x.jpg"])
    refusals.append(([first, second, "renamed.jsonl"], "runs over different inputs"))
    run("of_two.jsonl", "1/2")
    refusals.append(([first, "of_two.jsonl"], "shards 0/3 and 1/2"))
    run("whole.jsonl")
    refusals.append(([first, second, "whole.jsonl"], "whole.jsonl.shard.json beside it"))
    refusals.append(([first, second, "none.jsonl"], "none.jsonl cannot be read"))
    refusals.append(([], "`parts` is required"))
    for parts, message in refusals:
        with pytest.raises(UsageError) as caught:
            cnnkit.merge(parts, "merged.jsonl")
        assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("merged.jsonl").exists() and not list(Path().glob(".cnnkit*"))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("change", ["cut", "doubled", "flipped", "empty"])
def test_parts_that_were_changed_are_refused(suffix, change):
    parts = shards(2, suffix)
    content = Path(parts[1]).read_bytes()
    last = content.splitlines(keepends=True)[-1]
    changed = {
        "cut": content[: -len(last)],
        "doubled": content + last,
        "flipped": content[:40] + bytes([content[40] ^ 1]) + content[41:],
        "empty": b"",
    }
    Path(parts[1]).write_bytes(changed[change])
    with pytest.raises(UsageError, match="must be as its run finished it"):
        cnnkit.merge(parts, f"merged{suffix}")
    assert not Path(f"merged{suffix}").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"cnnkit_shard": 2}',
        "[" * 100_000,
        json.dumps(
            {"cnnkit_shard": 1, "kind": "rows", "shard": "9/3", "inputs": 1, "inputs_digest": ""}
            | {"rows": 1, "size": 1, "checksum": 1, "run": {}}
        ),
        '"' + "a" * (2 << 20) + '"',
    ],
)
def test_a_record_that_is_none_is_refused(text):
    first, second = shards(2, ".jsonl")
    Path(f"{second}.shard.json").write_text(text)
    with pytest.raises(UsageError, match="must be the record of a shard"):
        cnnkit.merge([first, second], "merged.jsonl")


@pytest.mark.parametrize("given", ["", "1", "1/", "3/3", "0/0", "-1/3", "1/3/5", "a/b", (1,), 7])
def test_shards_that_are_none_are_refused(given):
    with pytest.raises(UsageError, match="`shard` must be I/N"):
        Shard.of(given)


def test_options_that_shards_cannot_have(examples):
    with pytest.raises(UsageError, match="`shard` and `sort_into` are mutually exclusive"):
        cnnkit.classify(examples, shard="0/2", sort_into="sorted")
    with pytest.raises(UsageError, match="`shard` and `where` are mutually exclusive"):
        cnnkit.detect(examples, shard="0/2", where="cat>=1")


def test_the_function_takes_its_shard_and_counts_it(examples):
    total = sum(1 for _ in Finder([str(examples)]))
    rows, steps = [], []
    cnnkit.classify(
        examples,
        shard=(1, 3),
        embeddings="part.npy",
        emit=rows.append,
        progress=lambda *step: steps.append(step),
    )
    assert len(rows) == len(range(1, total, 3)) and steps[-1] == (len(rows), len(rows))
    assert json.loads(Path("part.npy.shard.json").read_text())["kind"] == "embeddings"
