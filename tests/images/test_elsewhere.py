"""Images in tar and Parquet files: the rows of files, whatever a stranger puts into them."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import tarfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

import cnnkit
from cnnkit.errors import ImageError, UsageError
from cnnkit.images import Finder, read_bytes
from cnnkit.storage import parquet_files, places, tar_files, tar_links

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_tar(path: str, entries: dict, form=tarfile.PAX_FORMAT) -> None:
    """Write a tar file: by name its bytes, or a `tarfile.TarInfo` as it is."""
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in entries.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def write_parquet(path: str, cells: list, column="image", **more) -> None:
    import pyarrow

    parquet.write_table(pyarrow.table({column: cells}), path, **more)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def found(*inputs: str, **more) -> list:
    return [(one.path, one.failure and one.failure.kind) for one in Finder(list(inputs), **more)]


def kind_of(path: str) -> str:
    with pytest.raises(ImageError) as caught:
        read_bytes(path)
    return caught.value.kind


def test_members_are_named_in_their_order_and_read_by_name():
    png = b"\x89PNG\r\n\x1a\nrest"
    write_tar("x.tar", {"b/2.jpg": b"two", "b/2.cls": b"7", "a/1.jpg": b"one", "raw": png})
    assert found("x.tar") == [("x.tar!b/2.jpg", None), ("x.tar!a/1.jpg", None), ("x.tar!raw", None)]
    finder = Finder(["x.tar"])
    assert [read_bytes(one.path) for one in finder] == [b"two", b"one", png]
    assert finder.skipped == 1
    assert found("x.tar!a/1.jpg", "x.tar") == [
        ("x.tar!a/1.jpg", None),
        ("x.tar!b/2.jpg", None),
        ("x.tar!raw", None),
    ]
    assert read_bytes("x.tar!a/1.jpg") == b"one" and kind_of("x.tar!none.jpg") == "missing"
    assert kind_of("none.tar!a.jpg") == "missing"


def test_a_changed_tar_file_is_indexed_again():
    write_tar("x.tar", {"a.jpg": b"old"})
    assert read_bytes("x.tar!a.jpg") == b"old"
    write_tar("x.tar", {"b.jpg": b"before", "a.jpg": b"new one"})
    os.utime("x.tar", ns=(0, 0))
    assert read_bytes("x.tar!a.jpg") == b"new one"


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_another_image_at_the_place_of_a_listed_one_is_not_taken_for_it(form):
    names = ["a.jpg", "b.jpg", "d/" * 55 + "c.jpg"]
    names += [] if form == tarfile.USTAR_FORMAT else ["é.jpg", "n" * 120 + ".jpg"]
    contents = {name: str(place).encode() for place, name in enumerate(names)}
    write_tar("x.tar", contents, form)
    listed = [one.path for one in Finder(["x.tar"])]
    assert [read_bytes(path) for path in listed] == list(contents.values())
    write_tar("x.tar", {"b.jpg": b"1", "a.jpg": b"0"}, form)
    assert kind_of(listed[0]) == kind_of(listed[1]) == "unreadable"
    assert read_bytes("x.tar!a.jpg") == b"0"
    write_tar("x.tar", {"z" * 120: b"0", "a.jpg": b"0"}, tarfile.GNU_FORMAT)
    assert kind_of(listed[0]) == "unreadable"


def test_files_and_folders_keep_their_meaning():
    write_tar("x.tar", {"a.jpg": b"inside"})
    Path("x.tar!a.jpg").write_bytes(b"outside")
    assert read_bytes("x.tar!a.jpg") == b"outside"
    Path("photos").mkdir()
    Path("photos/1.jpg").write_bytes(b"1")
    write_tar("photos/backup.tar", {"a.jpg": b"inside"})
    assert found("photos") == [("photos/1.jpg", None)]
    assert found("photos/*.tar") == [("photos/backup.tar!a.jpg", None)]


def test_names_are_only_text(tmp_path):
    entries = {
        "../../up.jpg": b"1",
        "/etc/abs.jpg": b"2",
        "a\nb.jpg": b"3",
        "caf\udce9.jpg": b"4",
        "same.jpg": b"5",
        "./.hidden.jpg": b"6",
        "__MACOSX/._same.jpg": b"7",
    }
    write_tar("x.tar", entries, tarfile.GNU_FORMAT)
    with tarfile.open("x.tar", "a") as archive:
        archive.addfile(tarfile.TarInfo("same.jpg"))
    Path("up.jpg").write_bytes(b"no")
    names = [path for path, _ in found("x.tar", "../up.jpg", "up.jpg")]
    assert names[:5] == [f"x.tar!{name}" for name in list(entries)[:5]]
    assert names[5:] == ["../up.jpg", "up.jpg"]  # no member hides a file
    assert [read_bytes(name) for name in names[:5]] == [b"1", b"2", b"3", b"4", b"5"]


def test_what_is_no_plain_file_is_an_error_of_its_own():
    write_tar(
        "x.tar",
        {
            "l": special("link.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            "h": special("hard.jpg", tarfile.LNKTYPE, "/etc/passwd"),
            "c": special("device.jpg", tarfile.CHRTYPE),
            "f": special("pipe.jpg", tarfile.FIFOTYPE),
            "d": special("folder.jpg", tarfile.DIRTYPE),
            "t": special("latest", tarfile.SYMTYPE, "2024"),
            "a.jpg": b"plain",
            "o": special("up/out.jpg", tarfile.SYMTYPE, "../../a.jpg"),
            "s": special("itself.jpg", tarfile.SYMTYPE, "itself.jpg"),
        },
    )
    finder = Finder(["x.tar"])
    rows = [(one.path.removeprefix("x.tar!"), one.failure) for one in finder]
    assert [(name, failure and failure.kind) for name, failure in rows] == [
        ("link.jpg", "missing"),
        ("hard.jpg", "missing"),
        ("device.jpg", "unreadable"),
        ("pipe.jpg", "unreadable"),
        ("a.jpg", None),
        ("up/out.jpg", "missing"),
        ("itself.jpg", "missing"),
    ]
    assert rows[0][1].message == "a link to /etc/passwd, which is no file of this tar file"
    assert finder.skipped == 1  # latest
    assert kind_of("x.tar!link.jpg") == kind_of("x.tar!up/out.jpg") == "missing"
    write_tar("none.tar", {"l": special("link", tarfile.SYMTYPE, "/etc/passwd")})
    assert found("none.tar") == [("none.tar", "no-images")]


def test_a_link_to_a_file_of_the_archive_is_read():
    """What tar makes of a folder with links: as many images come out of it as out of the folder."""
    Path("photos/new").mkdir(parents=True)
    Path("photos/a.jpg").write_bytes(b"one")
    Path("photos/c.jpg").write_bytes(b"the other")
    os.link("photos/a.jpg", "photos/new/hard.jpg")
    os.link("photos/a.jpg", "photos/raw")
    Path("photos/b.jpg").symlink_to("new/soft.jpg")  # a link to a link to what follows
    Path("photos/new/soft.jpg").symlink_to("../c.jpg")
    with tarfile.open("x.tar", "w") as archive:
        for path in sorted(Path("photos").rglob("*")):
            archive.add(path, recursive=False)
    contents = {
        "x.tar!photos/a.jpg": b"one",
        "x.tar!photos/b.jpg": b"the other",
        "x.tar!photos/c.jpg": b"the other",
        "x.tar!photos/new/hard.jpg": b"one",
        "x.tar!photos/new/soft.jpg": b"the other",
    }
    listed = [one.path for one in Finder(["x.tar"])]
    assert listed == list(contents)
    assert [read_bytes(path) for path in listed] == list(contents.values())  # by their places
    assert [read_bytes(str(path)) for path in listed] == list(contents.values())  # by their names
    assert found("x.tar!photos/new/hard.jpg") == [("x.tar!photos/new/hard.jpg", None)]
    with tarfile.open("dots.tar", "w") as archive:
        archive.add("photos", "./")
    assert {kind for _, kind in found("dots.tar")} == {None} and len(found("dots.tar")) == 5


def test_a_link_to_a_hidden_file_of_the_archive_is_read():
    """As from a folder: stores of large files keep them under hidden names, links show them."""
    write_tar(
        "x.tar",
        {
            "l": special("photos/a.jpg", tarfile.SYMTYPE, "../.store/1f"),
            "photos/.b.jpg": b"hidden",
            "d": special("photos/.c.jpg", tarfile.SYMTYPE, "a.jpg"),
            "h": special("photos/d.jpg", tarfile.LNKTYPE, "photos/.b.jpg"),
            ".store/1f": b"stored",
        },
    )
    assert found("x.tar") == [("x.tar!photos/a.jpg", None), ("x.tar!photos/d.jpg", None)]
    assert [read_bytes(one.path) for one in Finder(["x.tar"])] == [b"stored", b"hidden"]
    assert read_bytes("x.tar!photos/a.jpg") == b"stored"


def archive_of(folder: str, path: str) -> None:
    with tarfile.open(path, "w") as archive:
        for one in sorted(Path(folder).rglob("*")):
            archive.add(one, recursive=False)


def test_links_through_linked_folders_are_read_as_from_the_disk():
    """They were error rows, or files of their own name beside: links were followed as text."""
    for name in ("real/deep", "a/b", "other"):
        Path("photos", name).mkdir(parents=True)
    for name in ("real/y.jpg", "real/deep/z.jpg", "a/y.jpg", "y.jpg", "other/o.jpg"):
        Path("photos", name).write_bytes(name.encode())
    links = {
        "dir": "real",
        "x.jpg": "dir/y.jpg",
        "xx.jpg": "x.jpg",  # a link to one through a folder
        "other/up.jpg": "../dir/deep/z.jpg",
        "twice": "./dir/deep/",
        "t.jpg": "twice/z.jpg",
        "ab": "a/b",
        "parent.jpg": "ab/../y.jpg",  # of a/b, not of ab: photos/a/y.jpg
        "plain.jpg": "other/../y.jpg",
        "hop": "hop2",
        "hop2": "other",
        "h.jpg": "hop/o.jpg",
    }
    for name, target in links.items():
        Path("photos", name).symlink_to(target)
    archive_of("photos", "x.tar")
    listed = {one.path: one.failure for one in Finder(["x.tar"])}
    expected = [f"x.tar!photos/{name}" for name in links if name.endswith(".jpg")]
    assert set(expected) < set(listed) and set(listed.values()) == {None}
    for path in listed:
        on_disk = Path(path.removeprefix("x.tar!")).read_bytes()
        assert read_bytes(path) == read_bytes(str(path)) == on_disk
    with tarfile.open("dots.tar", "w") as archive:
        archive.add("photos", "./")
    assert {kind for _, kind in found("dots.tar")} == {None} and len(found("dots.tar")) == len(
        listed
    )
    assert read_bytes("dots.tar!./x.jpg") == b"real/y.jpg"


def test_links_through_folders_lead_neither_out_nor_in_circles(monkeypatch):
    links = {
        "out": "/etc",
        "passwd.jpg": "out/passwd",
        "up": "..",
        "beside.jpg": "up/a.jpg",
        "round": "round/round",
        "circle.jpg": "round/a.jpg",
        "double": "double2/double2",
        "double2": "double/double",
        "grows.jpg": "double/a.jpg",
        "long.jpg": "a/../" * 5000 + "a.jpg",
        "fine": "a",
        "b.jpg": "fine/c.jpg",
    }
    members = {f"l{n}": special(n, tarfile.SYMTYPE, to) for n, to in links.items()}
    write_tar("x.tar", {"a.jpg": b"no", **members, "a/c.jpg": b"yes"})
    kinds = dict(found("x.tar"))
    assert [path for path, kind in kinds.items() if kind is None] == [
        *("x.tar!a.jpg", "x.tar!b.jpg", "x.tar!a/c.jpg")
    ]
    assert len(kinds) == 8 and set(kinds.values()) == {None, "missing"}
    monkeypatch.setattr(tar_links, "MOST_KEPT", 1000)
    write_tar("y.tar", {"a.jpg": b"no", **members, "a/c.jpg": b"yes"})
    assert dict(found("y.tar"))["y.tar!b.jpg"] == "missing"


def test_two_archives_listed_at_once_are_indexed_once_each(monkeypatch):
    links = {f"{n}": special(f"{n}.jpg", tarfile.SYMTYPE, "a.jpg") for n in range(20)}
    for name in ("x.tar", "y.tar"):
        write_tar(name, {"a.jpg": b"one", **links})
    made = []
    monkeypatch.setattr(
        tar_files, "_Index", lambda path, real=tar_files._Index: made.append(path) or real(path)
    )
    both = list(zip(Finder(["x.tar"]), Finder(["y.tar"]), strict=True))
    assert len(both) == 21 and not any(one.failure or other.failure for one, other in both)
    assert sorted(made) == ["x.tar", "y.tar"]


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """The header of a member with any text as its size, and the right checksum."""
    block = bytearray(512)
    block[: len(name)] = name.encode()
    block[124 : 124 + len(size)] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)
ONE = header("1.jpg", b"00000000003\0") + b"one".ljust(512, b"\0")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [("x.tar", "empty")]),
        (b"no tar file" * 100, [("x.tar", "corrupt")]),
        (ONE + END, [("x.tar!1.jpg", None)]),
        (ONE, [("x.tar!1.jpg", None)]),  # without the end mark
        (
            ONE + b"damage".ljust(512, b"x") + ONE + END,
            [("x.tar!1.jpg", None), ("x.tar", "corrupt")],
        ),
        (ONE[:-100], [("x.tar!1.jpg", None), ("x.tar", "corrupt")]),
        # a size that leads back, and ones that lead beyond the end
        (ONE + header("2.jpg", b"\xff" * 11 + b"\x00") + END, None),
        (ONE + header("2.jpg", b"\x80" + b"\x7f" * 11) + END, None),
        (ONE + header("2.jpg", b"77777777777\0") + END, None),
        # names and attributes without end
        (ONE + header("x", b"77777777777\0", b"L") + b"a" * 4096 + END, None),
        (ONE + header("x", b"77777777777\0", b"x") + b"9" * 4096 + END, None),
        (ONE + header("x", b"\xff" * 12, b"x") + END, None),
    ],
)
def test_damaged_and_hostile_tar_files_end_in_a_row(content, expected):
    Path("x.tar").write_bytes(content)
    began = time.monotonic()
    rows = found("x.tar")
    if expected is None:
        assert rows[0] == ("x.tar!1.jpg", None) and rows[-1] == ("x.tar", "corrupt")
        assert len(rows) <= 3
    else:
        assert rows == expected
    assert time.monotonic() - began < 5


def test_the_bytes_of_a_member_are_bounded(monkeypatch):
    Path("x.tar").write_bytes(header("big.jpg", b"77777777777\0") + b"a" * 512)
    (big, *_) = Finder(["x.tar"])
    with pytest.raises(ImageError) as caught:
        read_bytes(big.path, max_bytes=1000)
    assert caught.value.kind == "too-large"
    Path("y.tar").write_bytes(header("cut.jpg", b"00000003000\0") + b"a" * 512)
    (cut, *_) = Finder(["y.tar"])
    assert kind_of(cut.path) == "truncated"


def test_a_long_header_is_refused_before_it_is_read():
    Path("x.tar").write_bytes(ONE + header("x", b"00400000000\0", b"L") + bytes(1 << 26))
    tracemalloc.start()
    try:
        assert found("x.tar")[-1] == ("x.tar", "corrupt")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_many_members_do_not_stay_in_memory():
    block = b"".join(header(f"{number:05}.txt", b"00000000000\0") for number in range(1_000))
    Path("x.tar").write_bytes(block + ONE + END)
    tracemalloc.start()
    try:
        assert found("x.tar") == [("x.tar!1.jpg", None)]
        assert tracemalloc.get_traced_memory()[1] < 1 << 19
    finally:
        tracemalloc.stop()


# --- Parquet ------------------------------------------------------------------------------


def test_rows_are_read_in_and_out_of_order():
    cells = [{"bytes": b"%d" % n, "path": "/etc/passwd"} for n in range(10)]
    write_parquet("x.parquet", cells, row_group_size=4)
    assert found("x.parquet") == [(f"x.parquet!{n}", None) for n in range(10)]
    assert [read_bytes(one.path) for one in Finder(["x.parquet"])] == [b"%d" % n for n in range(10)]
    for row in (7, 0, 9, 3, 3, 2):
        assert read_bytes(f"x.parquet!{row}") == b"%d" % row
    assert kind_of("x.parquet!10") == "missing" and kind_of("x.parquet!-1") == "missing"
    assert kind_of("x.parquet!a") == "missing" and kind_of("x.parquet!" + "9" * 30) == "missing"


@pytest.mark.parametrize("kind", ["binary_view", "large_binary", "dictionary"])
def test_all_ways_of_keeping_bytes_are_read(kind):
    """Of two of them it was said that there is no column of bytes."""
    import pyarrow

    cells = pyarrow.array([b"a", b"b", None, b"a"])
    cells = cells.dictionary_encode() if kind == "dictionary" else cells.cast(f"{kind}")
    write_parquet("x.parquet", cells, row_group_size=2)
    assert pyarrow.types.is_dictionary(cells.type) == (kind == "dictionary")
    assert [read_bytes(f"x.parquet!{row}") for row in (0, 1, 3)] == [b"a", b"b", b"a"]
    assert kind_of("x.parquet!2") == "empty"


def test_a_column_may_have_a_dot_in_its_name():
    write_parquet("x.parquet", [b"a", b"b"], "my.photo")
    assert found("x.parquet", column="my.photo")[1] == ("x.parquet!my.photo!1", None)
    assert read_bytes("x.parquet!my.photo!1") == b"b"
    write_parquet("x.parquet", [{"bytes": b"c"}], "my.photo")
    assert read_bytes("x.parquet!my.photo!0") == b"c"


def test_columns():
    write_parquet("plain.parquet", [b"a"], "bytes")
    assert read_bytes("plain.parquet!0") == b"a"
    write_parquet("photo.parquet", [{"bytes": b"b"}], "photo")
    assert found("photo.parquet") == [("photo.parquet", "unsupported")]
    assert found("photo.parquet", column="photo") == [("photo.parquet!photo!0", None)]
    assert read_bytes("photo.parquet!photo!0") == b"b"
    assert read_bytes("photo.parquet!photo.bytes!0") == b"b"
    write_parquet("numbers.parquet", [1, 2], "image")
    assert found("numbers.parquet", column="image") == [("numbers.parquet", "unsupported")]


def test_cells_without_an_image_never_name_a_file():
    write_parquet("x.parquet", [None, {"bytes": None, "path": "/etc/passwd"}, {"bytes": b""}])
    assert [kind_of(path) for path, _ in found("x.parquet")] == ["empty"] * 3


def test_large_cells_are_refused(monkeypatch):
    write_parquet("x.parquet", [b"a" * 5000, b"b"], "bytes")
    with pytest.raises(ImageError) as caught:
        read_bytes("x.parquet!0", max_bytes=1000)
    assert caught.value.kind == "too-large" and read_bytes("x.parquet!1") == b"b"
    monkeypatch.setattr(parquet_files, "MAX_CHUNK_BYTES", 100)
    write_parquet("y.parquet", [b"a" * 5000, b"b"], "bytes")
    assert [kind_of(path) for path, _ in found("y.parquet")] == ["too-large"] * 2


def test_one_cell_that_comes_many_times_stays_small(monkeypatch):
    import pyarrow

    # 64 MiB, stored once in the column's dictionary
    write_parquet("x.parquet", [b"\xff" * (1 << 20)] * 64, "bytes", compression="zstd")
    assert Path("x.parquet").stat().st_size < 1 << 20
    monkeypatch.setattr(parquet_files, "BATCH_BYTES", 4 << 20)
    pool, usual = pyarrow.system_memory_pool(), pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(counted := pyarrow.proxy_memory_pool(pool))
    try:
        assert len(read_bytes("x.parquet!63")) == 1 << 20
        assert counted.max_memory() < 16 << 20
        parquet_files._last.pop("images").close()  # before its pool is gone
        parquet_files._last.clear()
    finally:
        pyarrow.set_memory_pool(usual)


def _wrong_rows(seed: int, cells: list[bytes], answers) -> None:
    wrong = []
    for row in np.random.default_rng(seed).integers(0, len(cells), 80):
        try:
            wrong += [] if read_bytes(f"x.parquet!{row}") == cells[row] else [int(row)]
        except ImageError as error:
            wrong.append(str(error))
    answers.put(wrong)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked")
def test_forked_processes_read_a_parquet_file_each_for_itself():
    """They shared the open file, and moved each other's place in it."""
    cells = [os.urandom(20_000) for _ in range(100)]
    write_parquet("x.parquet", cells, "bytes", row_group_size=5, compression="none")
    assert read_bytes("x.parquet!7") == cells[7]  # it is kept open from here on
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with warnings.catch_warnings():  # of threads, which these children do not need
        warnings.simplefilter("ignore", DeprecationWarning)
        children = [context.Process(target=_wrong_rows, args=(n, cells, answers)) for n in range(4)]
        for child in children:
            child.start()
    assert [answers.get() for _ in children] == [[]] * 4
    for child in children:
        child.join()


@pytest.mark.parametrize("cut", [0, 4, 100, -1, -20])
def test_damaged_parquet_files_are_a_row(cut):
    write_parquet("x.parquet", [{"bytes": b"a" * 300}] * 5)
    content = Path("x.parquet").read_bytes()
    Path("x.parquet").write_bytes(content[:cut] if cut else b"no Parquet file")
    assert found("x.parquet") == [("x.parquet", "corrupt")]


def test_damaged_pages_are_rows():
    write_parquet("x.parquet", [{"bytes": os.urandom(3000)} for _ in range(5)], compression="zstd")
    content = bytearray(Path("x.parquet").read_bytes())
    content[10:2000] = os.urandom(1990)
    Path("x.parquet").write_bytes(content)
    paths = [path for path, _ in found("x.parquet")]
    assert len(paths) == 5 and kind_of(paths[0]) == "corrupt"


def test_more_rows_than_bytes_are_refused():
    write_parquet("x.parquet", [b""] * 100_000, "bytes", use_dictionary=False, compression="zstd")
    assert found("x.parquet") == [("x.parquet", "corrupt")]


# --- through the commands -----------------------------------------------------------------


def rows_of(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_rows_are_those_of_files_and_resume(examples):
    images = {name: (examples / name).read_bytes() for name in ("cat.jpg", "coffee.jpg")}
    images["torn.jpg"] = images["cat.jpg"][:9000]
    for name, content in images.items():
        Path(name).write_bytes(content)
    write_tar("x.tar", images)
    write_parquet("x.parquet", [{"bytes": content} for content in images.values()])
    inputs = [*images, "x.tar", "x.parquet", "http://localhost/a.jpg", "file:///etc/passwd"]
    summary = cnnkit.classify(inputs, output="rows.jsonl")
    rows = rows_of("rows.jsonl")
    for row in rows:
        assert type(row.pop("path")) is str
    assert rows[:3] == rows[3:6] == rows[6:9] and (summary.ok, summary.failed) == (6, 5)
    assert [row["error"]["kind"] for row in rows[9:]] == ["unsupported"] * 2
    seen = []

    def stop(row: dict) -> None:
        seen.append(row)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cnnkit.classify(inputs, output="again.jsonl", emit=stop)
    assert cnnkit.classify(inputs, output="again.jsonl", resume=True).resumed == 5
    assert Path("again.jsonl").read_bytes() == Path("rows.jsonl").read_bytes()


class Failing:
    """Batches of a Parquet file, of which one raises something instead."""

    def __init__(self, error):
        self.error = error

    def __next__(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError("Corrupt snappy compressed data."), "corrupt", "damaged here"),
        (OSError(errno.EIO, "Input/output error"), "unreadable", "Input/output error"),
        (MemoryError(), "too-large", "not enough memory"),
        (KeyboardInterrupt(), None, ""),
    ],
)
def test_what_interrupts_a_parquet_file_is_told_and_moves_no_image(error, kind, message):
    cells = [b"%d" % number for number in range(100)]
    write_parquet("x.parquet", cells)
    file = parquet_files.ParquetImages("x.parquet")
    assert file.read(0, 9) == b"0"
    file._batches = Failing(error)
    with pytest.raises(ImageError if kind else KeyboardInterrupt) as caught:
        file.read(70, 9)
    assert kind is None or caught.value.kind == kind
    assert message in str(caught.value)
    assert [file.read(row, 9) for row in range(70, 100)] == cells[70:]
    file.close()


def test_a_parquet_file_without_memory_to_open_it_is_not_called_damaged(monkeypatch):
    import pyarrow

    write_parquet("x.parquet", [b"1"])

    def full(*_, **__):
        raise pyarrow.ArrowMemoryError("malloc of size 64 failed")

    monkeypatch.setattr(parquet, "ParquetFile", full)
    assert kind_of("x.parquet!0") == "too-large"


def test_annotations_of_members_stay_in_their_folder(examples, tmp_path):
    write_tar("x.tar", {"../../../up.jpg": (examples / "cat.jpg").read_bytes()})
    before = set(tmp_path.parent.rglob("up*"))
    cnnkit.detect("x.tar", model="nanodet-g", annotate="drawn", crops="cut", output="yolo:boxes")
    written = [path for path in tmp_path.parent.rglob("up*") if path not in before]
    assert written and all(tmp_path in path.resolve().parents for path in written)


@pytest.mark.parametrize("path", ["x.tar", "x.tar!a.jpg", "x.parquet", "s3://b/x.jpg", "*.tar"])
@pytest.mark.parametrize("how", ["copy", "move"])
def test_what_is_no_file_is_not_sorted(path, how):
    message = f"`sort_into` must be used with image files and folders only. Received: {path}"
    for function in (cnnkit.classify, cnnkit.detect):
        with pytest.raises(UsageError) as caught:
            function(["photos", path], sort_into="sorted", how=how)
        assert message in str(caught.value)


def test_spellings():
    assert places.split_member("a.tar!b!c.jpg") == ("a.tar", "b!c.jpg")
    assert places.split_member("a.TAR!b") == ("a.TAR", "b") and places.split_member("a!b") is None
    assert places.scheme_of("C://photos") is None and places.scheme_of("S3://b") == "s3"
    assert not places.is_url("http://x/y") and not places.is_url("file:///x")
    assert tar_files.MAX_HEADER_BYTES <= 1 << 20
