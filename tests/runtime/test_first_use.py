"""Threads that are all first to predict: OpenVINO's bindings once waited for each other."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import threading
import numpy as np
from cnnkit.bundles import open_model
from cnnkit.runtime import RuntimeOptions, predictor
compiled = predictor(open_model("squeezenet-1.1").source(), RuntimeOptions(runtime="openvino"))
together = threading.Barrier(4)
images = np.zeros((1, 227, 227, 3), np.uint8)

def work():
    together.wait()
    compiled.predict(images)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


def test_a_fresh_process_never_waits_for_ever():
    for _ in range(3):
        finished = subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=400, check=False
        )
        assert finished.stdout == "done\n", finished.stderr[-2000:]
