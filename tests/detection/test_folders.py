"""A run over a folder with a detector that sees what it is told: files, resume, places."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.detection.folders import detect_folders
from cnnkit.detection.image_outputs import ImageNames, write_annotated
from cnnkit.detection.outputs import BoxOutputs, check_apart
from cnnkit.detection.where import Where
from cnnkit.errors import OutputError, UsageError
from cnnkit.folder_job import Outputs
from cnnkit.formats import read_boxes
from cnnkit.images import Finder
from tests.detection.small import LABELS, raw_head, told_detector

TWO = raw_head((0, 0, {0: 0.9}), (1, 1, {1: 0.6}))


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images, two of one stem, one in a folder below, and a broken one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "a.png", "sub/a.png", "z.gif")):
        pixels = np.full((60 + number, 90, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.jpg").write_text("no image")
    return folder


def run(outputs: Outputs, further: BoxOutputs | None = None, raw=TWO, where=None, **options):
    further = further or BoxOutputs()
    finder = Finder(["in"], exclude=[str(f) for f in further.folders])
    detector = told_detector(raw)
    condition = Where(where, LABELS) if where else None
    shown: list[dict] = []
    summary = detect_folders(
        detector,
        finder,
        outputs,
        further,
        where=condition,
        options=options,
        emit=shown.append,
    )
    return summary, shown, detector


def files_in(folder: str) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def all_outputs(**changes) -> BoxOutputs:
    asked = {
        "rows": [Path("rows.csv")],
        "boxes": ["coco:coco.json", "yolo:labels", "voc:xml"],
        "annotate": Path("drawn"),
        "crops": Path("crops"),
        "counts": Path("counts.csv"),
        "root": "in/",
    }
    return BoxOutputs(**(asked | changes))


def test_everything_in_one_pass(images: Path) -> None:
    summary, shown, _ = run(Outputs(rows=Path("rows.jsonl"), report=Path("r.html")), all_outputs())
    assert (summary.ok, summary.failed) == (4, 1)
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert rows == shown
    assert [row["path"] for row in rows] == [
        "in/a.jpg", "in/a.png", "in/broken.jpg", "in/sub/a.png", "in/z.gif",
    ]  # fmt: skip
    assert list(rows[0]) == ["path", "status", "width", "height", "detections"]
    assert [one["label"] for one in rows[0]["detections"]] == ["person", "dog"]
    lines = list(csv.DictReader(Path("rows.csv").open()))
    assert [line["path"] for line in lines].count("in/a.jpg") == 2
    assert [line["error_kind"] for line in lines if line["status"] == "error"] == ["not-an-image"]
    labels = ["a.png.txt", "a.txt", "classes.txt", "sub/a.txt", "z.txt"]
    # Not every image of the folder has labels: those that have are listed.
    assert files_in("labels") == sorted([*labels, "data.train.txt", "data.yaml"])
    assert files_in("xml") == ["a.png.xml", "a.xml", "sub/a.xml", "z.xml"]
    assert files_in("drawn") == ["a.jpg", "a.png", "sub/a.png", "z.gif.png"]
    assert files_in("crops") == sorted(
        f"{label}/{name}-{n}.jpg"
        for n, label in ((1, "person"), (2, "dog"))
        for name in ("a", "a.png", "sub/a", "z")
    )
    counts = list(csv.reader(Path("counts.csv").open()))
    assert counts[:3] == [
        ["path", "status", "objects", "person", "dog"],
        ["in/a.jpg", "ok", "2", "1", "1"],
        ["in/a.png", "ok", "2", "1", "1"],
    ]
    assert counts[3] == ["in/broken.jpg", "error", "", "", ""]
    assert Path("r.html").read_text().count("data:image/jpeg") == 4
    assert not list(Path().glob("*.part"))
    assert files_in("in") == ["a.jpg", "a.png", "broken.jpg", "sub/a.png", "z.gif"]


def test_the_forms_of_annotations_agree(images: Path) -> None:
    run(Outputs(rows=Path("rows.jsonl")), all_outputs())
    expected = {
        row["path"].removeprefix("in/"): row["detections"]
        for row in map(json.loads, Path("rows.jsonl").read_text().splitlines())
        if row["status"] == "ok"
    }
    for source in ("coco:coco.json", "yolo:labels", "voc:xml"):
        found = read_boxes(source, "in")
        imaged = [p for p in found.images if p.file != "broken.jpg"]  # YOLO lists the folder
        assert len(imaged) == 4
        for image in imaged:
            boxes = expected[image.file]
            assert [b.label for b in image.boxes] == [b["label"] for b in boxes]
            for one, other in zip(image.boxes, boxes, strict=True):
                np.testing.assert_allclose(one.box, other["box"], atol=0.011)
                assert one.score == pytest.approx(other["score"])


def test_coco_numbers_are_those_of_the_card(images: Path) -> None:
    detector = told_detector(TWO, category_ids=[1, 18, 72])
    further = BoxOutputs(boxes=["coco:coco.json"])
    detect_folders(detector, Finder(["in"]), Outputs(), further, options={})
    written = json.loads(Path("coco.json").read_text())
    assert [one["id"] for one in written["categories"]] == [1, 18, 72]
    assert {one["category_id"] for one in written["annotations"]} == {1, 18}


def test_images_without_objects_are_in_every_output(images: Path) -> None:
    run(Outputs(rows=Path("rows.csv")), all_outputs(rows=()), raw=raw_head())
    lines = list(csv.DictReader(Path("rows.csv").open()))
    assert len(lines) == 5
    assert (lines[0]["width"], lines[0]["label"]) == ("90", "")
    assert Path("labels/a.txt").read_text() == ""
    assert len(json.loads(Path("coco.json").read_text())["images"]) == 4
    assert len(files_in("drawn")) == 4
    assert not Path("crops").exists()


def test_without_a_file_of_rows_the_others_are_made_all_the_same(images: Path) -> None:
    _, shown, _ = run(Outputs(), BoxOutputs(boxes=["coco:coco.json"]))
    assert len(shown) == 5
    assert len(json.loads(Path("coco.json").read_text())["annotations"]) == 8
    assert not list(Path().glob("*.jsonl*"))


def test_a_condition_keeps_images_and_failures(images: Path) -> None:
    outputs = Outputs(rows=Path("rows.jsonl"), sort_into=Path("sorted"))
    _, shown, _ = run(outputs, all_outputs(), where="person and dog")
    assert len(shown) == 5 and len(files_in("sorted")) == 4
    assert files_in("sorted") == ["a-2.png", "a.jpg", "a.png", "z.gif"]
    for path in ("rows.jsonl", "coco.json", "rows.csv", "counts.csv"):
        os.unlink(path)
    outputs = Outputs(rows=Path("rows.jsonl"), sort_into=Path("none"), overwrite=True)
    _, shown, _ = run(outputs, all_outputs(replace=True), where="not dog")
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["error"]
    assert shown == rows
    assert not Path("none").exists()
    assert json.loads(Path("coco.json").read_text())["images"] == []


def test_resume_of_a_finished_run_with_a_condition_does_nothing(images: Path) -> None:
    run(Outputs(rows=Path("rows.jsonl")), where="not dog")
    summary, shown, detector = run(Outputs(rows=Path("rows.jsonl"), resume=True), where="not dog")
    assert (summary.resumed, shown, detector.predictor.seen) == (5, [], [])


def test_images_are_sorted_by_their_surest_object(images: Path) -> None:
    run(Outputs(sort_into=Path("sorted")))
    assert files_in("sorted") == [
        "_errors/broken.jpg", "person/a-2.png", "person/a.jpg", "person/a.png", "person/z.gif",
    ]  # fmt: skip
    run(Outputs(sort_into=Path("empty")), raw=raw_head())
    assert files_in("empty")[1] == "_nothing/a-2.png"


def test_moved_images_are_still_drawn_and_cut(images: Path) -> None:
    outputs = Outputs(sort_into=Path("sorted"), how="move", report=Path("r.html"))
    run(outputs, all_outputs())
    assert files_in("in") == []
    assert len(files_in("drawn")) == 4
    assert len(files_in("crops")) == 8
    assert Path("r.html").read_text().count("data:image/jpeg") == 4


def test_a_killed_run_goes_on(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(Outputs(rows=Path("whole.jsonl")))[1]
    wanted = {"rows": Path("rows.jsonl"), "sort_into": Path("sorted")}
    shown: list[dict] = []

    def break_off(row: dict) -> None:
        shown.append(row)
        if len(shown) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detect_folders(
            told_detector(TWO),
            Finder(["in"]),
            Outputs(**wanted),
            all_outputs(),
            options={},
            emit=break_off,
        )
    assert files_in(".").count("rows.jsonl.part") == 1
    assert not Path("coco.json").exists()
    summary, again, _ = run(Outputs(**wanted, resume=True), all_outputs(replace=True))
    assert (summary.ok, summary.failed, summary.resumed, len(again)) == (4, 1, 2, 3)
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("sorted_to")
    assert rows == expected
    assert len(json.loads(Path("coco.json").read_text())["images"]) == 4
    assert len(files_in("sorted")) == 5
    assert len(files_in("drawn")) == 4


def test_a_run_killed_while_it_finishes_goes_on(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OutputError("counts.csv cannot be written: No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr("cnnkit.detection.outputs.write_counts", no_room)
        with pytest.raises(OutputError):
            run(Outputs(rows=Path("rows.jsonl")), all_outputs())
    assert Path("rows.jsonl.part").exists() and Path("rows.jsonl").exists()
    summary, shown, _ = run(
        Outputs(rows=Path("rows.jsonl"), resume=True), all_outputs(replace=True)
    )
    assert (summary.resumed, shown) == (5, [])
    assert Path("counts.csv").exists() and not Path("rows.jsonl.part").exists()


def test_another_option_is_not_resumed(images: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        detect_folders(
            told_detector(TWO),
            Finder(["in"]),
            Outputs(rows=Path("rows.jsonl")),
            options={"iou": 0.45},
            emit=lambda _: 1 / 0,
        )
    with pytest.raises(UsageError, match="`resume` requires the same options"):
        run(Outputs(rows=Path("rows.jsonl"), resume=True), iou=0.5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"counts": Path("a.txt")}, "`counts` must end in .csv"),
        ({"counts": Path("nowhere/a.csv")}, "`counts` must be a file in an existing folder"),
        ({"annotate": Path("in")}, "in has files already"),
        ({"crops": Path("in/a.jpg")}, "`crops` must name a folder. Received: the file in/a.jpg"),
        ({"boxes": ["coco:a.txt"]}, "coco: must name a .json file"),
        ({"boxes": ["yolo:in"]}, "in has files already"),
        ({"rows": [Path("a.txt")]}, "`output` must end in one of"),
        ({"rows": [Path("in/a.jpg")]}, "`output` must end in one of"),
    ],
)
def test_outputs_in_the_way_are_refused(images: Path, arguments: dict, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        BoxOutputs(**arguments)
    assert told in str(refused.value)


@pytest.mark.parametrize("name", ["annotate", "crops"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(images: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"drawn cannot be written: .*a\.jpg is not a folder"):
        BoxOutputs(**{name: Path("in/a.jpg/drawn")})


@pytest.mark.parametrize(
    ("paths", "folders", "inputs"),
    [
        (["a.csv", "./a.csv"], [], []),
        (["a"], ["a"], []),
        ([], ["out", "out"], []),
        ([], ["in"], ["in"]),
        ([], ["in/sub/.."], ["in/a.jpg"]),
    ],
)
def test_outputs_at_one_place_or_beside_inputs_are_refused(
    images: Path, paths: list, folders: list, inputs: list
) -> None:
    with pytest.raises(UsageError, match="must"):
        check_apart([Path(p) for p in paths], [Path(f) for f in folders], inputs)


def test_nothing_lands_beside_an_input_of_a_list(images: Path) -> None:
    """The folders of a pattern's images are known only when they come."""
    for asked in ({"annotate": Path("in")}, {"boxes": ["voc:in"]}):
        with pytest.raises(UsageError, match="must differ from the folders of the inputs"):
            detect_folders(
                told_detector(TWO),
                Finder(["in/*.jpg"]),
                Outputs(),
                BoxOutputs(**asked, root="in/", replace=True),
                options={},
            )
    assert files_in("in") == ["a.jpg", "a.png", "broken.jpg", "sub/a.png", "z.gif"]


def test_a_label_out_of_a_file_is_no_path(images: Path) -> None:
    """A bundle's label may say anything; no folder or file lands outside for it."""
    import dataclasses

    detector = told_detector(TWO)
    wild = ("../../escape", "=cmd()", "tv")
    detector.bundle = dataclasses.replace(detector.bundle, labels=wild)
    outputs, further = Outputs(sort_into=Path("sorted")), all_outputs(rows=())
    detect_folders(detector, Finder(["in"]), outputs, further, options={})
    assert not list(Path("..").glob("escape*"))
    assert files_in("crops")[0].startswith("-..-escape/") or "escape" in files_in("crops")[0]
    assert "'=cmd()" in Path("counts.csv").read_text()


def test_names_as_long_as_a_file_system_takes_are_drawn_and_cut(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.rename("in/a.jpg", f"in/{'h' * 251}.jpg")
    os.rename("in/z.gif", f"in/{'g' * 251}.gif")
    further = BoxOutputs(annotate=Path("drawn"), crops=Path("crops"))
    run(Outputs(), further)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    drawn = {Path(file).name for file in files_in("drawn")}
    assert {f"{'h' * 251}.jpg", f"{'g' * 251}.png"} <= drawn
    starts = {Path(file).name[:1] for file in files_in("crops")}
    assert {"g", "h"} <= starts


def test_a_large_image_with_nothing_is_told_of_tiles(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="cnnkit")
    Image.new("RGB", (200, 50)).save("in/wide.png")  # the network's side is 64
    run(Outputs(), raw=raw_head())
    assert "1 large images (up to 200 pixels) show nothing: `tile` finds" in caplog.text
    caplog.clear()
    run(Outputs())
    assert "`tile`" not in caplog.text


def broken_rows() -> Iterator[dict]:
    yield {"path": "gone.jpg", "status": "ok", "width": 9, "height": 9, "detections": []}


def test_an_image_that_is_gone_at_the_end_is_told(images: Path) -> None:
    left_out = write_annotated(Path("drawn"), broken_rows, lambda row: row["path"], 10**6)
    assert left_out == ["gone.jpg: no such file or folder"]


def test_only_drawings_of_an_earlier_run_are_removed(images: Path) -> None:
    """All formats carry the mark; other files of the same name are the user's."""
    names = [f"a{suffix}" for suffix in (".jpg", ".jpeg", ".png", ".webp")]
    Path("other").mkdir()
    for name in names:
        Image.new("RGB", (9, 9)).save(Path("other", name))

    def rows(status: str) -> list[dict]:
        found = {"width": 9, "height": 9, "detections": []}
        return [{"path": f"other/{name}", "status": status} | found for name in names]

    def draw(folder: str, status: str) -> list[str]:
        def name_of(row: dict) -> str:
            return row["path"].removeprefix("other/")

        write_annotated(Path(folder), lambda: rows(status), name_of, 10**6, replace=True)
        return sorted(path.name for path in Path(folder).iterdir())

    assert draw("drawn", "ok") == sorted(names)
    assert draw("drawn", "error") == []
    Path("mine").mkdir()
    for name in names:
        Image.new("RGB", (9, 9)).save(Path("mine", name))
    assert draw("mine", "error") == sorted(names)


def test_pycocotools_opens_what_is_written(images: Path, capsys: pytest.CaptureFixture) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    run(Outputs(), BoxOutputs(boxes=["coco:coco.json"], root="in/"))
    loaded = coco.COCO("coco.json")
    assert len(loaded.getImgIds()) == 4
    results = [
        {key: one[key] for key in ("image_id", "category_id", "bbox", "score")}
        for one in loaded.loadAnns(loaded.getAnnIds())
    ]
    assert len(loaded.loadRes(results).getAnnIds()) == 8


def test_a_name_that_is_no_unicode_goes_everywhere(images: Path) -> None:
    for path in sorted(Path("in").rglob("*.*")):
        path.unlink()
    name = os.fsdecode(b"a\xff.png")
    Image.new("RGB", (80, 60)).save(f"in/{name}")
    run(Outputs(rows=Path("rows.jsonl")), all_outputs())
    row = json.loads(Path("rows.jsonl").read_text())
    assert row["status"] == "ok" and "path_base64" in row
    assert files_in("drawn") == [name]
    assert len(files_in("labels")) == 3
    assert json.loads(Path("coco.json").read_text())["images"][0]["width"] == 80


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("trip/a.JPG", "trip/a.JPG"),
        ("a.webp", "a.webp"),
        ("a.gif", "a.gif.png"),
        ("trip/IMG_1.HEIC", "trip/IMG_1.HEIC.jpg"),
        ("no ending", "no ending.png"),
    ],
)
def test_an_image_of_an_image_is_of_a_form_that_can_be_written(file: str, expected: str) -> None:
    assert ImageNames().name(file) == expected
