"""No output of any command is one of its inputs: every command, every option."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from cnnkit.cli import _run, group
from cnnkit.commands import apart
from cnnkit.errors import UsageError
from tests.test_projection import COMMANDS, functions_of

COCO = '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}'
SIZE = "<size><width>9</width><height>9</height></size>"
VOC = f"<annotation><filename>a.png</filename>{SIZE}</annotation>"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images, annotations, a bundle, lists: things that a command may read."""
    monkeypatch.chdir(tmp_path)
    for name in ("p/a.png", "p/b.jpg", "q/c.jpg", "sub/p/d.jpg", "data/x/1.png", "data/y/2.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        color = 37 * len(name) % 256
        Image.fromarray(np.full((48, 48, 3), color, np.uint8)).save(path)
    texts = {
        **{"m/card.json": "{}", "m/labels.txt": "x\n", "m/split.csv": "path,split\n"},
        **{"coco.json": COCO, "voc/a.xml": VOC, "voc/sub/b.xml": VOC, "pairs.csv": "a,b\n"},
        **{"yolo/labels/a.txt": "0 .5 .5 .1 .1\n", "yolo/data.yaml": "names: [x]\n"},
        **{"names/classes.txt": "x\n", "labels.csv": "x\n", "kernel.npy": "", "m/model.keras": "k"},
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "p" / "page.html").write_bytes((tmp_path / "p" / "a.png").read_bytes())
    os.symlink("p/a.png", tmp_path / "link.png")
    os.symlink("p", tmp_path / "also")
    os.link("q/c.jpg", tmp_path / "hard.jpg")
    return tmp_path


REFUSED = """
convolve p --kernel blur -o p --overwrite
convolve p --kernel blur -o p
convolve p --kernel blur -o also/ --overwrite
convolve p/a.png --kernel blur -o p/ --overwrite
convolve p/a.png --kernel blur -o p/a.png --overwrite
convolve p/a.png --kernel blur -o link.png --overwrite
convolve p/*.png --kernel blur -o p/ --overwrite
convolve p/*.png --kernel blur -o link.png --overwrite
convolve p/a.png --kernel kernel.npy -o kernel.npy --overwrite
convolve --learn-from p/page.html p/a.png --report p/page.html --overwrite
stylize p/b.jpg --style q/c.jpg -o p/b.jpg --overwrite
stylize p/b.jpg --style q/c.jpg -o q/c.jpg --overwrite
stylize p/b.jpg --style q/c.jpg -o hard.jpg --overwrite
stylize p/b.jpg --style q/c.jpg --mask p/a.png -o p/a.png --overwrite
stylize p/b.jpg --style q/c.jpg --start p/a.png -o link.png --overwrite
stylize p/b.jpg --style q/c.jpg --contact-sheet q/c.jpg --overwrite
stylize p --style q/c.jpg -o p --overwrite
stylize p --style q/c.jpg -o also
stylize p --style q/c.jpg --mask q -o q --overwrite
verify-face p/a.png p/b.jpg --annotate p/b.jpg --overwrite
verify-face p/a.png p/b.jpg --annotate link.png --overwrite
verify-face --pairs pairs.csv -o pairs.csv --overwrite
classify p/page.html --report p/page.html --overwrite
classify p --report p/page.html --overwrite
classify p --labels labels.csv -o labels.csv --overwrite
classify p --sort-into p
classify p --sort-into also --how move
classify p -o rows.parquet --embeddings ./rows.parquet
detect p -o labels.csv --labels labels.csv --overwrite
detect p/a.png --annotate p --overwrite
detect p/*.png --crops also --overwrite
detect sub --annotate sub/p --overwrite sub/p/d.jpg
detect p --labels names/classes.txt -o yolo:names --overwrite
detect p -o coco:x.json -o coco:X.json
explain p --overlays p --overwrite
explain p/b.jpg --maps p --overwrite
explain p --with p/page.html --report p/page.html --overwrite
gallery identify g.db p/a.png p/page.html -o labels.csv --passphrase-file labels.csv --overwrite
gallery cluster p --sort-into p
gallery enroll pairs.csv p --passphrase-file pairs.csv
transfer-learn data -o data --overwrite
transfer-learn data -o data/m --overwrite
transfer-learn data -o data/x/deep
transfer-learn data -o new --tensorboard data/logs
transfer-learn data -o m --split-file m/split.csv --overwrite
transfer-learn data -o m --backbone m --overwrite
train-face data -o data/new
train-style p --style q/c.jpg -o p/new
train-style q/c.jpg --style sub/p/d.jpg -o sub --overwrite
train-detector yolo -o yolo/new
train-detector coco.json -o new --validation-data yolo -o yolo/new
evaluate data --labels p/page.html --report p/page.html --overwrite
doctor p/page.html --report p/page.html --overwrite
export m -o m --overwrite
export m -o m/model.keras --overwrite
augment p/a.png -o link.png --overwrite
augment p -o p/a.png --overwrite
convert-boxes coco.json coco:./coco.json --overwrite
convert-boxes voc voc:voc --overwrite
convert-boxes voc/sub voc:voc --overwrite
convert-boxes voc:voc voc:voc/sub --overwrite
convert-boxes yolo yolo:yolo/labels --overwrite
convert-boxes yolo/data.yaml yolo:yolo/labels --overwrite
convert-boxes coco.json yolo:names --labels names/classes.txt --overwrite
network m --report p/page.html --diagram p/../p/page.html --overwrite
visualize activations p -o p --overwrite
visualize activations p/a.png -o p --overwrite
visualize patches p --sheets p --overwrite
visualize patches p -o labels.csv --labels labels.csv --overwrite
visualize filters --model m/model.keras --report m/model.keras --overwrite
experiment residual data --json labels.csv --report labels.csv
""".strip().splitlines()


def state(folder: Path) -> dict[str, str]:
    """Return every file below a folder with a hash of its content."""
    return {
        os.path.join(above, name): hashlib.sha256(Path(above, name).read_bytes()).hexdigest()
        for above, _, names in os.walk(folder)
        for name in names
    }


@pytest.mark.parametrize("line", REFUSED)
def test_refused_before_anything_is_touched(line, files, monkeypatch, capsys):
    before = state(files)
    folders = sorted(above for above, *_ in os.walk(files))
    monkeypatch.setattr("sys.argv", ["cnnkit", *line.split()])
    assert _run() == 2
    shown = capsys.readouterr()
    said = ("which is", "differ from the folders", "be different files", "outside DATA")
    assert any(words in shown.err for words in said), shown.err
    assert len(shown.err.splitlines()) == 1
    assert state(files) == before and sorted(a for a, *_ in os.walk(files)) == folders


# What a variable that is not set leaves of an option: "$OUT".
EMPTY = """
classify p/a.png -o ''|-o
classify p/a.png --report ''|--report
classify p/a.png --sort-into ''|--sort-into
classify p/a.png --labels ''|--labels
classify p/a.png --model ''|--model
detect p/a.png --annotate ''|--annotate
detect p/a.png -o ''|-o
detect p/a.png --classes ''|--classes
detect p/a.png --where ''|--where
explain p --overlays ''|--overlays
evaluate data --model m --report ''|--report
stylize p/b.jpg -o x.png --style ''|--style
transfer-learn data --overwrite -o ''|-o
gallery enroll '' p|the input
""".strip().splitlines()


@pytest.mark.parametrize("line", EMPTY)
def test_an_empty_name_is_refused_not_left_out(line, files, monkeypatch, capsys):
    words, _, said = line.partition("|")
    before = state(files)
    monkeypatch.setattr("sys.argv", ["cnnkit", *shlex.split(words)])
    assert _run() == 2
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1
    assert f"error: {said} must" in shown.err and "Received: ''" in shown.err
    assert state(files) == before


WITHOUT_FOLDER = ["classify p --how move", "detect p --how link", "dedupe p --how move"]


@pytest.mark.parametrize("line", [*WITHOUT_FOLDER, "gallery cluster p --how move"])
def test_how_files_are_sorted_needs_a_folder_to_sort_into(line, files, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["cnnkit", *line.split()])
    assert _run() == 2
    assert "--how requires --sort-into" in capsys.readouterr().err


def test_a_list_on_standard_input_is_looked_at_too(run_cnnkit, files):
    done = run_cnnkit(
        *("classify", "-", "--report", "p/page.html", "--overwrite"), stdin="p/a.png\np/page.html\n"
    )
    assert done.returncode == 2 and "p/page.html, which is the input p/page.html" in done.stderr


ALLOWED = """
convolve p/a.png --kernel blur -o new.png
convolve p/a.png --kernel blur -o q/ --overwrite
convolve p/b.jpg --kernel blur -o .
convolve sub --kernel blur -o p --overwrite
""".strip().splitlines()


@pytest.mark.parametrize("line", ALLOWED)
def test_what_is_no_input_may_be_written(line, files, monkeypatch):
    monkeypatch.setattr("sys.argv", ["cnnkit", *line.split()])
    assert _run() == 0


# Whatever names no place of its own, by its parameter.
NEITHER = (
    "root",
    "network",
    "class_name",
    "layers",
    "layer",
    "names",
    "claimed",
    "classes",
    "name",
)


def commands(found: click.Command, context: click.Context) -> Iterator[click.Command]:
    if not isinstance(found, click.Group):
        yield found
        return
    for name in found.list_commands(context):
        yield from commands(found.get_command(context, name), context)


def test_every_option_that_names_a_file_is_known():
    unknown = []
    for command in commands(group, click.Context(group)):
        for parameter in command.params:
            place = parameter.metavar or ""
            words = ("FILE", "DIR", "INPUT", "IMAGE", "PHOTO", "DATA", "BUNDLE", "MODEL", "PATH")
            words += ("OUT", "GALLERY", "PEOPLE", "FROM", "TO")
            names_one = any(word in place.replace("]", "").replace("[", "") for word in words)
            known = (*apart.OUTPUTS, *apart.INPUTS, *apart.MODELS, *apart.ROOTS, *NEITHER)
            if names_one and parameter.name not in known:
                unknown.append((command.name, parameter.name))
    assert unknown == []


def does(command: click.Command) -> list[object]:
    """Return what carries out a command: its callback, and the functions that it projects."""
    name = next((name for name, one in COMMANDS.items() if one is command), "")
    return [command.callback, *functions_of(name)]


def test_every_command_that_writes_makes_the_check():
    without = [
        command.name
        for command in commands(group, click.Context(group))
        if any(parameter.name in apart.OUTPUTS for parameter in command.params)
        and not any(getattr(one, "keeps_inputs", False) for one in does(command))
    ]
    assert without == []


def test_only_what_is_written_beside_an_output_is_kept_from_the_inputs(files):
    """A bundle may be named like its annotations; a painting's description would replace them."""
    output = apart.GivenParameter("output", "coco", "`output`")
    given = apart.GivenParameter("data", "coco:coco.json", apart.INPUT, is_argument=True)
    apart.check("train-detector", [given, output])
    with pytest.raises(UsageError, match=r"`output` coco\.json|coco\.json, which is"):
        apart.check("stylize", [given._replace(name="inputs", value="coco.json"), output])
