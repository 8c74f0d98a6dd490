"""No output of a public function is one of its inputs, as on the command line."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from PIL import Image

import cnnkit
from cnnkit.commands.apart import OUTPUTS
from cnnkit.errors import UsageError

WRITING = [
    name
    for name in cnnkit.__all__
    if inspect.isfunction(function := getattr(cnnkit, name))
    and set(inspect.signature(function).parameters) & set(OUTPUTS)
]


@pytest.mark.parametrize("name", WRITING)
def test_every_function_that_writes_makes_the_check(name: str) -> None:
    assert getattr(cnnkit, name).keeps_inputs


def test_the_functions_that_write_are_found() -> None:
    assert {"classify", "augment", "convert_boxes", "evaluate", "transfer_learn"} <= set(WRITING)


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("augment", "a.png", "a.png"),
        ("augment", "a.png", "link.png"),  # the same file by another name
        ("convert_boxes", "coco:a.json", "coco:a.json"),
        ("export", "a.keras", "a.keras"),
        ("classify", "a.png", "a.png"),
    ],
)
def test_an_output_that_is_the_input_is_refused_and_kept(
    name: str, source: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save("a.png")
    Path("link.png").symlink_to("a.png")
    Path("a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    Path("a.keras").write_bytes(b"anything")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    function = getattr(cnnkit, name)
    keywords = {"output": target} if name == "classify" else {}
    places = [source] if name == "classify" else [source, target]
    with pytest.raises(UsageError, match=target.rpartition(":")[2]):
        function(*places, overwrite=True, **keywords)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["output", "report", "sort_into", "embeddings", "labels"])
def test_an_empty_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"`{name}` must name a file or folder. Received: ''"):
        cnnkit.classify(tmp_path, **{name: ""})
    with pytest.raises(UsageError, match="`output` must name"):
        cnnkit.detect(tmp_path, output=["a.jsonl", ""])


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "\ud800", f"{'y' * 300}/z"])
def test_a_name_that_no_file_can_have_is_refused_in_one_line(path: str, tmp_path: Path) -> None:
    """It was an error of Python's, and from the command line one of cnnkit's own."""
    for names in ({"data": path}, {"output": path}, {"images": path}, {"augment": path}):
        given = {"data": tmp_path, "output": tmp_path / "out"} | names
        with pytest.raises(UsageError, match="must name a file or folder") as caught:
            cnnkit.train_detector(**given)
        assert len(str(caught.value)) < 200


def test_an_object_where_only_files_are_read_is_refused(tmp_path: Path) -> None:
    """It was said not to exist, or spelled ``s3:/``."""
    url, rule = "s3://bucket/photos/", r"must be a local file or folder.*s3://bucket.*Copy it here"
    with pytest.raises(UsageError, match=rule):
        cnnkit.evaluate("efficientnet-lite0", url)
    with pytest.raises(UsageError, match=rule):
        cnnkit.doctor(url)
    with pytest.raises(UsageError, match=rule):
        cnnkit.search(f"{url}index.npy", "cat.jpg")
    with pytest.raises(UsageError, match=f"`labels` {rule}"):
        cnnkit.classify("cat.jpg", labels=url)
