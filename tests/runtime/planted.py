"""Modules where no import may look: each leaves its name behind when it is run."""

from __future__ import annotations

import sys
from pathlib import Path

OTHERS = (
    "absl albumentations click cnnkit_models cv2 google h5py keras matplotlib numpy onnx "
    "onnxruntime openvino pandas PIL platformdirs pyarrow rich safetensors scipy sklearn "
    "tensorflow tf2onnx yaml"
).split()
# Python itself needs these before a line of ours can run.
NEVER = {"__main__", "builtins", "sys"}


def plant_modules(folder: Path, mark: Path) -> None:
    """Write a module of every name that a stranger could choose; a run of one writes `mark`."""
    folder.mkdir(exist_ok=True)
    for name in {*sys.stdlib_module_names, *OTHERS} - NEVER:
        code = f"with open({str(mark)!r}, 'a') as file:\n    file.write({name!r} + ' ')\n"
        (folder / f"{name}.py").write_text(code)
