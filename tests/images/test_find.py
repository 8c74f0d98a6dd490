from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import pytest

from cnnkit.images.find import Finder, Found, find_images, read_list
from tests.ugly_files import bad_files, encode, plain, write_passed_over, write_ugly_files

PNG = encode(plain().resize((2, 2)), "PNG")


def make(folder: Path, *names: str, content: bytes = PNG) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(*inputs: str, exclude: tuple[str, ...] = ()) -> list[str]:
    """The paths found; a failure as "kind: path"."""
    found = find_images(inputs, exclude=exclude)
    return [one.path if not one.failure else f"{one.failure.kind}: {one.path}" for one in found]


def test_folder_order_is_by_code_point_with_files_and_folders_together(here: Path) -> None:
    make(here, "p/b.png", "p/B.png", "p/a/z.png", "p/a.png", "p/a10.png", "p/a2.png", "p/é.png")
    assert paths("p") == [
        "p/B.png",
        "p/a/z.png",
        "p/a.png",
        "p/a10.png",
        "p/a2.png",
        "p/b.png",
        "p/é.png",
    ]


@pytest.mark.parametrize("given", ["p", "p/", "./p", "../here/p", "p/../p"])
def test_paths_are_joined_to_what_was_typed(here: Path, given: str) -> None:
    make(here / "here", "p/a.png")
    os.chdir(here / "here")
    assert paths(given) == [os.path.join(given, "a.png")]


def test_current_folder(here: Path) -> None:
    make(here, "a.png")
    assert paths(".") == ["./a.png"]


def test_scan_takes_endings_and_first_bytes_and_counts_the_rest(here: Path) -> None:
    make(here, "p/real", "p/odd.dat")
    make(here, "p/text.JPG", "p/photo.heic", "p/notes.txt", "p/data", content=b"no image")
    finder = Finder(["p"])
    assert [one.path for one in finder] == ["p/odd.dat", "p/photo.heic", "p/real", "p/text.JPG"]
    assert finder.skipped == 2


def test_named_files_are_always_candidates(here: Path) -> None:
    make(here, "d [1]/a.png", "d 1/b.png")
    assert [one.path for one in Finder(["d [1]/*.png"])] == ["d [1]/a.png"]
    assert [one.path for one in Finder(["d [12]/*.png"])] == ["d 1/b.png"]
    make(here, ".hidden", "notes.txt", "[1].png", "what?.png", content=b"text")
    finder = Finder([".hidden", "notes.txt", "[1].png", "what?.png", "gone.png"])
    found = list(finder)
    assert [one.path for one in found[:4]] == [".hidden", "notes.txt", "[1].png", "what?.png"]
    assert [one.failure for one in found[:4]] == [None] * 4
    assert found[4].failure.kind == "missing"
    assert finder.skipped == 0


def test_hidden_files_and_folders_are_passed_over(here: Path) -> None:
    make(here, "p/.a.png", "p/.git/b.png", "p/c.png")
    assert paths("p") == ["p/c.png"]
    assert paths("p/.git") == ["p/.git/b.png"]


def test_folder_without_images_is_one_failure(here: Path) -> None:
    make(here, "p/notes.txt", "p/.hidden.png", content=b"text")
    (here / "empty").mkdir()
    assert paths("p", "empty") == ["no-images: p", "no-images: empty"]


def test_links_are_followed_but_never_in_circles(here: Path) -> None:
    make(here, "p/one/a.png", "elsewhere/b.png")
    (here / "p/one/up").symlink_to("..")
    (here / "p/self").symlink_to(".")
    (here / "p/two").symlink_to("../elsewhere")
    (here / "elsewhere/back").symlink_to(here / "p")
    (here / "p/file.png").symlink_to("one/a.png")
    assert paths("p") == ["p/file.png", "p/one/a.png", "p/two/b.png"]


def test_many_links_to_one_another_are_walked_once(here: Path) -> None:
    for level in range(30):
        folder = here / f"p/{level}"
        folder.mkdir(parents=True)
        for name in ("x", "y"):
            (folder / name).symlink_to(f"../{level + 1}")
    make(here, "p/30/a.png")
    assert len(paths("p")) == 1


def test_dangling_links_and_pipes(here: Path) -> None:
    (here / "p").mkdir()
    (here / "p/dangling.png").symlink_to("gone")
    (here / "p/dangling").symlink_to("gone")
    os.mkfifo(here / "p/pipe.png")
    finder = Finder(["p", "p/pipe.png"])
    found = list(finder)
    assert found[0] == Found("p/dangling.png")
    assert (found[1].path, found[1].failure.kind) == ("p/pipe.png", "unreadable")
    assert (len(found), finder.skipped) == (2, 2)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("p/*.png", ["p/a.png", "p/b.png"]),
        ("p/?.png", ["p/a.png", "p/b.png"]),
        ("p/[!a].png", ["p/b.png"]),
        ("*/sub/*.png", ["p/sub/c.png"]),
        ("p/**/*.png", ["p/a.png", "p/b.png", "p/sub/c.png", "p/sub/deep/d.png"]),
        ("**/d.png", ["p/sub/deep/d.png"]),
        ("p/**", ["p/a.png", "p/b.png", "p/sub/c.png", "p/sub/deep/d.png"]),
        ("p/*", ["p/a.png", "p/b.png", "p/sub/c.png", "p/sub/deep/d.png"]),
        ("./p/s*", ["./p/sub/c.png", "./p/sub/deep/d.png"]),
        ("p/*.gif", ["no-images: p/*.gif"]),
        ("gone/*.png", ["no-images: gone/*.png"]),
        ("p/n*", ["no-images: p/n*"]),
        ("p/*.png/x", ["no-images: p/*.png/x"]),
    ],
)
def test_patterns(here: Path, pattern: str, expected: list[str]) -> None:
    make(here, "p/a.png", "p/b.png", "p/sub/c.png", "p/sub/deep/d.png", "p/.hidden.png")
    make(here, "p/notes.txt", content=b"text")
    assert paths(pattern) == expected


def test_absolute_pattern(here: Path) -> None:
    make(here, "p/a.png")
    assert paths(f"{here}/p/*.png") == [f"{here}/p/a.png"]


def test_pattern_below_a_circle_of_links(here: Path) -> None:
    make(here, "p/a.png")
    (here / "p/loop").symlink_to(".")
    assert paths("p/**/*.png") == ["p/a.png"]


def test_duplicates_come_once_and_keep_the_first_form(here: Path) -> None:
    make(here, "p/a.png", "p/b.png")
    given = ("./p/b.png", "p", f"{here}/p", "p/*.png", "p/../p/a.png", "gone", "gone")
    assert paths(*given) == ["./p/b.png", "p/a.png", "missing: gone"]


def test_output_folders_are_left_out(here: Path) -> None:
    make(here, "p/a.png", "p/sorted/cat/a.png", "p/z/b.png")
    (here / "p/link").symlink_to("sorted")
    assert paths("p", exclude=("p/sorted",)) == ["p/a.png", "p/z/b.png"]
    assert paths("p/*", exclude=(f"{here}/p/sorted",)) == ["p/a.png", "p/z/b.png"]
    assert paths("p/**/*.png", exclude=("p/sorted",)) == ["p/a.png", "p/z/b.png"]
    assert paths("p/**", exclude=("p/not yet made",))[0] == "p/a.png"
    assert paths("p/sorted", exclude=("p/sorted",)) == ["p/sorted/cat/a.png"]


def test_undecodable_names(here: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        make(here, f"p/{name}")
    except OSError:
        pytest.skip("the file system allows no such name")
    assert paths("p", "p/*") == [f"p/{name}"]


def test_unreadable_folder_is_a_row(here: Path) -> None:
    make(here, "p/shut/a.png", "p/z.png")
    (here / "p/shut").chmod(0)
    try:
        if os.access(here / "p/shut", os.R_OK):
            pytest.skip("the tests may read everything")
        assert paths("p") == ["unreadable: p/shut", "p/z.png"]
    finally:
        (here / "p/shut").chmod(0o700)


def test_a_folder_that_vanishes_during_the_scan_is_a_row(here: Path) -> None:
    make(here, "p/a.png", "p/b/c.png", "p/d.png")
    found = find_images(["p"])
    assert next(found).path == "p/a.png"
    (here / "p/b/c.png").unlink()
    (here / "p/b").rmdir()
    assert [one.failure and one.failure.kind for one in found] == ["missing", None]


def test_scan_is_lazy_and_small(here: Path) -> None:
    for folder in range(20):
        make(here, *(f"p/{folder:02}/{i:03}.png" for i in range(100)), content=b"x")
    tracemalloc.start()
    found = find_images(["p"])
    assert next(found).path == "p/00/000.png"
    early = tracemalloc.get_traced_memory()[0]
    assert sum(1 for _ in found) == 1999
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - early < 60_000  # two folders of a hundred names, not twenty


def test_ugly_folder_gives_every_file_one_row(here: Path) -> None:
    expected = write_ugly_files(here / "ugly")
    skipped = write_passed_over(here / "ugly")
    finder = Finder(["ugly"])
    names = [os.path.basename(one.path) for one in finder]
    assert len(expected) >= 40
    assert sorted(names) == sorted(expected)
    assert finder.skipped == skipped


@pytest.mark.parametrize(
    ("content", "null_separated", "expected"),
    [
        (b"a.jpg\nb c.jpg\r\n\n \n\r\nlast", False, ["a.jpg", "b c.jpg", " ", "last"]),
        (b"a\nb\0\0c\r\0last", True, ["a\nb", "c\r", "last"]),
        (b"caf\xe9\n", False, [os.fsdecode(b"caf\xe9")]),
        (b"", False, []),
        (b"", True, []),
        (b"x" * 70000 + b"\0y", True, ["x" * 70000, "y"]),
    ],
)
def test_read_list(content: bytes, null_separated: bool, expected: list[str]) -> None:
    assert list(read_list(io.BytesIO(content), null_separated)) == expected


def test_list_feeds_the_finder_as_it_arrives(here: Path) -> None:
    make(here, "a.png", "b.png")
    names = read_list(io.BytesIO(b"a.png\nb.png\na.png\n"), null_separated=False)
    assert [one.path for one in find_images(names)] == ["a.png", "b.png"]


def test_bad_files_have_their_kinds_in_the_table() -> None:
    assert {kind for kind, _ in bad_files().values()} >= {
        "truncated",
        "empty",
        "not-an-image",
        "unsupported",
        "too-large",
        "corrupt",
    }


def test_what_archives_and_drives_leave_behind_is_passed_over(here: Path) -> None:
    make(here, "d/a.png", "d/@eaDir/a.png/SYNOPHOTO_THUMB_M.png", "d/__MACOSX/a.png")
    make(here, "d/$RECYCLE.BIN/b.png")
    assert paths("d") == ["d/a.png"]
    assert paths("d/__MACOSX") == ["d/__MACOSX/a.png"]  # what was named is taken


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_that_a_windows_program_wrote(encoding: str, end: str) -> None:
    content = end.join(["caf\u00e9.png", "", "b.png", ""]).encode(encoding)
    assert list(read_list(io.BytesIO(content), null_separated=False)) == ["caf\u00e9.png", "b.png"]


@pytest.mark.parametrize(
    ("given", "path", "found"),
    [
        ("in", "in/gone.jpg", True),
        ("in/", "in/deep/gone.jpg", True),
        ("../work/in", "../work/in/gone.jpg", True),
        ("in", "in/../gone.jpg", False),
        ("in", "inside/gone.jpg", False),
        ("in", "./in/gone.jpg", False),
        (".", "./gone.jpg", True),
        ("in/*.jpg", "in/gone.jpg", True),
        ("in/*.jpg", "in/gone.txt", False),
        ("*/a.jpg", "../a.jpg", False),
        ("in/**/*.jpg", "in/deep/gone.jpg", True),
        ("in/**/*.jpg", "in/../gone.jpg", False),
    ],
)
def test_what_is_gone_may_have_been_found_where_it_was_looked_for(
    tmp_path, monkeypatch, given, path, found
):
    (tmp_path / "work" / "in").mkdir(parents=True)
    (tmp_path / "work" / "in" / "a.jpg").write_bytes(b"")
    monkeypatch.chdir(tmp_path / "work")
    finder = Finder([given])
    list(finder)
    assert finder.could_have_found(path) == found
