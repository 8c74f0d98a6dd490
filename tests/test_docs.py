"""Every command line of the pages in docs/ is run, in order, in folders laid out as they say."""

from __future__ import annotations

import re
import shlex
import shutil
import tarfile
from pathlib import Path

import pytest

from cnnkit.images import decode, read_bytes
from tests.bundles.graphs.making import onnx_classifier, onnx_detector
from tests.classification.training.drawings import draw
from tests.faces.astronauts import write_astronauts
from tests.faces.gallery.portraits import write_people
from tests.faces.training.digits import write_digits
from tests.forked import run_forked
from tests.formats.drawn_boxes import draw_boxes

BOX_PAGES = ("boxes.md", "train-detector.md")
SLOW_PAGES = (
    "boxes.md",
    "classify.md",
    "convolve.md",
    "course.md",
    "data.md",
    "detect.md",
    "experiment.md",
    "explain.md",
    "export.md",
    "gallery.md",
    "stylize.md",
    "train-detector.md",
    "train-face.md",
    "train-style.md",
    "transfer-learn.md",
    "verify-face.md",
    "video.md",
    "visualize.md",
)

DOCS = Path(__file__).resolve().parents[1] / "docs"


def write_containers(folder: Path, images: Path) -> None:
    """Write the example images as a tar file and as Parquet files."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    files = sorted(images.glob("c*.jpg"))
    with tarfile.open(folder / "photos.tar", "w") as archive:
        for file in files:
            archive.add(file, file.name)
    cells = [file.read_bytes() for file in files]
    parquet.write_table(pyarrow.table({"bytes": cells}), folder / "photos.parquet")
    parquet.write_table(pyarrow.table({"picture": cells}), folder / "other.parquet")


def command_lines(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def pages() -> list[object]:
    """Return the pages that show commands; those whose commands train or optimize are slow."""
    names = sorted(path.name for path in DOCS.glob("*.md") if command_lines(path.name))
    return [pytest.param(n, marks=pytest.mark.slow if n in SLOW_PAGES else ()) for n in names]


@pytest.mark.parametrize("page", pages())
def test_the_command_lines_work_in_their_order(page, tmp_path, examples, run_cnnkit):
    if page == "verify-face.md":
        write_astronauts(tmp_path, examples)
    elif page == "gallery.md":
        image = decode(read_bytes(str(examples / "astronaut.jpg")))
        write_people(tmp_path / "people", image, photos=4)
        write_people(tmp_path / "photos", image, photos=2)
    elif page == "train-face.md":
        write_digits(tmp_path / "digits", each=10)
    elif page in ("classify.md", "detect.md", "inputs.md"):
        shutil.copytree(examples, tmp_path / "photos")
        if page == "classify.md":
            draw(tmp_path / "examples", count=3)
        elif page == "inputs.md":
            write_containers(tmp_path, examples)
    elif page == "search.md":
        shutil.copytree(examples, tmp_path / "photos")
        (tmp_path / "queries").mkdir()
        for query in (tmp_path / "query.jpg", tmp_path / "queries"):
            shutil.copy(examples / "cat.jpg", query)
    elif page == "video.md":
        from tests.video.clips import make_clip  # needs the extra `video`

        make_clip(tmp_path / "clip.mp4", 40)
    elif page == "own-models.md":
        shutil.copytree(examples, tmp_path / "photos")
        onnx_classifier(tmp_path / "flowers.onnx")
        onnx_detector(tmp_path / "yolo.onnx")
        (tmp_path / "animals.txt").write_text("cat\ndog\n")
        (tmp_path / "flowers.txt").write_text("daisy\ndandelion\nrose\ntulip\n")
    elif page in BOX_PAGES:
        draw_boxes(tmp_path / "shapes", count=24)
    elif page == "stylize.md":
        (tmp_path / "photos").mkdir()
        shutil.copy(examples / "cat.jpg", tmp_path / "photos")
        shutil.copy(examples / "coffee.jpg", tmp_path / "painting.jpg")
    else:
        for folder, first in (("photos", 0), ("new", 100), ("test", 200)):
            draw(tmp_path / folder, count=20, first=first)
        shutil.copy(examples / "cat.jpg", tmp_path)
    if page == "export.md":
        shutil.copy(examples / "astronaut.jpg", tmp_path / "photos")
    for line in command_lines(page):
        program, *arguments = shlex.split(line)
        assert program == "cnnkit"
        done = run_cnnkit(*arguments)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


# What the Python of a page reads, as a command makes it, if the page itself does not.
PYTHON_PAGES = {
    "course.md": "",
    "network.md": "",
    "search.md": "classify photos --embeddings photos.npy -o photos.jsonl",
    "gallery.md": "gallery enroll team.gallery astronaut.jpg --name Eileen",
    "export.md": "export nanodet-g -o detector.onnx",
    "video.md": "",
}
SERVES = "serve.md"  # which never returns


def programs(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "page",
    [pytest.param(n, marks=pytest.mark.slow if n == "export.md" else ()) for n in PYTHON_PAGES],
)
def test_the_programs_of_a_page_run(page, tmp_path, examples, run_cnnkit, clean_environment):
    shutil.copytree(examples, tmp_path / "photos")
    for name in ("astronaut.jpg", "party.jpg", "query.jpg"):
        shutil.copy(examples / "astronaut.jpg", tmp_path / name)
    if page == "video.md":
        from tests.video.clips import make_clip  # needs the extra `video`

        make_clip(tmp_path / "clip.mp4", 40)
    if page == "export.md":
        pytest.importorskip("onnxruntime")
    if PYTHON_PAGES[page]:
        made = run_cnnkit(*shlex.split(PYTHON_PAGES[page]))
        assert made.returncode == 0, made.stderr
    for program in programs(page):
        done = run_forked(["-c", program], cwd=tmp_path, env=clean_environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout or page == "video.md"


def test_every_page_with_a_program_is_run():
    assert {path.name for path in DOCS.glob("*.md") if programs(path.name)} - {SERVES} == {
        *PYTHON_PAGES
    }


def test_pages_about_commands_show_some():
    shown = {page: len(command_lines(page)) for page in ("classify.md", "data.md", "detect.md")}
    assert min(shown.values()) >= 3


def test_every_page_is_named_in_the_readme_or_in_another_page():
    names = {path.name for path in DOCS.glob("*.md")}
    named = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    named += "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert {name for name in names if name not in named} == set()
