"""The embedded models are found when installed, and in a checkout that never was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnkit.bundles import embedded_folder, embedded_name, embedded_names

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["efficientnet-lite0", "squeezenet-1.1"]

# Without the installation's own doors: an editable one maps cnnkit_models by a finder.
PROGRAM = """
import sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
sys.path.insert(0, sys.argv[1])
sys.modules["cnnkit_models"] = None  # import then fails as if it were not there
from cnnkit.bundles import embedded_folder, embedded_names, open_model
print(embedded_names())
print(embedded_folder("squeezenet-1.1"))
print(len(open_model("squeezenet-1.1").labels))
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, cwd="/"
    )


def test_the_embedded_models_are_the_folders_of_the_store() -> None:
    assert set(NAMES) <= set(embedded_names())
    assert (embedded_folder("squeezenet-1.1") / "card.json").is_file()


def test_a_checkout_that_is_not_installed_has_its_models() -> None:
    done = run(ROOT)
    assert done.returncode == 0, done.stderr
    names, folder, labels = done.stdout.splitlines()
    assert names == str(embedded_names())
    assert (folder, labels) == (str(ROOT / "models" / "squeezenet-1.1"), "1000")


def test_a_package_without_models_says_so(tmp_path: Path) -> None:
    leave_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "cnnkit", tmp_path / "cnnkit", ignore=leave_out)
    done = run(tmp_path)
    assert done.returncode != 0
    assert "cnnkit requires its embedded models." in done.stderr.splitlines()[-1]


def test_an_embedded_name_may_be_spelled_otherwise_where_no_path_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert embedded_name("SqueezeNet1_1") == "squeezenet-1.1"
    assert embedded_name("squeezenet") is None
    (tmp_path / "SqueezeNet1_1").mkdir()
    (tmp_path / "squeezenet-1.1").mkdir()
    assert embedded_name("SqueezeNet1_1") is None
    assert embedded_name("squeezenet-1.1") == "squeezenet-1.1"
