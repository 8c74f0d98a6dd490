"""The folder jobs with `engine`: the files of one process; the workers are in this one."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

import pytest

import cnnkit
from cnnkit.commands.clusters import named_elsewhere
from cnnkit.errors import UsageError
from tests.cluster.local_pool import local_pools


@pytest.fixture(autouse=True)
def photos(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three images, one that is none, and a file that is no image."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("cat.jpg", "coffee.jpg", "photographer.jpg"):
        shutil.copy(examples / name, folder)
    (folder / "text.jpg").write_text("no image")
    (folder / "notes.md").write_text("no image")
    return folder


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch):
    """Workers of this process in the place of Ray's."""
    made = local_pools()
    monkeypatch.setattr("cnnkit.cluster.ray_pool.ray_pool", made)
    return made


def files(folder: str) -> dict[str, bytes]:
    top = Path(folder)
    found = [path for path in top.rglob("*") if path.is_file()]
    return {str(path.relative_to(top)): path.read_bytes() for path in found}


@pytest.mark.parametrize("command", ["classify", pytest.param("explain", marks=pytest.mark.slow)])
def test_int8_of_whatever_bits_is_int8_to_a_worker(pool, command: str) -> None:
    """On a processor without VNNI the predictor says more of it than an option takes."""
    ask = {"classify": cnnkit.classify, "explain": partial(cnnkit.explain, method="occlusion")}
    for output, more in (
        ("plain.jsonl", {}),
        ("cluster.jsonl", {"engine": "ray", "shard_size": 3}),
    ):
        ask[command]("photos", output=output, precision="int8", threads=1, **more)
    assert Path("plain.jsonl").read_text() == Path("cluster.jsonl").read_text()
    assert Path("plain.jsonl").read_text().count('"ok"') == 3


def test_classify(pool) -> None:
    told: list[tuple[int, int]] = []
    for folder, more in (("plain", {}), ("cluster", {"engine": "ray", "shard_size": 3})):
        Path(folder).mkdir()
        summary = cnnkit.classify(
            "photos",
            output=f"{folder}/rows.csv",
            embeddings=f"{folder}/rows.npy",
            report=f"{folder}/report.html",
            threads=1,
            progress=lambda done, total: told.append((done, total)),
            **more,
        )
        assert (summary.ok, summary.failed, summary.skipped) == (3, 1, 1)
    assert len(pool.pools) == 1 and len(pool.pools[0].given) == 2
    assert told[-4:] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    plain, cluster = files("plain"), files("cluster")
    for name in ("report.html", "rows.npy.paths.jsonl"):  # they name the file and the time
        assert name in plain and name in cluster
        del plain[name], cluster[name]
    assert plain == cluster


def test_a_folder_is_never_taken_for_an_embedded_model() -> None:
    for name in ("squeezenet-1.1", "flowers"):
        Path(name).mkdir()
    assert named_elsewhere("squeezenet-1.1") == "squeezenet-1.1"
    assert named_elsewhere("flowers") == os.path.abspath("flowers")
    assert named_elsewhere("./squeezenet-1.1") == os.path.abspath("squeezenet-1.1")
    assert named_elsewhere("keras:ResNet50") == "keras:ResNet50"


def test_classify_by_examples(pool) -> None:
    for name in ("cat", "coffee"):
        Path("examples", name).mkdir(parents=True)
        shutil.copy(f"photos/{name}.jpg", f"examples/{name}")
    for output, more in (("plain.jsonl", {}), ("cluster.jsonl", {"engine": "ray"})):
        cnnkit.classify(
            "photos", examples="examples", threshold=0.5, output=output, threads=1, **more
        )
    assert Path("plain.jsonl").read_bytes() == Path("cluster.jsonl").read_bytes()
    assert len(pool.pools) == 1


def test_detect(pool) -> None:
    for folder, more in (("plain", {}), ("cluster", {"engine": "ray", "shard_size": 3})):
        Path(folder).mkdir()
        outputs = [f"{folder}/rows.jsonl", f"coco:{folder}/coco.json"]
        cnnkit.detect(
            "photos",
            output=outputs,
            counts=f"{folder}/counts.csv",
            confidence={"": 0.5, "person": 0.4},
            threads=1,
            where="person",
            **more,
        )
    assert len(pool.pools) == 1
    assert files("plain") == files("cluster")
    assert b"person" in files("plain")["rows.jsonl"]


@pytest.mark.slow
def test_explain(pool, monkeypatch: pytest.MonkeyPatch) -> None:
    # A report names the minute in which it was made, which may have passed between two runs.
    monkeypatch.setattr("cnnkit.reports.explain.timestamp", lambda made: "2025-03-09 17:05 UTC")
    for folder, more in (("plain", {}), ("cluster", {"engine": "ray", "shard_size": 3})):
        Path(folder).mkdir()
        cnnkit.explain(
            "photos",
            output=f"{folder}/rows.csv",
            overlays="overlays",
            report=f"{folder}/report.html",
            overwrite=True,
            threads=1,
            **more,
        )
    assert files("plain") == files("cluster")
    assert len(files("overlays")) == 3 and len(pool.pools) == 1


@pytest.mark.slow
def test_verify_pairs(pool, examples: Path) -> None:
    shutil.copy(examples / "astronaut.jpg", "photos")
    names = ("astronaut.jpg", "photographer.jpg", "text.jpg")
    lines = [f"{a},{b},{int(a == b)}" for a in names for b in names]
    Path("pairs.csv").write_text("\n".join(["a,b,same", *lines]))
    for output, more in (
        ("plain.jsonl", {}),
        ("cluster.jsonl", {"engine": "ray", "shard_size": 4}),
    ):
        cnnkit.verify_pairs(
            "pairs.csv", root="photos", faces="largest", output=output, threads=1, **more
        )
    assert Path("plain.jsonl").read_bytes() == Path("cluster.jsonl").read_bytes()
    assert len(pool.pools[0].given) == 3


@pytest.mark.slow
def test_identify(pool, examples: Path) -> None:
    shutil.copy(examples / "astronaut.jpg", "photos")
    shutil.copytree("photos", "people/Eileen", ignore=shutil.ignore_patterns("[!a]*"))
    with cnnkit.Gallery.create("team.gallery", threads=1) as gallery:
        gallery.enroll("people")
        cnnkit.identify(gallery, "photos", output="plain.jsonl")
        cnnkit.identify(gallery, "photos", output="cluster.jsonl", engine="ray", shard_size=2)
    assert Path("plain.jsonl").read_bytes() == Path("cluster.jsonl").read_bytes()
    assert "Eileen" in Path("plain.jsonl").read_text()
    assert len(pool.pools[0].given) == 3


def test_an_encrypted_gallery_stays_on_this_machine(pool) -> None:
    pytest.importorskip("cryptography")
    with cnnkit.Gallery.create("team.gallery", passphrase="long enough", threads=1) as gallery:
        gallery.enroll("photos/photographer.jpg", name="Ann")
        with pytest.raises(UsageError, match="`engine` must be used with galleries that are not"):
            cnnkit.identify(gallery, "photos", output="rows.jsonl", engine="ray")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`engine` requires `output`"),
        ({"output": "a.jsonl", "shard": "0/2"}, "`engine` and `shard` are mutually exclusive"),
        ({"output": "a.jsonl", "every": "1s"}, "`engine` must take image files"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cnnkit.classify("photos", engine="ray", **arguments)


def test_objects_are_not_followed_by_several_processes() -> None:
    with pytest.raises(UsageError, match="`track` and `engine`"):
        cnnkit.detect("photos", output="a.jsonl", track=True, engine="ray")
