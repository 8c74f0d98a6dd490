from __future__ import annotations

import json
import os
import re
import tracemalloc
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest

from cnnkit.errors import ImageError, OutputError
from cnnkit.reports.gallery import write_gallery
from tests.reports.conftest import HOSTILE, MADE, error_row, many_rows, outside_scripts, row, webp

ROWS = [
    row("photos/cat.jpg", ("Egyptian cat", 0.4), ("tabby", 0.3), threshold=0.35),
    row("photos/blur.jpg", ("beacon", 0.2), ("church", 0.1), threshold=0.35),
    error_row("photos/bad.jpg"),
    row("photos/dog.jpg", ("kuvasz", 0.9), ("malamute", 0.05)) | {"sorted_to": "out/kuvasz"},
]


def gallery(path: Path, rows, thumbnail=None, **options) -> str:
    """Write a gallery and return its text."""
    names = {"title": "photos/", "model_name": "efficientnet-lite0"} | options
    write_gallery(path, rows, thumbnail=thumbnail, made=MADE, **names)
    return path.read_text(encoding="utf-8")


def records(html: str) -> list[dict]:
    found = re.findall(r'<script type="application/json" class="row">(.*?)</script>', html)
    return [json.loads(text) for text in found]


def figures(html: str) -> dict[str, str]:
    found = re.findall(
        r'figure-value">(?:<a href="#errors">)?([^<]*)<.*?figure-name">([^<]*)<', html
    )
    return {name: value for value, name in found}


def test_rows_stand_in_the_page_in_order(report, thumbnail):
    assert records(gallery(report, ROWS, thumbnail)) == [
        {
            "path": "photos/cat.jpg",
            "name": "cat.jpg",
            "label": "Egyptian cat",
            "score": 0.4,
            "chosen": 0,
            "predictions": [["Egyptian cat", 0.4], ["tabby", 0.3]],
        },
        {
            "path": "photos/blur.jpg",
            "name": "blur.jpg",
            "label": "unknown",
            "score": 0.2,
            "chosen": -1,
            "predictions": [["beacon", 0.2], ["church", 0.1]],
        },
        {"path": "photos/bad.jpg", "error": {"kind": "truncated", "message": "It ends early."}},
        {
            "path": "photos/dog.jpg",
            "name": "dog.jpg",
            "label": "kuvasz",
            "score": 0.9,
            "chosen": 0,
            "predictions": [["kuvasz", 0.9], ["malamute", 0.05]],
            "sorted_to": "out/kuvasz",
        },
    ]


def test_golden_head_and_header(report):
    html = gallery(report, ROWS, options={"threshold": 0.35, "fit": "crop"})
    golden = Path(__file__).parents[1] / "golden" / "gallery_header.html"
    header = html[html.index("<header") : html.index("</header>") + len("</header>\n")]
    assert header == golden.read_text(encoding="utf-8"), (
        f"The header changed. If that is meant, put the new one into {golden}."
    )
    assert "<title>photos/</title>" in html
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')


def test_counts(report):
    assert figures(gallery(report, ROWS)) == {
        "classified": "3",
        "classes found": "2",
        "unknown": "1",
        "failed": "1",
    }


def test_a_class_named_unknown_is_a_class(report):
    html = gallery(report, [row("a.jpg", ("unknown", 0.9), ("cat", 0.1))])
    assert records(html)[0]["chosen"] == 0
    assert figures(html)["unknown"] == "0"


def test_no_rows(report):
    html = gallery(report, [])
    assert records(html) == []
    assert figures(html)["classified"] == "0"


def test_thumbnails_follow_their_rows(report):
    asked = []

    def thumbnail(path):
        asked.append(path)
        if "blur" in path:
            return None
        if "dog" in path:
            raise ImageError("missing", "No such file.")
        return webp()

    html = gallery(report, ROWS, thumbnail)
    assert asked == ["photos/cat.jpg", "photos/blur.jpg", "photos/dog.jpg"]
    images = re.findall(r'class="thumbnail">([^<]*)</script>', html)
    assert len(images) == 1 and images[0].startswith("data:image/webp;base64,")
    assert html.index("cat.jpg") < html.index(images[0]) < html.index("blur.jpg")


def test_the_thumbnail_of_an_undecodable_name_is_asked_by_that_name(report):
    asked = []
    name = os.fsdecode(b"photos/\xff.jpg")
    html = gallery(report, [row(name, ("cat", 0.9))], lambda path: asked.append(path))
    assert asked == [name]
    assert records(html)[0]["path"] == r"photos/\xff.jpg"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field_stays_text(report, text, thumbnail):
    rows = [
        row(text, (text, 0.9), ("cat", 0.1)) | {"sorted_to": text},
        error_row(text, message=text),
    ]
    rows[1]["error"]["kind"] = text
    html = gallery(report, rows, thumbnail, title=text, model_name=text, options={text: text})
    plain = gallery(report, [row("a", ("b", 0.9), ("cat", 0.1)), error_row("c")], thumbnail,
                    title="a", model_name="b", options={"c": "d"})  # fmt: skip
    # the same tags in the same order, whatever the text says
    tags = r"<(/?[a-zA-Z!][^\s>/]*)"
    assert re.findall(tags, html) == re.findall(tags, plain)
    shown = unescape(outside_scripts(html))
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", shown
    )
    assert len(records(html)) == 2


def test_a_label_with_a_lone_surrogate(report):
    html = gallery(report, [row("a.jpg", ("half \ud800", 0.9), ("cat", 0.1))])
    assert records(html)[0]["label"] == r"half \ud800"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (row("a", ("b", 1.0)) | {"status": "maybe"}, "`status` must be ok or error"),
        (row("a", ("b", 1.0)) | {"label": "c"}, "`label` must be among the predictions"),
        (row("a", ("b", 1.0)) | {"score": float("nan")}, "JSON"),
    ],
)
def test_a_row_outside_the_schema_is_refused(report, broken, message):
    with pytest.raises(ValueError, match=message):
        gallery(report, [broken])
    assert os.listdir(report.parent) == []


def test_rows_that_fail_leave_no_file(report):
    def failing():
        yield from ROWS
        raise RuntimeError("the journal ends here")

    with pytest.raises(RuntimeError, match="the journal ends here"):
        gallery(report, failing())
    assert os.listdir(report.parent) == []


def test_rows_that_fail_leave_the_old_file(report):
    old = gallery(report, ROWS)
    with pytest.raises(ZeroDivisionError):
        gallery(report, (1 // 0 for _ in range(1)))
    assert report.read_text(encoding="utf-8") == old
    assert os.listdir(report.parent) == [report.name]


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        gallery(tmp_path / "nowhere" / "report.html", ROWS)


def test_rows_are_written_as_they_come(report):
    sizes = []

    def watched():
        for i, one in enumerate(many_rows(2000)):
            if i % 500 == 0:
                (part,) = report.parent.iterdir()
                sizes.append(part.stat().st_size)
            yield one

    gallery(report, watched(), lambda path: webp() + bytes(1000))
    assert all(later - earlier > 400_000 for earlier, later in pairwise(sizes))


def test_memory_does_not_grow_with_the_rows(report):
    def peak(count: int) -> int:
        tracemalloc.start()
        write_gallery(
            report,
            many_rows(count),
            title="t",
            model_name="m",
            thumbnail=lambda path: webp() + bytes(2000),
        )
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(5)  # templates and pools are loaded
    assert peak(1000) < peak(100) + 200_000


def test_the_page_names_nothing_outside_itself(report, thumbnail):
    html = gallery(report, ROWS, thumbnail)
    addresses = re.findall(r"\b(?:https?:|//)[\w.-]+\.\w+[^\s\"'<]*", html)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # the name of SVG, never loaded
    sources = re.findall(r"\b(?:src|href|action|data|poster|srcset)=[\"']([^\"']*)", html)
    assert all(source.startswith(("#", "data:")) for source in sources)
    assert " style=" not in outside_scripts(html)
    assert not re.search(r"\son\w+=", outside_scripts(html))


def test_the_page_has_a_bound_and_counts_all(report, monkeypatch):
    asked = []

    def thumbnail(path):
        asked.append(path)
        return webp()

    whole = gallery(report, ROWS * 3, thumbnail)
    assert "Listed are" not in whole and "Thumbnails are" not in whole
    one = len(re.search(r"data:image/[^<]*", whole)[0])
    size = sum(map(len, re.findall(r'<script type="application/json".*?</script>', whole)[:5]))
    monkeypatch.setattr("cnnkit.reports.gallery.IMAGE_BYTES", 2 * one)
    monkeypatch.setattr("cnnkit.reports.gallery.ROW_BYTES", size)
    asked.clear()
    html = gallery(report, ROWS * 3, thumbnail)
    assert records(html) == records(whole)[:5]
    assert html.count("data:image/") == 2 and len(asked) == 3
    assert figures(html) == figures(whole)
    assert "Listed are the first 5 of 12 inputs" in html
    assert "Thumbnails are shown of the first 2 images" in html
