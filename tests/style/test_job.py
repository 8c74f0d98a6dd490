"""The folder protocol, with a method that paints at once."""

from __future__ import annotations

import contextlib
import errno
import json
import os

import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError, OutputError, UsageError
from cnnkit.images import Finder
from cnnkit.style import job
from cnnkit.style.job import STATES, Painted, StylizeTarget, sidecar_path, stylize_folder, target_of


class Negative:
    """Paints the negative, and fails or is killed where it is told to."""

    def __init__(self, strength: float = 1.0, killed_at: str = "", refuses: str = "") -> None:
        self.settings = {"method": "negative", "strength": strength}
        self.painted: list[str] = []
        self._killed_at, self._refuses = killed_at, refuses

    def paint(self, content, workspace):
        name = content.path.rpartition("/")[2]
        if name == self._refuses:
            raise ImageError("failed", "not this one")
        workspace.state.parent.mkdir(exist_ok=True)
        workspace.state.write_bytes(b"state")
        if name == self._killed_at:
            raise KeyboardInterrupt
        workspace.preview(content.pixels)
        self.painted.append(name)
        return Painted(255 - content.pixels, {"seconds": 0.0}, {"curve": []})


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "a.png", "b.png", "more/a.png")):
        Image.new("RGB", (40, 30), (10 * number, 20, 30)).save(folder / name)
    (folder / "c.jpg").write_bytes(b"no image")
    return folder


def stylize(photos, out, method=None, **flags):
    rows = []
    target = target_of(str(out), [str(photos)], **flags)
    finder = Finder([str(photos)], exclude=[str(out)])
    summary = stylize_folder(
        method or Negative(), finder, [str(photos)], target, max_pixels=10**6, emit=rows.append
    )
    return summary, rows


def names(out):
    return sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())


def test_one_row_and_one_result_each_and_no_two_of_a_name(photos, tmp_path):
    out = tmp_path / "out"
    summary, rows = stylize(photos, out)
    assert (summary.ok, summary.failed, summary.resumed) == (4, 1, 0)
    images = ["a-2.png", "a.png", "b.png", "more/a.png"]
    assert names(out) == sorted([*images, *(f"{p}.json" for p in images), "rows.jsonl"])
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "error", "ok"]
    assert rows[3]["error"]["kind"] == "not-an-image"
    written = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert written == rows
    for row in rows:
        if row["status"] == "ok":
            found = np.asarray(Image.open(row["output"]))
            expected = 255 - np.asarray(Image.open(row["path"]).convert("RGB"), np.int16)
            assert np.abs(found - expected).max() <= 2
            record = json.loads(sidecar_path(out / row["output"]).read_text())
            assert record["row"] == row and record["path"] == row["path"]
            assert record["settings"]["method"] == "negative"


def test_names_as_long_as_a_file_system_takes_stop_nothing(photos, tmp_path):
    (photos / "a.png").rename(photos / f"{'g' * 251}.png")
    (photos / "b.png").rename(photos / f"{'g' * 250}h.png")
    out = tmp_path / "out"
    summary, rows = stylize(photos, out)
    assert (summary.ok, summary.failed) == (4, 1)
    made = {row["output"] for row in rows if row["status"] == "ok"}
    assert len(made) == 4 and all(sidecar_path(out / p).is_file() for p in made)


def test_existing_results_are_refused_or_kept_or_made_anew(photos, tmp_path):
    out = tmp_path / "out"
    stylize(photos, out)
    with pytest.raises(UsageError, match="Use `overwrite=True`"):
        stylize(photos, out)
    method = Negative()
    summary, _ = stylize(photos, out, method, resume=True)
    assert (summary.ok, summary.failed, summary.resumed, method.painted) == (4, 1, 5, [])
    before = names(out)
    summary, _ = stylize(photos, out, Negative(0.5), overwrite=True)
    assert summary.ok == 4 and names(out) == before


@pytest.mark.parametrize("killed_at", ["a.jpg", "b.png"])
def test_a_killed_run_goes_on(photos, tmp_path, killed_at):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        stylize(photos, out, Negative(killed_at=killed_at))
    assert len(list((out / STATES).iterdir())) == 1
    with pytest.raises(UsageError, match="requires the same stylize"):
        stylize(photos, out, Negative(0.5), resume=True)
    method = Negative()
    summary, _ = stylize(photos, out, method, resume=True)
    assert (summary.ok, summary.failed) == (4, 1)
    assert killed_at in method.painted
    assert len(method.painted) + summary.resumed == 4
    assert not (out / STATES).exists()
    assert [n for n in names(out) if n.endswith(".png")] == [
        "a-2.png",
        "a.png",
        "b.png",
        "more/a.png",
    ]


@pytest.mark.parametrize("after", ["sidecar", "picture"])
def test_a_kill_between_the_files_of_an_image_does_no_harm(photos, tmp_path, after, monkeypatch):
    out, real = tmp_path / "out", os.replace

    def killing(part, path):
        if path == out / "a.png":
            raise KeyboardInterrupt
        real(part, path)

    if after == "sidecar":
        monkeypatch.setattr("cnnkit.writers.replacing.os.replace", killing)
    else:
        monkeypatch.setattr(job.FolderJob, "record", lambda *a, **k: 1 / 0)
    with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
        stylize(photos, out)
    monkeypatch.undo()
    method = Negative()
    stylize(photos, out, method, resume=True)
    assert ("a.jpg" in method.painted) == (after == "sidecar")
    assert [n for n in names(out) if n.endswith(".png")] == [
        "a-2.png",
        "a.png",
        "b.png",
        "more/a.png",
    ]


def test_failed_ones_are_tried_again_when_asked(photos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        stylize(photos, out, Negative(refuses="a.jpg", killed_at="b.png"))
    summary, _ = stylize(photos, out, Negative(), resume=True, retry_errors=True)
    assert (summary.ok, summary.failed) == (4, 1)


def test_a_single_file(photos, tmp_path):
    photo, out = photos / "a.jpg", tmp_path / "one.webp"
    summary, _ = stylize(photo, out)
    assert summary.ok == 1
    assert [n for n in names(tmp_path) if n.startswith("one")] == ["one.webp", "one.webp.json"]
    with pytest.raises(UsageError, match="exists already"):
        stylize(photo, out)
    method = Negative()
    assert stylize(photo, out, method, resume=True)[0].ok == 1
    assert method.painted == []
    with pytest.raises(UsageError, match="be used with the same image, settings"):
        stylize(photo, out, Negative(0.5), resume=True)
    assert stylize(photo, out, method, overwrite=True)[0].ok == 1
    assert method.painted == ["a.jpg"]


def test_a_single_file_that_another_run_paints_is_refused(photos, tmp_path):
    """Painting takes minutes: the second run would replace what the first has just made."""

    class Slow(Negative):
        def paint(self, content, workspace):
            if self.settings["strength"] == 1.0:
                with pytest.raises(
                    UsageError,
                    match=r"result\.png is being written by another run\. Wait",
                ):
                    run(Slow(0.5))
            return super().paint(content, workspace)

    def run(method):
        target = target_of(str(tmp_path / "result.png"), [str(photos / "b.png")])
        found = Finder([str(photos / "b.png")])
        return stylize_folder(method, found, [str(photos / "b.png")], target, max_pixels=10**6)

    assert run(Slow()).ok == 1
    assert not (tmp_path / "result.png.lock").exists()
    with pytest.raises(UsageError, match="exists already"):
        run(Slow(0.5))


def test_a_foreign_file_is_never_overwritten(photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.png").write_bytes(b"mine")
    stylize(photos, out)
    assert (out / "b.png").read_bytes() == b"mine" and (out / "b-2.png").is_file()
    stylize(photos, out, overwrite=True)
    assert (out / "b.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("output", "inputs", "flags", "message"),
    [
        ("x.png", ["a", "b"], {}, "must be used with one image"),
        ("x.png", ["photos.tar"], {}, "must be used with one image"),
        ("x.png", ["photos [1].parquet"], {}, "must be used with one image"),
        ("x.gif", ["a"], {}, "must end in one of .png.*Give x.png, or a folder"),
        ("none/x.png", ["a"], {}, "must be in an existing folder"),
        (
            "out",
            ["a"],
            {"resume": True, "overwrite": True},
            "`resume` and `overwrite` are mutually exclusive",
        ),
        ("out", ["a"], {"retry_errors": True}, "`retry_errors` requires `resume`"),
    ],
)
def test_what_breaks_a_rule_is_refused(output, inputs, flags, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        target_of(output, inputs, **flags)


def test_a_folder_that_cannot_be_written_is_one_clear_error(photos, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="must name a folder"):
        StylizeTarget(tmp_path / "file")
    with pytest.raises(OutputError, match="file is not a folder"):
        stylize(photos, tmp_path / "file" / "out")


def full_disk(monkeypatch, name):
    """Let no more be written into a file of that name."""

    class Full:
        def __init__(self, file):
            self._file = file

        def __getattr__(self, attribute):
            return getattr(self._file, attribute)

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    @contextlib.contextmanager
    def replacing(path):
        with real_replacing(path) as file:
            yield Full(file) if path.name == name else file

    real_replacing = job.replacing
    monkeypatch.setattr(job, "replacing", replacing)


@pytest.mark.parametrize("full", ["a.png", "a.png.json"])
def test_on_a_full_disk_an_image_has_no_sidecar_and_a_sidecar_an_image(
    photos, tmp_path, full, monkeypatch
):
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        full_disk(patched, full)
        with pytest.raises(OutputError, match=f"{full} cannot be written: No space left"):
            stylize(photos, out)
    assert not {"a.png", "a.png.json"} & set(names(out))
    stylize(photos, out, resume=True)
    before = [(out / name).read_bytes() for name in ("a.png", "a.png.json")]
    with monkeypatch.context() as patched:
        full_disk(patched, full)
        with pytest.raises(OutputError):
            stylize(photos, out, Negative(0.5), overwrite=True)
    assert [(out / name).read_bytes() for name in ("a.png", "a.png.json")] == before


def test_nothing_stays_of_a_single_image_that_cannot_be_written(photos, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    full_disk(monkeypatch, "result.png")

    class Fast(Negative):
        def paint(self, content, workspace):
            return Painted(255 - content.pixels)

    target = target_of(str(tmp_path / "out" / "result.png"), [str(photos / "b.png")])
    with pytest.raises(OutputError):
        found = Finder([str(photos / "b.png")])
        stylize_folder(Fast(), found, [str(photos / "b.png")], target, max_pixels=10**6)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/etc/passwd"},
        {"output": "/elsewhere/a.png"},
        {"status": "error"},
        {"width": "wide"},
        {"seconds": float("nan")},
        {"seconds": {"a": {"b": {"c": {"d": {}}}}}},
        {"sorted_to": "/elsewhere"},
    ],
)
def test_a_sidecars_row_is_not_believed_of_anything_else(photos, tmp_path, change, monkeypatch):
    """A crafted sidecar beside a result that is there: the image is painted again."""
    import cnnkit.style.job as job

    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(job.FolderJob, "record", lambda *a, **k: 1 / 0)
        stylize(photos, out)
    record = json.loads((out / "a.png.json").read_text())
    (out / "a.png.json").write_text(json.dumps(record | {"row": record["row"] | change}))
    method = Negative()
    _, rows = stylize(photos, out, method, resume=True)
    assert "a.jpg" in method.painted
    assert rows[0] == record["row"]


def test_a_changed_mask_is_not_taken_for_the_same(photos, tmp_path):
    """Only its path was compared: a resumed run gave the result of the mask before."""
    mask, photo, out = tmp_path / "mask.png", str(photos / "a.png"), tmp_path / "one.png"
    Image.new("L", (4, 4), 255).save(mask)
    method = Negative()
    method.settings["mask"] = str(mask)

    def again(**flags):
        target = target_of(str(out), [photo], **flags)
        return stylize_folder(method, Finder([photo]), [photo], target, max_pixels=10**6)

    again()
    again(resume=True)
    assert method.painted == ["a.png"]
    Image.new("L", (4, 4), 100).save(mask)
    with pytest.raises(UsageError, match="same image, settings and version"):
        again(resume=True)
    method.settings["mask"] = str(tmp_path)  # a folder of them, without that one
    again(overwrite=True)
    assert method.painted == ["a.png"]
