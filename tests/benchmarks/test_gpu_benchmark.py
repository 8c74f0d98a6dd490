"""benchmarks/gpu.py counts right, and runs where there is little more than Keras."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import gpu

ROOT = Path(__file__).resolve().parents[2]

# Runs the script as a machine would that has none of these libraries, nor cnnkit installed.
BARE = """
import importlib.abc, runpy, sys

missing = set(sys.argv[1].split())

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path = [Missing()] + [f for f in sys.meta_path if "editable" not in repr(f).lower()]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NOT_NEEDED = "cv2 PIL openvino click platformdirs jinja2 albumentations sklearn cnnkit_models"


def run_bare(backend: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    other = "tensorflow" if backend == "jax" else "jax jaxlib"
    environment = {k: v for k, v in os.environ.items() if k != "CNNKIT_CACHE"}
    script = str(ROOT / "benchmarks" / "gpu.py")
    return subprocess.run(
        [sys.executable, "-c", BARE, f"{NOT_NEEDED} {other}", script, *arguments],
        cwd="/",
        env=environment | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_it_runs_on_a_processor_with_little_installed(backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = run_bare(backend, "--device", "cpu", "--quick", "--networks", "squeezenet-1.1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"Backend {backend} (keras " in done.stdout
    assert "no GPU was measured" in done.stdout and "A smoke test" in done.stdout
    rows = re.findall(r"^\| (op by op|compiled.*?) \| (\w+) \| ([\d,]+) \|", done.stdout, re.M)
    ways = [gpu.OP_BY_OP] + [gpu.COMPILED, gpu.ON_DEVICE] * 2
    assert [way for way, _, _ in rows] == ways
    assert {precision for _, precision, _ in rows} == set(gpu.PRECISIONS)
    assert all(int(rate.replace(",", "")) > 0 for _, _, rate in rows)


@pytest.mark.slow
def test_without_a_gpu_it_gives_no_figure() -> None:
    from cnnkit.runtime.hardware import gpu_count

    if gpu_count():
        pytest.skip("a GPU answers here")
    done = run_bare("tensorflow", "--device", "gpu", "--quick")
    assert (done.returncode, done.stdout) == (2, "")
    assert "must find a usable GPU" in done.stderr.splitlines()[-1]


def test_multiplications_are_counted_as_by_hand() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((10, 12, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same"),  # 5 x 6 places
            layers.DepthwiseConv2D(3),  # 3 x 4 places
            layers.Conv2D(4, 1, groups=2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(7),
        ]
    )
    by_hand = 5 * 6 * 27 * 8 + 3 * 4 * 9 * 8 + 3 * 4 * 4 * 4 + 4 * 7
    assert gpu.multiply_adds(model) == by_hand


def test_squeezenet_has_the_multiplications_of_its_authors() -> None:
    """About 0.35 G, 2.4 times fewer than version 1.0 by the authors' own account."""
    model = gpu.embedded_source("squeezenet-1.1").build("float32")
    assert gpu.multiply_adds(model) == pytest.approx(0.352e9, rel=0.01)


def contestant(way: str, scores: list[float]) -> gpu.Contestant:
    return gpu.Contestant(way, "float32", lambda calls: np.float32([scores]))


def test_another_answer_is_seen() -> None:
    plan = gpu.Plan((1,), 2, 0.0, (8,))
    group = [contestant("a", [0.0, 0.0]), contestant("b", [0.0, 0.0]), contestant("c", [9.0, 0.0])]
    gpu.measure(group, 1, plan)
    assert [one.difference for one in group[:2]] == [0.0, 0.0]
    assert group[2].difference == pytest.approx(0.5, abs=1e-3)
    assert group[2].difference > gpu.AGREEMENT["float32"]
    assert all(len(one.rates) == 2 for one in group)


def test_a_share_is_of_the_peak_of_its_own_precision() -> None:
    group = [contestant("op by op", [0.0, 1.0]), contestant("compiled", [0.0, 1.0])]
    group[0].rates, group[1].rates = [10.0, 11.0, 900.0], [44.0]
    peaks = {"float32": (1e12, 8), "bfloat16": (9e12, 8)}
    lines = gpu.table("net", 4, group, 2_000_000_000, peaks)
    assert lines[-2].startswith("| op by op | float32 | 11 | 1.00 | 2.20% |")
    assert lines[-1].startswith("| compiled | float32 | 44 | 4.00 | 8.80% |")


@pytest.mark.slow
def test_the_whole_script_runs_in_small_where_tensorflow_is_missing(tmp_path: Path) -> None:
    if find_spec("jax") is None:
        pytest.skip("jax is not installed")
    blocker = BARE.partition("sys.argv = sys.argv[2:]")[0].replace("sys.argv[1]", "'tensorflow'")
    (tmp_path / "sitecustomize.py").write_text(blocker, "utf-8")
    command = ["sh", str(ROOT / "benchmarks" / "gpu.sh"), "--small", "--python", sys.executable]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in ("nanodet-g", "yunet", "efficientnet-lite3", "mtcnn/output"):
        assert f"\n| {name} | 0.0" in done.stdout
    for heading in ("A step of fine-tuning", "Files to rows"):
        assert f"\n### {heading}" in done.stdout
    assert "Not measured" not in done.stdout


def test_8_bit_weights_are_multiplied_by_their_scales() -> None:
    from safetensors.numpy import load_file

    arrays = gpu.embedded_arrays("efficientnet-lite3")
    stored = load_file(ROOT / "models" / "efficientnet-lite3" / "weights.safetensors")
    scaled = [name for name in stored if name.endswith(":scale")]
    assert scaled and not set(scaled) & set(arrays)
    name = scaled[0].removesuffix(":scale")
    assert np.abs(arrays[name]).max() < 0.2 * np.abs(stored[name]).max()
