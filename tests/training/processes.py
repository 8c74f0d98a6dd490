"""Starts several processes that train one small network together, and looks at what they leave."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Trains the small network, without the biases whose gradient is noise before a normalization.
PROGRAM = """
import json, logging, sys, time
from pathlib import Path
import numpy as np
from cnnkit.runtime import import_keras
keras = import_keras()
from keras import layers
from cnnkit.runtime.processes import joined
from cnnkit.training import train
from tests.training.small import makers, plan, values
folder, coordinator, count, rank, resume, pause = sys.argv[1:]
logging.basicConfig(format="%(message)s", stream=sys.stderr)
def network():
    keras.utils.set_random_seed(5 + int(rank))  # the first process's numbers count
    image = keras.Input((6, 6, 1))
    x = layers.Rescaling(1 / 255)(image)
    for stage in (1, 2):
        x = layers.Conv2D(4, 3, use_bias=False, padding="same", name=f"stage{stage}_conv")(x)
        x = layers.BatchNormalization(name=f"stage{stage}_bn")(x)
        x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2, seed=3)(x)
    return keras.Model(image, layers.Dense(3, name="logits")(x))
def tell(report):
    print(report.epoch, flush=True)
    time.sleep(float(pause))
together = () if coordinator == "alone" else (coordinator, int(count), int(rank), 60.0)
with joined(*(together or (None,))) as group:
    model = network()
    result = train(
        model, *makers(), plan(4, patience=None, start_counts=True, average=0.9),
        state_folder=Path(folder) / "state", resume=resume == "resume", on_epoch=tell,
    )
np.savez(f"{folder}/weights-{rank}.npz", *values(model))
history = [[r.loss if r.epoch else 0, r.accuracy if r.epoch else 0, r.val_loss, r.val_accuracy]
           for r in result.history]
Path(f"{folder}/history-{rank}.json").write_text(json.dumps(history))
"""


def free_address() -> str:
    """Return an address of the loopback interface that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


def environment() -> dict[str, str]:
    """Return the environment of a process that trains on JAX, on the processors alone."""
    left_out = ("RANK", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_PROCID", "JOB_COMPLETION_INDEX")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}


def started(
    folder: Path, address: str, count: int, rank: int, *, resume: bool = False, pause: float = 0
) -> subprocess.Popen[str]:
    """Start one process."""
    folder.mkdir(exist_ok=True)
    arguments = [str(folder), address, str(count), str(rank), "resume" if resume else "new"]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments, str(pause)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*processes: subprocess.Popen[str]) -> list[tuple[int, str, str]]:
    """Wait for processes; return the exit status and both outputs of each."""
    outputs = [process.communicate(timeout=600) for process in processes]
    return [(p.returncode, *out) for p, out in zip(processes, outputs, strict=True)]
