"""Videos as inputs of `cnnkit.classify`, `cnnkit.detect` and `cnnkit.explain`."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.cli import _run
from cnnkit.errors import UsageError
from cnnkit.video import frames
from tests.video.clips import cut_after, make_clip

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "video_rows.jsonl"


@pytest.fixture
def clip(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A camera that moves over a photo, without loss: 8 frames in 0.4 s."""
    monkeypatch.chdir(tmp_path)
    photo = np.asarray(Image.open(examples / "photographer.jpg").convert("RGB").resize((360, 240)))
    views = [photo[:, 2 * n : 2 * n + 320] for n in range(8)]
    make_clip(Path("clip.mkv"), views, codec="ffv1", keys=1)
    return "clip.mkv"


def json_rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_frames_are_predicted_as_the_same_frames_saved_as_images(clip: str) -> None:
    Path("saved").mkdir()
    for one in frames(clip):
        Image.fromarray(np.asarray(one.path)).save(f"saved/{one.path.frame:03}.png")
    of_clip: list[dict[str, Any]] = []
    of_images: list[dict[str, Any]] = []
    cnnkit.detect(clip, emit=of_clip.append)
    cnnkit.detect("saved", emit=of_images.append)
    assert len(of_clip) == 8
    assert [row["detections"] for row in of_clip] == [row["detections"] for row in of_images]
    assert any(row["detections"] for row in of_clip)


def test_rows_have_frames_and_times_in_every_form(clip: str, capfd: Any) -> None:
    names = ["rows.jsonl", "rows.csv", "rows.parquet"]
    summary = cnnkit.detect(clip, every="4f", output=names, counts="counts.csv")
    assert (summary.ok, summary.failed) == (2, 0)
    rows = json_rows("rows.jsonl")
    shown = [
        {key: row[key] for key in ("path", "frame", "time", "status", "width", "height")}
        | {"labels": [one["label"] for one in row["detections"]]}
        for row in rows
    ]
    assert shown == json_rows(str(GOLDEN))
    assert list(rows[0])[:4] == ["path", "frame", "time", "status"]
    places = [("0", "0.000"), ("4", "0.200")]
    lines = list(csv.DictReader(Path("rows.csv").open()))
    assert sorted({(line["frame"], line["time"]) for line in lines}) == places
    lines = list(csv.DictReader(Path("counts.csv").open()))
    assert [line["frame"] for line in lines] == ["0", "4"]
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table("rows.parquet").to_pylist()
    assert [(row["frame"], row["time"]) for row in table] == [(0, 0.0), (4, 0.2)]
    assert capfd.readouterr() == ("", "")


def test_embeddings_have_a_line_for_each_frame(clip: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    cnnkit.classify(clip, every="0.2s", output="r.jsonl", embeddings="e.parquet")
    table = parquet.read_table("e.parquet")
    assert table.column_names == ["path", "frame", "time", "features"]
    assert table["frame"].to_pylist() == [row["frame"] for row in json_rows("r.jsonl")] == [0, 4]


def test_an_interrupted_run_is_resumed_frame_by_frame(clip: str) -> None:
    cnnkit.classify(clip, output="whole.jsonl")
    done = []

    def stop(row: dict[str, Any]) -> None:
        done.append(row)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cnnkit.classify(clip, output="part.jsonl", emit=stop)
    with pytest.raises(UsageError, match="requires the same options"):
        cnnkit.classify(clip, output="part.jsonl", resume=True, every="2f")
    summary = cnnkit.classify(clip, output="part.jsonl", resume=True, emit=done.append)
    assert summary.resumed == 3
    assert [row["frame"] for row in done] == list(range(8))
    assert Path("part.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    again = cnnkit.classify(clip, output="part.jsonl", resume=True)
    assert (again.ok, again.resumed) == (8, 8)


def test_a_clip_that_ends_early_is_one_failed_row(tmp_path: Path) -> None:
    clip = cut_after(make_clip(tmp_path / "a.mp4", 40, faststart=True), 0.6)
    rows: list[dict[str, Any]] = []
    summary = cnnkit.classify(clip, every="10f", top_k=1, emit=rows.append)
    assert summary.failed == 1
    assert rows[-1]["error"]["kind"] == "truncated"
    assert (rows[-1]["status"], rows[-2]["status"]) == ("error", "ok")
    assert rows[-1]["frame"] > rows[-2]["frame"]


def test_a_clip_without_a_frame_in_the_time_asked_for_is_one_failed_row(clip: str) -> None:
    """Every input has a row: a mistyped time must not look like a run without a fault."""
    Image.new("RGB", (8, 8)).save("b.gif", save_all=True, append_images=[Image.new("L", (8, 8), 9)])
    for given in ({"from_time": 9}, {"from_time": 9, "frames": True}):
        summary = cnnkit.detect([clip, "b.gif"], **given, output="r.jsonl", overwrite=True)
        late = json_rows("r.jsonl")[: 2 if "frames" in given else 1]
        assert [row["error"]["kind"] for row in late] == ["no-images"] * len(late)
        assert "no frame" in late[0]["error"]["message"] and summary.failed == len(late)
    again = cnnkit.detect([clip, "b.gif"], from_time=9, frames=True, output="r.jsonl", resume=True)
    assert (again.failed, again.resumed) == (2, 2)


@pytest.mark.slow
def test_explained_frames_have_overlays_and_a_report(clip: str) -> None:
    rows: list[dict[str, Any]] = []
    cnnkit.explain(clip, every="6f", overlays="heat", report="report.html", emit=rows.append)
    assert len({row["overlay"] for row in rows}) == 2
    assert all(Path(row["overlay"]).is_file() for row in rows)
    assert Path("report.html").read_text().count("data:image/jpeg") == 4


def test_crops_reports_and_coco_have_frames(clip: str) -> None:
    rows: list[dict[str, Any]] = []
    output = ["r.jsonl", "coco:boxes.json"]
    cnnkit.detect(clip, every="6f", crops="cut", output=output, report="r.html", emit=rows.append)
    files = sorted(path.name for path in Path("cut").rglob("*.jpg"))
    assert len(files) == sum(len(row["detections"]) for row in rows)
    assert {name[:11] for name in files} == {"clip-000000", "clip-000006"}
    images = json.loads(Path("boxes.json").read_text())["images"]
    assert [one["file_name"] for one in images] == ["clip-000000.png", "clip-000006.png"]
    assert Path("r.html").read_text().count('class="thumbnail"') == 2


def test_what_takes_files_refuses_frames(clip: str) -> None:
    for run in (cnnkit.classify, cnnkit.detect):
        with pytest.raises(UsageError, match="`sort_into` must take image files"):
            run(clip, sort_into="sorted")
    assert not Path("sorted").exists()


def test_the_command_line(clip: str, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    line = f"cnnkit classify {clip} --every 0.2s --from 0.1 --to 0:00.5 --top-k 1 --format csv"
    monkeypatch.setattr("sys.argv", line.split())
    assert _run() == 0
    lines = list(csv.DictReader(capfd.readouterr().out.splitlines()))
    assert [(one["frame"], one["time"]) for one in lines] == [("2", "0.100"), ("6", "0.300")]
    monkeypatch.setattr("sys.argv", f"cnnkit detect {clip} --from 2 --to 1".split())
    assert _run() == 2
    told = capfd.readouterr().err
    assert "--to must be after --from. Received: 1 with a start of 2." in told


def test_without_pyav_nothing_is_opened(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match="Videos need PyAV"):
        cnnkit.classify(clip, model="none")
    with pytest.raises(UsageError, match="Videos need PyAV"):
        cnnkit.classify(".", every="key", model="none")


def test_images_alone_need_no_pyav(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    rows: list[dict[str, Any]] = []
    shutil.copy(examples / "coffee.jpg", tmp_path / "coffee.jpg")
    cnnkit.classify(tmp_path, every="2s", model="squeezenet-1.1", emit=rows.append)
    assert [row["status"] for row in rows] == ["ok"]


def test_frames_of_an_animation(examples: Path, tmp_path: Path) -> None:
    photo = Image.open(examples / "coffee.jpg").convert("RGB").resize((120, 90))
    path = tmp_path / "a.gif"
    photo.save(path, save_all=True, append_images=[photo.transpose(0)], duration=250)
    rows: list[dict[str, Any]] = []
    cnnkit.classify(path, frames=True, emit=rows.append)
    assert [(row["frame"], row["time"]) for row in rows] == [(0, 0.0), (1, 0.25)]
    first: list[dict[str, Any]] = []
    cnnkit.classify(path, emit=first.append)
    assert "frame" not in first[0]
    assert first[0]["predictions"] == rows[0]["predictions"]


def test_tracked_objects_keep_their_number_and_are_counted_once(clip: str, capfd: Any) -> None:
    options = {"track": True, "confidence": 0.3, "classes": ["person"]}
    cnnkit.detect(clip, output=["whole.jsonl", "rows.csv"], counts="counts.csv", **options)
    rows = json_rows("whole.jsonl")
    assert [one["track"] for row in rows for one in row["detections"]] == [1] * 8
    lines = list(csv.DictReader(Path("rows.csv").open()))
    assert [line["track"] for line in lines] == ["1"] * 8
    assert Path("counts.csv").read_text().splitlines() == ["path,objects,person", "clip.mkv,1,1"]

    done = []

    def stop(row: dict[str, Any]) -> None:
        done.append(row)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cnnkit.detect(clip, output="part.jsonl", emit=stop, **options)
    cnnkit.detect(clip, output="part.jsonl", resume=True, **options)
    assert Path("part.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    with pytest.raises(UsageError, match="`track` and `retry_errors` are mutually exclusive"):
        cnnkit.detect(clip, output="p.jsonl", resume=True, retry_errors=True, **options)


def test_annotated_videos_keep_their_times(clip: str, examples: Path) -> None:
    chosen = {"classes": ["person"], "every": "3f"}
    cnnkit.detect(clip, annotate="drawn.mp4", **chosen)
    drawn, plain = list(frames("drawn.mp4")), list(frames(clip, every="3f"))
    assert [one.path.time for one in drawn] == [one.path.time for one in plain]
    first = np.asarray(drawn[0].path)
    assert first.shape == (480, 640, 3)  # enlarged, so that labels can be read
    enlarged = np.asarray(plain[0].path).repeat(2, 0).repeat(2, 1).astype(int)
    far = np.abs(first - enlarged).max(2) > 60
    assert 500 < far.sum() < far.size / 8  # a box and its label
    with pytest.raises(UsageError, match=r"drawn\.mp4 exists already"):
        cnnkit.detect(clip, annotate="drawn.mp4", **chosen)
    with pytest.raises(UsageError, match="input"):  # never one of the inputs
        cnnkit.detect("drawn.mp4", annotate="drawn.mp4", overwrite=True, **chosen)


def test_annotated_videos_and_images_in_a_folder(clip: str, examples: Path) -> None:
    Path("in/a").mkdir(parents=True)
    Path(clip).rename("in/a/clip.mkv")
    Image.open(examples / "coffee.jpg").save("in/coffee.png")
    with pytest.raises(UsageError, match="`annotate` must be a folder for anything but one video"):
        cnnkit.detect("in", annotate="drawn.mp4", every="4f")
    cnnkit.detect("in", annotate="drawn", every="4f")
    files = sorted(str(path) for path in Path("drawn").rglob("*.*"))
    assert files == ["drawn/a/clip.mp4", "drawn/coffee.png"]
    assert len(list(frames("drawn/a/clip.mp4"))) == 2
