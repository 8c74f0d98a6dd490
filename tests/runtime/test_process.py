"""Libraries are imported without a word to anybody, and without a file in the home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cnnkit.runtime import process
from cnnkit.runtime.process import (
    available_cpus,
    import_keras,
    import_openvino,
    import_openvino_converter,
)

# Tells of every socket, and of every process that is started.
WATCHED = """
import sys
TOLD = "socket.connect socket.sendto socket.bind subprocess.Popen os.exec os.system".split()
sys.addaudithook(lambda event, _: event in TOLD and sys.stderr.write(f"DID {event}\\n"))
"""


@pytest.mark.parametrize(
    ("library", "code"),
    [
        ("onnxruntime", "from cnnkit.runtime.process import import_onnxruntime as f; f()"),
        ("openvino", "from cnnkit.runtime.process import import_openvino as f; f().Core()"),
        ("openvino", "from cnnkit.runtime.process import import_openvino_preprocessing as f; f()"),
        pytest.param(
            "tf2onnx",
            "from cnnkit.runtime import import_keras as f; f(); import tf2onnx",
            marks=pytest.mark.slow,
        ),
        ("ai_edge_litert", "from cnnkit.exporting.formats import _open_litert as f; f('x.tflite')"),
        ("pycocotools", "from pycocotools.cocoeval import COCOeval"),
        ("albumentations", "from cnnkit.data.albumentations_library import *; "
                           "import_albumentations()"),
    ],
)  # fmt: skip
def test_a_library_leaves_nothing_and_sends_nothing(
    tmp_path: Path, clean_environment: dict[str, str], library: str, code: str
) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed.")
    (tmp_path / "temporary").mkdir()
    places = {"TMPDIR": str(tmp_path / "temporary"), "CNNKIT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + code],
        env=clean_environment | places,
        cwd=tmp_path / "temporary",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "DID" not in done.stderr
    assert f"No module named '{library}'" not in done.stderr
    left = [path.name for name in ("home", "temporary") for path in (tmp_path / name).iterdir()]
    assert left == []


def test_settings_in_the_current_folder_are_not_taken(
    tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 77")
    plain = "import matplotlib; print(matplotlib.rcParams['lines.linewidth'])"
    ours = "from cnnkit.runtime.process import keep_home_clean as f; f(); "
    for code, width in ((plain, "77.0"), (ours + plain, "1.5")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=clean_environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout.strip(), done.stderr) == (width, "")


def test_a_programs_own_plots_keep_the_users_settings(
    tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    """They were those of matplotlib once a model was computed by TensorFlow."""
    folder = Path(clean_environment["HOME"]) / ".config" / "matplotlib"
    folder.mkdir(parents=True)
    (folder / "matplotlibrc").write_text("lines.linewidth: 7")
    code = "from cnnkit.runtime.process import keep_home_clean as f; f(); import matplotlib; "
    done = subprocess.run(
        [sys.executable, "-c", code + "print(matplotlib.rcParams['lines.linewidth'])"],
        env=clean_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("7.0", "")
    assert [path.name for path in folder.iterdir()] == ["matplotlibrc"]


def test_tensorflow_gets_onednn_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, expected in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
        if given is not None:
            monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
        import_keras.__wrapped__()
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected


def test_memory_can_be_bounded() -> None:
    program = """
from cnnkit.runtime.process import bound_memory
bound_memory(1 << 30, 60)
try:
    bytearray(2 << 30)
except MemoryError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "refused\n"


def test_openvinos_converter_learns_tensorflows_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Python 3.13 it cannot by itself: see `import_openvino_converter`."""
    import_openvino()
    import tensorflow
    from openvino.frontend.tensorflow import utils

    def failing(framework: str) -> dict[str, str]:
        raise NameError("name 'tensorflow' is not defined")

    for own in (utils.get_environment_setup, failing):
        monkeypatch.setattr(utils, "get_environment_setup", own)
        import_openvino_converter()
        versions = utils.get_environment_setup("tf")
        assert versions["tensorflow"] == tensorflow.__version__


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "250000 100000"}, 3),  # two and a half
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu.max": "6400000 100000"}, 8),  # more than there are
        ({"cpu.max": "gibberish"}, 8),
        ({"cpu.max": "100000 0"}, 8),
        ({"quota": "-1", "period": "100000"}, 8),
        ({"quota": "400000", "period": "100000"}, 4),
        ({"quota": "400000"}, 8),
        ({"cpu.max": "max 100000", "quota": "300000", "period": "100000"}, 3),
    ],
)
def test_a_container_has_the_processors_that_its_share_is_worth(
    monkeypatch, tmp_path, files, expected
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    places = ((tmp_path / "cpu.max",), (tmp_path / "quota", tmp_path / "period"))
    monkeypatch.setattr(process, "CPU_SHARES", places)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert available_cpus() == expected
