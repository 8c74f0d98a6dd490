"""``cnnkit models`` and ``cnnkit evaluate`` as a user runs them."""

from __future__ import annotations

import json
import shutil

import pytest

from cnnkit.bundles import embedded_folder, embedded_names


def test_list(run_cnnkit):
    done = run_cnnkit("models", "list")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == embedded_names()
    rows = [json.loads(line) for line in run_cnnkit("models", "list", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == embedded_names()
    assert rows[1] == {
        "name": "efficientnet-lite0",
        "task": "classify",
        "classes": 1000,
        "license": "Apache-2.0",
        "accuracy": "top-1 0.875",
        "bytes": 9412712,
    }
    lite3 = next(line for line in lines if line.startswith("efficientnet-lite3 "))
    assert "  8.6 MB  top-1 0.920 " in lite3


def test_show(run_cnnkit):
    done = run_cnnkit("models", "show", "squeezenet-1.1")
    assert "interpolation: lanczos" in done.stdout and "sha256: " in done.stdout
    card = json.loads(run_cnnkit("models", "show", "squeezenet-1.1", "--json").stdout)
    assert card["classes"] == 1000
    done = run_cnnkit("models", "show", "squeezenet")
    assert done.returncode == 2 and "Did you mean 'squeezenet-1.1'" in done.stderr


def test_verify(run_cnnkit, tmp_path):
    done = run_cnnkit("models", "verify")
    shown = "".join(f"{name}: ok\n" for name in embedded_names())
    assert (done.returncode, done.stdout) == (0, shown)
    own = shutil.copytree(embedded_folder("squeezenet-1.1"), tmp_path / "own")
    (own / "weights.safetensors").write_bytes(b"changed")
    done = run_cnnkit("models", "verify", "own")
    assert done.returncode == 1 and "sha256" in done.stdout


@pytest.mark.parametrize("command", [["list"], ["show", "squeezenet-1.1"], ["verify"]])
def test_models_loads_no_framework(run_cnnkit, tmp_path, command):
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'openvino'}\n"
        "atexit.register(lambda: print('HEAVY', sorted(heavy & set(sys.modules)), file=sys.stderr))"
    )
    done = run_cnnkit("models", *command, environment={"PYTHONPATH": str(tmp_path)}, fresh=True)
    assert done.stderr.splitlines()[-1] == "HEAVY []"


@pytest.fixture
def labeled(examples, tmp_path):
    """Two classes of two images, one of them unreadable, as folders and as a CSV."""
    for label, name in (("espresso", "coffee"), ("tripod", "photographer")):
        (tmp_path / "data" / label).mkdir(parents=True)
        shutil.copy(examples / f"{name}.jpg", tmp_path / "data" / label)
    (tmp_path / "data" / "tripod" / "broken.jpg").write_text("broken")
    (tmp_path / "labels.csv").write_text(
        "file,class\nespresso/coffee.jpg,espresso\ntripod/photographer.jpg,espresso\n"
    )
    return tmp_path / "data"


def test_evaluate_folders(run_cnnkit, labeled, tmp_path):
    done = run_cnnkit("evaluate", "data", "--json", "--report", "report.html")
    assert done.returncode == 1, done.stderr
    figures = json.loads(done.stdout)
    assert figures["metrics"]["top_1"] == 1.0 and figures["metrics"]["macro_f1"] == 1.0
    assert figures["data"] == {"path": "data", "pictures": 3, "errors": 1}
    assert [c["label"] for c in figures["classes"]] == ["tripod", "espresso"]
    assert figures["errors"][0]["kind"] == "not-an-image"
    assert "espresso" in (tmp_path / "report.html").read_text()


def test_evaluate_a_csv(run_cnnkit, labeled):
    done = run_cnnkit("evaluate", "labels.csv", "--root", "data", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["metrics"]["top_1"] == 0.5
    assert figures["mistakes"][0]["truth"] == "espresso"
    assert figures["mistakes"][0]["label"] == "tripod"
    assert figures["confusion"] == {
        "labels": ["tripod", "espresso"],
        "matrix": [[0, 0], [1, 1]],
    }
    done = run_cnnkit("evaluate", "labels.csv", "--root", "data")
    assert "top-1 0.5000" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,class\na.jpg,expresso\n", "Did you mean 'espresso'"),
        ("name,class\na.jpg,espresso\n", "a column named one of file, path, image, filename"),
        ("file,class\na.jpg\n", "line 2 must have a file and a class"),
        ("file,class\n", "must hold labeled images"),
        ("file,class_index\na.jpg,1000\n", "give the index of a class, 0 to 999"),
    ],
)
def test_a_wrong_csv_is_one_line(run_cnnkit_here, tmp_path, content, message):
    (tmp_path / "labels.csv").write_text(content)
    done = run_cnnkit_here("evaluate", "labels.csv")
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_card_shows_its_metrics_in_words(run_cnnkit) -> None:
    shown = run_cnnkit("models", "show", "efficientnet-lite0").stdout
    assert "  - top-1: 0.875 (imagenet200: 200 labelled photos; python -m models.convert" in shown
    assert "threshold: none\n" in shown
