"""``cnnkit convolve`` as text and images: status, output, files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COURSE = "3 0 1 2 7 4; 1 5 8 9 3 1; 2 7 2 5 1 3; 0 1 3 1 7 8; 4 2 1 6 2 8; 2 4 5 2 3 9"


@pytest.fixture
def folder(examples, tmp_path):
    """A folder with two images, an image that is cut short, and a text."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("cat.jpg", "coffee.jpg"):
        shutil.copy(examples / name, photos)
    (photos / "cut.jpg").write_bytes((examples / "cat.jpg").read_bytes()[:5000])
    (photos / "notes.txt").write_text("no image")
    return photos


def test_numbers_are_shown_with_the_formula_of_their_size(run_cnnkit):
    done = run_cnnkit("convolve", "--matrix", COURSE, "--kernel", "vertical")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "6x6 -> 4x4: floor((6 + 2*0 - 3)/1) + 1 = 4\n"
        " -5  -4   0   8\n-10  -2   2   3\n  0  -2  -4  -7\n -3  -2  -3 -16\n"
    )


def test_one_image(run_cnnkit, folder, tmp_path):
    options = ("--kernel", "sobel-x", "--magnitude", "--padding", "same", "-o", "edges.png")
    done = run_cnnkit("convolve", folder / "cat.jpg", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-> edges.png  300x451, from 0 to " in done.stdout
    pixels = np.asarray(Image.open(tmp_path / "edges.png"))
    assert pixels.shape == (300, 451, 3) and pixels.max() == 255
    again = run_cnnkit("convolve", folder / "cat.jpg", *options)
    assert again.returncode == 2 and "edges.png exists already" in again.stderr
    assert run_cnnkit("convolve", folder / "cat.jpg", *options, "--overwrite").returncode == 0


def test_a_folder_and_a_broken_image(run_cnnkit, folder, tmp_path):
    done = run_cnnkit("convolve", folder, "--kernel", "blur", "-o", "out/", "--json")
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    assert rows[2]["error"]["kind"] == "truncated"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cat.png", "coffee.png"]
    assert rows[0]["size"] == [298, 449]


def test_values_themselves(run_cnnkit, folder, tmp_path):
    options = ("--kernel", "laplacian", "--channels", "each", "-o", "values.npy", "-q")
    done = run_cnnkit("convolve", folder / "cat.jpg", *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    values = np.load(tmp_path / "values.npy")
    assert values.shape == (298, 449, 3) and values.dtype == np.float32 and values.min() < 0


def test_a_filter_is_learned_and_shown(run_cnnkit, folder, tmp_path):
    made = run_cnnkit("convolve", folder / "cat.jpg", "--kernel", "scharr-y", "-o", "b.npy")
    assert made.returncode == 0, made.stderr
    options = ("--learn-from", folder / "cat.jpg", "b.npy", "--report", "learned.html")
    done = run_cnnkit("convolve", *options)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    found = np.array([line.split() for line in lines[-5:-2]], float)
    np.testing.assert_allclose(found, [[3, 10, 3], [0, 0, 0], [-3, -10, -3]], atol=0.01)
    assert "valid padding" in lines[-1]
    page = (tmp_path / "learned.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2 and "Step by step" in page


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_two_images_of_one_name_get_a_file_each(options, tmp_path, monkeypatch):
    from cnnkit.cli import _run

    monkeypatch.chdir(tmp_path)
    levels = {"a.bmp": 10, "a.png": 90, "A.ppm": 200}
    for name, level in levels.items():
        (tmp_path / "p").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / "p" / name)
    for _ in range(2 if options else 1):  # made anew, each keeps its name
        monkeypatch.setattr(
            "sys.argv", ["cnnkit", "convolve", "p", "--kernel", "blur", "-o", "e", *options]
        )
        assert _run() == 0
        found = {path.name: np.asarray(Image.open(path)).max() for path in Path("e").iterdir()}
        assert found == {"A.png": 200, "a-2.png": 10, "a-3.png": 90}


REFUSED = [
    ((), "Exactly one of IMAGE, --matrix, and --learn-from is required"),
    (("x.jpg", "--matrix", "1"), "Exactly one of IMAGE"),
    (("x.jpg", "--kernel", "vertical"), "-o is required"),
    (("x.jpg", "--kernel", "vertical", "-o", "x.gif"), "-o must end in .png"),
    (("x.jpg", "y.jpg", "--kernel", "vertical", "-o", "x.png"), "-o must be a folder for several"),
    (("x.jpg", "-o", "x.png"), "--kernel or --pool is required"),
    (("--matrix", "1 2; 3 4", "--kernel", "vertical"), "must fit into its input"),
    (("--matrix", "1 2; 3", "--kernel", "1"), "rows of one length"),
    (("--matrix", "1 2", "--pool", "conv 2 1x1"), "--pool must be max or average"),
    (("--matrix", "1 2", "--pool", "max 2y2"), "--pool: the kernel must be"),
    (("--matrix", "1 2", "--kernel", "1", "--padding", "some"), "--padding must be valid, same"),
    (("--matrix", "1 2", "--pool", "max 1x1", "--stride", "2"), 'Put it into the pooling: "max'),
    (
        ("--matrix", "1 2", "--pool", "max 1x1", "--flip"),
        "--flip and --pool are mutually exclusive.\n",
    ),
    (("--matrix", "1 2", "--kernel", "1 2", "--magnitude"), "--kernel must be square"),
    (("--matrix", "1 2", "--kernel", "1", "-o", "x.png"), "-o and --matrix are mutually exclusive"),
]


@pytest.mark.parametrize(("arguments", "told"), REFUSED)
def test_what_is_refused(arguments, told, tmp_path, capsys):
    from cnnkit.cli import _run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cnnkit", "convolve", *arguments])
        assert _run() == 2
    shown = capsys.readouterr()
    assert shown.out == "" and told in shown.err and len(shown.err.splitlines()) == 1


def test_learning_from_what_is_no_image(run_cnnkit, folder):
    cut = run_cnnkit("convolve", "--learn-from", folder / "cat.jpg", folder / "cut.jpg")
    assert cut.returncode == 2 and "cut.jpg: " in cut.stderr
    sizes = run_cnnkit("convolve", "--learn-from", folder / "cat.jpg", folder / "coffee.jpg")
    assert sizes.returncode == 2 and "B must have the size of A" in sizes.stderr


def test_costs_against_other_numbers(run_cnnkit):
    one, other = "1 2; 3 0 | 0 1; 1 1", "1 0; 3 0 | 2 1; 1 1"
    done = run_cnnkit("convolve", "--matrix", one, "--against", other, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "shape": [2, 2, 2],
        "content_cost": 4.0,
        "style_matrix": [[14.0, 5.0], [5.0, 3.0]],
        "style_matrix_against": [[10.0, 5.0], [5.0, 7.0]],
        "style_cost": 0.125,
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--against", "1 2", "cat.jpg"), "--against requires --matrix."),
        (("--matrix", "1 2", "--against", "1; 2"), "Received: 1x2x1 and 2x1x1."),
        (("--matrix", "1 2", "--against", "x"), "--against must be numbers"),
        (
            ("--matrix", "1 2", "--against", "1 2", "--pool", "max 1x1"),
            "--pool and --against are mutually",
        ),
    ],
)
def test_costs_that_cannot_be(monkeypatch, capsys, arguments, told):
    from cnnkit.cli import _run

    monkeypatch.setattr("sys.argv", ["cnnkit", "convolve", *arguments])
    assert _run() == 2
    output = capsys.readouterr()
    assert output.out == "" and told in output.err and output.err.count("\n") == 1


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_their_fractions(suffix, tmp_path, monkeypatch):
    """A smooth ramp: scipy's sobel gives -0.623 at every place, as 8 * 20 / 257 is."""
    from scipy.ndimage import correlate

    from cnnkit.cli import _run
    from tests.ugly_files import tiff

    monkeypatch.chdir(tmp_path)
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint16) * 20 + 3000, (12, 200))
    if suffix == "png":
        Image.fromarray(ramp.copy()).save("ramp.png")
    else:
        Path("ramp.tif").write_bytes(tiff(np.repeat(ramp[..., None], 3, axis=2)))
    arguments = ["convolve", f"ramp.{suffix}", "--kernel", "sobel-x", "-o", "values.npy"]
    monkeypatch.setattr("sys.argv", ["cnnkit", *arguments])
    assert _run() == 0
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], float)
    expected = correlate(ramp / 257, kernel)[1:-1, 1:-1]
    np.testing.assert_allclose(np.load("values.npy")[..., 0], expected, atol=0.001)
    np.testing.assert_allclose(expected, -0.623, atol=0.001)
