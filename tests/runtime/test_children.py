"""Processes that cnnkit starts: they import nothing out of the folders that lie about."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from cnnkit import __version__
from cnnkit.bundles import open_model
from cnnkit.bundles.embedded import embedded_folder
from cnnkit.errors import RuntimeUnavailableError
from cnnkit.runtime import RuntimeOptions, predictor
from cnnkit.runtime.children import run_module
from tests.runtime.planted import plant_modules

TEXT = {"capture_output": True, "text": True, "check": False}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Stand in a folder full of modules; gives the file that a run of one of them writes."""
    plant_modules(tmp_path / "photos", tmp_path / "mark")
    monkeypatch.chdir(tmp_path / "photos")
    return tmp_path / "mark"


def test_the_planted_modules_do_run_where_python_looks(planted):
    subprocess.run([sys.executable, "-c", "import random"], check=False)
    # Python 3.13 takes linecache from there even before it runs anything.
    assert set(planted.read_text().split()) & {"random", "linecache"}


def test_a_child_imports_nothing_from_the_current_folder_or_python_path(planted, monkeypatch):
    for variable in ("PYTHONPATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONUSERBASE"):
        monkeypatch.setenv(variable, os.getcwd())
    monkeypatch.setenv("PYTHONWARNINGS", "error::random.Random")
    done = run_module("cnnkit", ["--version"])
    assert (done.stdout, done.stderr) == (f"cnnkit {__version__}\n", "")
    assert not planted.exists()


@pytest.mark.slow
def test_a_first_run_among_planted_modules_compiles_the_model(planted, monkeypatch, tmp_path):
    """As harmless a name as random.py once made every such run fall back to TensorFlow."""
    monkeypatch.setenv("CNNKIT_CACHE", str(tmp_path / "cold"))
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setattr("cnnkit.runtime.openvino_predictor.run_module", run_module)
    own = shutil.copytree(embedded_folder("squeezenet-1.1"), tmp_path / "own")
    compiled = predictor(open_model(own).source(), RuntimeOptions(device="cpu"))
    assert compiled.runtime == "openvino"
    assert not planted.exists()


def test_a_child_finds_what_only_this_process_knew_where_to_find(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text("import other\nprint(other.__name__)")
    (tmp_path / "other.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("cnnkit.runtime.children.loaded_from", lambda: {"own": str(tmp_path)})
    assert run_module("own", []).stdout == "other\n"


def test_a_process_that_cannot_start_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RuntimeUnavailableError, match="/nowhere/python cannot be started: No such"):
        run_module("cnnkit", [])
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(RuntimeUnavailableError, match="must be known"):
        run_module("cnnkit", [])


def started(arguments, environment):
    return subprocess.run(arguments, env=environment, **TEXT)


@pytest.mark.parametrize("how", [["-m", "cnnkit"], ["-mcnnkit"]])
def test_python_m_cnnkit_leaves_the_current_folder_out(planted, clean_environment, how):
    done = started([sys.executable, *how, "shapes", "conv 4 3x3", "--help"], clean_environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert not planted.exists()


def test_an_empty_entry_in_python_path_is_left_out(planted, clean_environment, tmp_path):
    """``PYTHONPATH=$PYTHONPATH:/x``, the first being empty, means the current folder."""
    for path in (tmp_path / "photos").glob("*.py"):
        if (
            path.stem in sys.stdlib_module_names
        ):  # Python itself imports some before any line of ours
            path.unlink()
    environment = clean_environment | {"PYTHONPATH": ":/nowhere"}
    done = started([sys.executable, "-m", "cnnkit", "models", "list"], environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert not planted.exists()


def test_a_program_that_imports_cnnkit_keeps_its_path(tmp_path, clean_environment):
    (tmp_path / "mine.py").write_text("import cnnkit, sys; print(sys.path[0])")
    for arguments in (["mine.py"], ["-m", "mine", "-m", "cnnkit"]):
        done = subprocess.run(
            [sys.executable, *arguments], env=clean_environment, cwd=tmp_path, **TEXT
        )
        assert (done.stdout, done.stderr) == (f"{tmp_path}\n", "")


def test_a_child_runs_no_program_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "uname").write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / "uname").chmod(0o755)
    (tmp_path / "own.py").write_text("import subprocess; subprocess.run(['uname'])")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f":{os.environ['PATH']}")
    subprocess.run([sys.executable, "own.py"], check=False, stdout=subprocess.DEVNULL)
    assert (tmp_path / "ran").exists()  # where nobody keeps it from it
    (tmp_path / "ran").unlink()
    monkeypatch.setattr("cnnkit.runtime.children.loaded_from", lambda: {"own": str(tmp_path)})
    assert run_module("own", []).stdout.strip() == os.uname().sysname
    assert not (tmp_path / "ran").exists()
