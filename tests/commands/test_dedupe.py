"""`cnnkit.dedupe`: which images are copies, which one is kept, and where the copies go."""

from __future__ import annotations

import json
import os
import shutil
import tarfile

import pytest
from PIL import Image, ImageOps

import cnnkit
from cnnkit import sorting_plan
from cnnkit.errors import OutputError, UsageError

EXAMPLES = ("cat.jpg", "coffee.jpg", "rocket.jpg")


@pytest.fixture
def photos(tmp_path, examples):
    """Three photos; of the cat a copy, a smaller one, and a mirrored one; and a broken file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in EXAMPLES:
        shutil.copy(examples / name, folder / name)
    shutil.copy(examples / "cat.jpg", folder / "again.jpg")
    with Image.open(examples / "cat.jpg") as cat:
        ImageOps.mirror(cat).resize((300, 200)).save(folder / "mirrored.png")
        cat.resize((225, 150)).save(folder / "small.jpg", quality=60)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    return folder


def by_name(found):
    return {os.path.basename(row["path"]): row for row in found.rows}


def test_copies_are_found_and_the_largest_is_kept(photos):
    found = cnnkit.dedupe(photos)
    rows = by_name(found)
    assert [os.path.basename(row["path"]) for row in found.rows] == sorted(os.listdir(photos))
    kept = "again.jpg"  # as large as cat.jpg, and before it
    assert rows[kept]["copy"] is None
    original = os.path.join(photos, kept)
    assert {name: row["copy"] for name, row in rows.items() if row.get("original") == original} == {
        "cat.jpg": "exact",
        "mirrored.png": "near",
        "small.jpg": "near",
    }
    assert {rows[name]["group"] for name in ("coffee.jpg", "rocket.jpg")} == {None}
    assert rows["broken.jpg"]["error"]["kind"] == "truncated"
    assert (found.copies, found.failed, len(found.groups)) == (3, 1, 1)
    assert found.groups[0][0] is rows[kept]


def test_of_images_in_a_tar_file_the_one_with_most_bytes_is_kept(examples, tmp_path):
    """Their sizes were taken for 0, so that the first one was kept however bad it is."""
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for name, quality in (("a.jpg", 30), ("b.jpg", 95), ("c.jpg", 60)):
            with Image.open(examples / "cat.jpg") as cat:
                cat.save(tmp_path / name, quality=quality)
            archive.add(tmp_path / name, name)
    rows = cnnkit.dedupe(tmp_path / "photos.tar").rows
    assert [row["copy"] for row in rows] == ["near", None, "near"]
    with pytest.raises(UsageError, match=r"`keep=oldest` must be used with image files .*\.tar"):
        cnnkit.dedupe(tmp_path / "photos.tar", keep="oldest")


@pytest.mark.parametrize("suffix", [".gif", ".png", ".tif", ".webp"])
def test_files_of_several_frames_are_copies_by_content_only(examples, tmp_path, suffix):
    """Only the first frames were compared: a scan with the cover of another was to be removed."""
    first, second, third = (Image.open(examples / n).resize((300, 200)) for n in EXAMPLES)
    for name, more in (("one", second), ("other", third)):
        first.save(tmp_path / f"{name}{suffix}", save_all=True, append_images=[more])
    shutil.copy(tmp_path / f"one{suffix}", tmp_path / f"same{suffix}")
    first.save(tmp_path / "still.png")
    rows = by_name(cnnkit.dedupe(tmp_path))
    assert {name: row["copy"] for name, row in rows.items()} == {
        f"one{suffix}": None,
        f"other{suffix}": None,
        f"same{suffix}": "exact",
        "still.png": None,
    }


def test_smaller_copies_of_the_image_inside_a_tiff_file_are_no_pages(examples, tmp_path):
    with Image.open(examples / "cat.jpg") as cat:
        cat.save(tmp_path / "a.png")
        small = cat.resize((90, 60))
        small.encoderinfo = {"tiffinfo": {254: 1}}
        cat.save(tmp_path / "b.tif", save_all=True, append_images=[small])
    with Image.open(tmp_path / "b.tif") as written:
        written.seek(1)
        assert written.tag_v2[254] == 1
    assert cnnkit.dedupe(tmp_path).copies == 1


@pytest.mark.parametrize("name", ["a" * 251 + ".jpg", "cat.a-suffix-of-many-letters", "cat."])
def test_copies_with_unusual_names_are_sorted(photos, tmp_path, name):
    """The plan named them in a way that the same run then refused."""
    paths = []
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
        paths.append(shutil.copy(photos / "cat.jpg", tmp_path / folder / name))
    found = cnnkit.dedupe(paths, sort_into=tmp_path / "copies")
    assert found.placed == 2
    assert len(os.listdir(tmp_path / "copies" / "group-00001")) == 2


def test_the_oldest_or_the_first_is_kept(photos):
    os.utime(photos / "small.jpg", (1, 1))
    assert by_name(cnnkit.dedupe(photos, keep="oldest"))["small.jpg"]["copy"] is None
    names = ["mirrored.png", "cat.jpg", "again.jpg"]
    first = cnnkit.dedupe([photos / name for name in names], keep="first")
    assert [row["copy"] for row in first.rows] == [None, "near", "near"]


def test_a_link_is_never_kept_in_place_of_its_file(photos):
    (photos / "a-link.jpg").symlink_to(photos / "coffee.jpg")
    for keep in ("first", "oldest", "largest"):
        rows = by_name(cnnkit.dedupe(photos, keep=keep))
        assert (rows["coffee.jpg"]["copy"], rows["a-link.jpg"]["copy"]) == (None, "exact")


@pytest.mark.parametrize("how", ["copy", "link", "move"])
def test_copies_are_placed_and_the_image_to_keep_stays(photos, tmp_path, how):
    folder = tmp_path / "copies"
    found = cnnkit.dedupe(photos, sort_into=folder, how=how)
    placed = sorted(path.name for path in (folder / "group-00001").iterdir())
    assert placed == ["cat.jpg", "mirrored.png", "small.jpg"]
    assert found.placed == 3
    left = set(os.listdir(photos))
    assert {"again.jpg", "coffee.jpg", "rocket.jpg", "broken.jpg"} <= left
    assert len(left) == (4 if how == "move" else 7)
    plan = (folder / "plan.jsonl").read_text().splitlines()
    assert tuple(map(json.loads, plan)) == found.rows


def test_a_killed_move_is_finished_from_its_plan(photos, tmp_path, monkeypatch):
    folder, moved = tmp_path / "copies", []

    def failing(source, place, how):
        if moved:
            raise OSError(28, "No space left on device")
        moved.append(source)
        finish(source, place, how)

    finish = sorting_plan.finish
    with monkeypatch.context() as patch:
        patch.setattr(sorting_plan, "finish", failing)
        with pytest.raises(OutputError, match="No space"):
            cnnkit.dedupe(photos, sort_into=folder, how="move")
    assert len(os.listdir(photos)) == 6
    found = cnnkit.dedupe(photos, sort_into=folder, how="move", resume=True)
    assert found.placed == 3
    assert len(os.listdir(photos)) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sorted_to": ["/tmp/elsewhere.jpg"]}, "sorted_to must lie in"),
        ({"sorted_to": ["copies/group-00002/cat.jpg"]}, "sorted_to must lie in"),
        ({"group": "../../x", "copy": "exact"}, "be the .jsonl of an earlier dedupe"),
    ],
)
def test_a_strangers_plan_is_refused(photos, tmp_path, change, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cnnkit.dedupe("photos", sort_into="copies")
    lines = [json.loads(line) for line in open("copies/plan.jsonl")]
    lines[2] |= change
    with open("copies/plan.jsonl", "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    with pytest.raises(UsageError, match=message):
        cnnkit.dedupe("photos", sort_into="copies", how="move", resume=True)
    assert len(os.listdir("photos")) == 7


def test_rows_and_report_are_written(photos, tmp_path):
    name = "<b>evil.jpg"
    shutil.copy(photos / "coffee.jpg", photos / name)
    found = cnnkit.dedupe(photos, output=tmp_path / "rows.jsonl", report=tmp_path / "r.html")
    assert tuple(map(json.loads, (tmp_path / "rows.jsonl").open())) == found.rows
    page = (tmp_path / "r.html").read_text()
    assert page.count('class="panel finding"') == 2
    assert page.count("data:image/") == 6
    assert "<b>evil" not in page and "&lt;b&gt;evil" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": "newest"}, "`keep` must be one of largest, oldest, first"),
        ({"how": "delete"}, "`how` must be one of copy, link, move"),
        ({"resume": True}, "`resume` requires `sort_into`"),
        ({"output": "rows.txt"}, "`output` must end in one of"),
        ({"workers": 0}, "`workers` must be at least 1"),
    ],
)
def test_wrong_arguments(photos, arguments, message):
    with pytest.raises(UsageError, match=message):
        cnnkit.dedupe(photos, **arguments)
