"""What must hold whatever happens: kills, sockets, the home folder, start-up."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest

from cnnkit.bundles.embedded import embedded_folder
from tests.forked import run_forked

COUNT = 80


def write_many(folder, examples, count=COUNT):
    """Write small images, some of them broken."""
    folder.mkdir()
    small = []
    for path in sorted(examples.glob("*.jpg")):
        image = cv2.imread(str(path))
        scale = 240 / min(image.shape[:2])
        small.append(cv2.imencode(".jpg", cv2.resize(image, None, fx=scale, fy=scale))[1].tobytes())
    for number in range(count):
        content = small[number % len(small)] if number % 17 else b"broken"
        (folder / f"{number:03d}.jpg").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def written(examples, tmp_path_factory):
    return write_many(tmp_path_factory.mktemp("written") / "many", examples)


@pytest.fixture
def many(written, tmp_path):
    return shutil.copytree(written, tmp_path / "many")


def start(arguments, cwd, environment):
    return subprocess.Popen(
        [sys.executable, "-m", "cnnkit", *arguments],
        cwd=cwd,
        env=dict(environment, PYTHONFAULTHANDLER="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def messages_of(process):
    """Wait for a process and return its messages; if it hangs, fail with where it does."""
    try:
        return process.communicate(timeout=240)[1].decode()
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        pytest.fail(process.communicate(timeout=60)[1].decode())


@pytest.mark.parametrize(
    ("count", "least", "most"), [(COUNT, 2, 2), pytest.param(240, 5, 8, marks=pytest.mark.slow)]
)
def test_a_run_killed_again_and_again_finishes_with_the_same_rows(
    run_cnnkit, examples, tmp_path, clean_environment, count, least, most
):
    write_many(tmp_path / "many", examples, count)
    command = ["classify", "many", "-o", "rows.jsonl", "--sort-into", "sorted"]
    run_cnnkit("classify", "many", "-o", "whole.jsonl", "--sort-into", "sorted")
    expected = (tmp_path / "whole.jsonl").read_text()
    shutil.rmtree(tmp_path / "sorted")
    chance = random.Random(7)
    kills = 0
    while not (tmp_path / "rows.jsonl").exists():
        part = tmp_path / "rows.jsonl.part"
        resume = ["--resume"] if part.exists() else []
        process = start(command + resume, tmp_path, clean_environment)
        before = part.stat().st_size if part.exists() else 0
        while process.poll() is None and kills < most:
            # Killed shortly after the first new rows, so that every kill meets the writing.
            if part.exists() and part.stat().st_size > before + 200:
                time.sleep(chance.uniform(0, 0.03))
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.communicate()
    assert kills >= least
    assert (tmp_path / "rows.jsonl").read_text() == expected
    placed = [json.loads(line)["sorted_to"] for line in expected.splitlines()]
    assert all((tmp_path / place).exists() for place in placed)
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "sorted")) == len(placed)


def test_moves_survive_a_kill(run_cnnkit, many, tmp_path, clean_environment):
    contents = sorted(p.read_bytes() for p in many.iterdir())
    command = ["classify", "many", "-o", "rows.jsonl", "--sort-into", "sorted", "--how", "move"]
    process = start(command, tmp_path, clean_environment)
    while not (tmp_path / "sorted").exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(0.05)
    process.kill()
    process.communicate()
    done = run_cnnkit(*command, "--resume")
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len({row["path"] for row in rows}) == len(rows) == COUNT
    moved = [tmp_path / row["sorted_to"] for row in rows]
    assert sorted(p.read_bytes() for p in moved) == contents
    assert not list(many.iterdir())


def test_interruption_keeps_what_was_made(many, tmp_path, clean_environment, run_cnnkit):
    run_cnnkit("classify", "many/001.jpg")  # the compiled model is in the cache from here on
    process = start(["classify", "many", "-o", "rows.jsonl"], tmp_path, clean_environment)
    part = tmp_path / "rows.jsonl.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size > 1000):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    messages = messages_of(process)
    if process.returncode == 1:
        pytest.skip("the run was faster than the interruption")
    assert process.returncode == 130
    assert messages.splitlines()[-1] == "cnnkit: interrupted"
    assert run_cnnkit("classify", "many", "-o", "rows.jsonl", "--resume").returncode == 1
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == COUNT


def test_failed_inputs_are_tried_again_in_their_places(
    run_cnnkit, many, tmp_path, examples, clean_environment
):
    run_cnnkit("classify", "many/001.jpg")
    command = ["classify", "many", "-o", "rows.jsonl"]
    process = start(command, tmp_path, clean_environment)
    part = tmp_path / "rows.jsonl.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size > 3000):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    shutil.copy(examples / "coffee.jpg", many / "000.jpg")  # was broken
    done = run_cnnkit(*command, "--resume", "--retry-errors")
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows] == [f"many/{i:03d}.jpg" for i in range(COUNT)]
    assert rows[0]["label"] == "espresso"


NO_SOCKETS = """
import socket, sys

class Refused(socket.socket):
    def __init__(self, *arguments, **named):
        sys.stderr.write("SOCKET OPENED\\n")
        super().__init__(*arguments, **named)

socket.socket = Refused
"""


@pytest.fixture
def own(tmp_path):
    """A bundle as users have them: its network is converted by TensorFlow when it first runs."""
    return shutil.copytree(embedded_folder("squeezenet-1.1"), tmp_path / "own")


@pytest.mark.parametrize("model", ["squeezenet-1.1", pytest.param("own", marks=pytest.mark.slow)])
def test_no_socket_and_a_clean_home(run_cnnkit, examples, own, tmp_path, clean_environment, model):
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(NO_SOCKETS)
    fresh = {"PYTHONPATH": str(tmp_path / "spy"), "CNNKIT_CACHE": str(tmp_path / "fresh-cache")}
    assert "CI" not in clean_environment
    for _ in ("cold", "warm"):
        command = ("classify", examples / "cat.jpg", "--model", model)
        done = run_cnnkit(*command, environment=fresh, fresh=True)
        assert done.returncode == 0, done.stderr
        assert "SOCKET OPENED" not in done.stderr
    assert list((tmp_path / "home").iterdir()) == []
    assert (tmp_path / "fresh-cache").is_dir()


@pytest.mark.parametrize(
    "arguments",
    [
        ("classify", "cat.jpg", "--embeddings", "features.npy"),
        ("detect", "cat.jpg"),
        ("verify-face", "astronaut.jpg", "astronaut.jpg"),
        ("stylize", "cat.jpg", "--style", "coffee.jpg", "--fast", "-o", "painted.png"),
    ],
)
def test_the_first_start_imports_no_framework_and_needs_no_cache(
    run_cnnkit, examples, tmp_path, arguments
):
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "heavy = set('tensorflow keras jax matplotlib albumentations scipy sklearn'.split())\n"
        "atexit.register(lambda: print('HEAVY', sorted(heavy & set(sys.modules)), file=sys.stderr))"
    )
    (tmp_path / "occupied").write_text("a file where the cache should be")
    environment = {
        "PYTHONPATH": str(tmp_path / "spy"),
        "CNNKIT_CACHE": str(tmp_path / "occupied"),
    }
    arguments = [examples / word if word.endswith(".jpg") else word for word in arguments]
    done = run_cnnkit(*arguments, environment=environment, fresh=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "HEAVY []"
    assert "Compiling" not in done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network in a ``.keras`` file, which is converted when it first runs as well."""
    import keras

    layers = keras.layers
    image = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image)))
    path = tmp_path_factory.mktemp("trained") / "small.keras"
    keras.Model(image, layers.Dense(3, "softmax")(x)).save(path)
    return path


def test_a_read_only_cache_is_no_error(run_cnnkit, examples, trained, tmp_path):
    (tmp_path / "occupied").write_text("a file where the cache should be")
    environment = {"CNNKIT_CACHE": str(tmp_path / "occupied")}
    command = ("classify", examples / "cat.jpg", "--model", trained)
    done = run_cnnkit(*command, environment=environment)
    assert done.returncode == 0, done.stderr
    assert '"status": "ok"' in done.stdout


def test_concurrent_first_runs_are_safe(examples, trained, tmp_path, clean_environment):
    environment = clean_environment | {"CNNKIT_CACHE": str(tmp_path / "shared-cache")}
    command = ["classify", str(examples / "cat.jpg"), "--model", str(trained)]
    with ThreadPoolExecutor(3) as threads:
        runs = [
            threads.submit(run_forked, ["-m", "cnnkit", *command], cwd=tmp_path, env=environment)
            for _ in range(3)
        ]
    done = [run.result() for run in runs]
    assert [process.returncode for process in done] == [0, 0, 0], done
    assert len({process.stdout for process in done}) == 1
    (folder,) = (tmp_path / "shared-cache" / "openvino").iterdir()
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "model.bin", "model.xml"]


def test_a_damaged_cache_is_made_again(run_cnnkit, examples, trained, tmp_path):
    environment = {"CNNKIT_CACHE": str(tmp_path / "cache")}
    command = ("classify", examples / "cat.jpg", "--model", trained, "-q")
    first = run_cnnkit(*command, environment=environment)
    (path,) = (tmp_path / "cache" / "openvino").glob("*/model.bin")
    path.write_bytes(path.read_bytes()[:100])
    again = run_cnnkit(*command, environment=environment)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert path.stat().st_size > 100


def test_a_closed_pipe_ends_quietly(many, tmp_path, clean_environment):
    line = f"{sys.executable} -m cnnkit classify many -q | head -n 1"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=tmp_path,
        env=clean_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [("models", "list"), ("shapes", "--input", "9x9x3", "conv 4 3x3"), ("--help",)]
)
def test_a_full_standard_output_is_one_line(clean_environment, arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cnnkit", *arguments],
            env=clean_environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr == (
        "cnnkit: error: cannot write the output: No space left on device. "
        "Free some space, or write elsewhere.\n"
    )


@pytest.mark.slow
def test_without_tensorflow_on_the_jax_backend(clean_environment, examples, own, tmp_path):
    pytest.importorskip("jax")
    # An environment of its own: the processes that cnnkit starts are isolated, and see only that.
    venv.create(tmp_path / "without", with_pip=False)
    (site_packages,) = (tmp_path / "without").glob("lib/python*/site-packages")
    installed = [folder for folder in sys.path if Path(folder).name == "site-packages"]
    (site_packages / "sitecustomize.py").write_text(
        "import importlib.abc, site, sys\n"
        "class NoTensorFlow(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.partition('.')[0] == 'tensorflow':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoTensorFlow())\n"
        f"for folder in {installed!r}:\n"
        "    site.addsitedir(folder)\n"
    )
    environment = {"KERAS_BACKEND": "jax", "CNNKIT_CACHE": str(tmp_path / "cache")}
    python = tmp_path / "without" / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "cnnkit", "classify", examples / "coffee.jpg", "--model", own],
        env=clean_environment | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] == "espresso"
    assert "Using xla instead" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("classify", "cat.jpg", "--model", "a" * 300),
        ("network", "a" * 300),
        ("doctor", "a" * 300),
        ("transfer-learn", "a" * 300, "-o", "new"),
    ],
)
def test_a_name_too_long_for_any_file_is_one_clear_line(
    monkeypatch, capsys, tmp_path, arguments
) -> None:
    from cnnkit.cli import _run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["cnnkit", *arguments])
    assert _run() == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert "must name a file or folder. Received: 'aaa" in output.err
    assert output.err.endswith("which is too long.\n")
