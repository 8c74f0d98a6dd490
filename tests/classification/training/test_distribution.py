"""Several devices train one network: two logical ones of a CPU, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnnkit.bundles import open_model
from cnnkit.classification.training import ClassifierSettings
from cnnkit.classification.training.network_training import training_strategy
from cnnkit.errors import UsageError
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.training_devices import shared_evenly
from tests.classification.training.drawings import draw

ROOT = Path(__file__).resolve().parents[3]

PROGRAM = """
import json, logging, sys
from pathlib import Path
from cnnkit.runtime.training_devices import require_tensorflow, strategy
tf = require_tensorflow()
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
mirrored = strategy(["CPU:0", "CPU:1"])
from cnnkit.classification.training import ClassifierSettings, learning, train_classifier
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("cnnkit").addHandler(handler)
logging.getLogger("cnnkit").setLevel(logging.INFO)
folder, found = Path(sys.argv[1]), []
for name, chosen in (("one", None), ("two", mirrored)):
    learning.training_strategy = lambda *arguments: chosen
    settings = ClassifierSettings(str(folder / "photos"), folder / name, from_scratch="lenet-5",
                                  epochs=2, batch_size=8, learning_rate=1e-3)
    made = train_classifier(settings)
    history = [[x.loss, x.val_loss, x.val_accuracy] for x in made.learned.result.history]
    found.append([history, made.evaluations["val"]["metrics"]["top_1"]])
print(json.dumps([mirrored.num_replicas_in_sync, found, said]))
"""


@pytest.mark.parametrize(
    ("size", "images", "devices", "shared"),
    [(32, 900, 2, 32), (32, 900, 3, 30), (1, 900, 2, 2), (32, 9, 2, 8), (32, 9, 1, 32)],
)
def test_every_device_gets_as_much_of_a_batch(size, images, devices, shared) -> None:
    assert shared_evenly(size, images, devices) == shared
    assert shared == size or shared % devices == 0


def test_a_split_has_an_image_for_each_device() -> None:
    with pytest.raises(UsageError, match="an image for each device"):
        shared_evenly(32, 2, 3)


def test_a_cpu_trains_without_a_strategy() -> None:
    settings = ClassifierSettings(
        "photos", Path("b"), from_scratch="lenet-5", runtime=RuntimeOptions("cpu")
    )
    assert training_strategy(settings, None) is None


@pytest.mark.slow
def test_two_devices_learn_what_one_does_and_leave_a_bundle(tmp_path: Path, cache_folder) -> None:
    draw(tmp_path / "photos", count=10)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    devices, (one, two), said = json.loads(done.stdout.splitlines()[-1])
    assert devices == 2
    for row, other in zip(one[0], two[0], strict=True):
        assert other == pytest.approx(row, rel=5e-3)
    assert two[1] == one[1]
    line = "Training on several devices: Keras compiles without XLA."
    assert said.count(line) == 1
    assert open_model(str(tmp_path / "two")).card.builder == "lenet-5"
