"""Measures fine-tuning against PyTorch: images/s of an epoch, of the step, and of the augmentation.

    python benchmarks/fine_tuning.py --peer-python PYTHON [--data FOLDER] [--images 480]
        [--epochs 3] [--rounds 3] [--compile]

Both sides train the same EfficientNet-Lite0 with its embedded weights: all layers, normalization
frozen, float32, 32 images a step, Adam, on the same images, decoded to 224 pixels before the clock
starts. Both mirror, rotate, crop and change the light: cnnkit by its recipe `light`, PyTorch by
torchvision's v2 on uint8 tensors in a DataLoader. They take turns, each in a process of its own;
the median epoch counts, the first one left out: it compiles. PYTHON has torch, torchvision and
numpy. The data has one folder for each class.

Status 1 if cnnkit's epoch is slower than PyTorch's, or its augmentation slower than its step. The
step of `train-detector` is measured by benchmarks/detector_step.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from photos import add_data

HERE = Path(__file__).resolve().parent
BATCH = 32


def decoded(data: Path, most: int) -> dict[str, Any]:
    """Return the images as the network takes them, uint8 (images, 224, 224, 3), and classes."""
    import numpy as np

    from cnnkit.bundles import open_model
    from cnnkit.images import prepare

    spec = open_model("efficientnet-lite0").card.input
    folders = sorted(path for path in data.iterdir() if path.is_dir())
    suffixes = (".jpg", ".jpeg", ".png", ".webp")
    entries = [
        (path, label)
        for label, folder in enumerate(folders)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in suffixes
    ]
    order = np.random.default_rng(0).permutation(len(entries))[:most]
    if len(order) < BATCH:
        sys.exit(f"--data must hold at least {BATCH} images, in a folder per class: {data}.")
    chosen = [entries[i] for i in order]
    pixels = np.stack([prepare(str(path), spec) for path, _ in chosen])
    labels = np.array([label for _, label in chosen], np.int64)
    return {"pixels": pixels, "labels": labels}


# --- cnnkit, in a process of its own ------------------------------------------------------


class Images:
    """Decoded images as a loader takes them."""

    def __init__(self, arrays: Any) -> None:
        import numpy as np

        self.pixels, self.labels = arrays["pixels"], arrays["labels"].astype(np.int32)
        self.indices = np.arange(len(self.labels))

    def __len__(self) -> int:
        return len(self.labels)


def cnnkit_epochs(arrays_file: str, epochs: int) -> dict[str, Any]:
    """Train with cnnkit's own loop, without the validation; return the seconds of each epoch."""
    import numpy as np

    from cnnkit.bundles import open_model
    from cnnkit.data.augment import Augmenter
    from cnnkit.data.loaders import Loader
    from cnnkit.data.recipes import read_recipe
    from cnnkit.runtime import import_keras
    from cnnkit.runtime.training_devices import prepare_training
    from cnnkit.training import TrainingPlan
    from cnnkit.training.freezing import unfrozen
    from cnnkit.training.stepper import Stepper

    images = Images(np.load(arrays_file))
    keras = import_keras()
    backbone = open_model("efficientnet-lite0").build(features=True)
    classes = int(images.labels.max()) + 1
    logits = keras.layers.Dense(classes, name="head")(backbone.output["features"])
    model = keras.Model(backbone.inputs, logits)
    plan = TrainingPlan.fine_tuning(epochs, batch_size=BATCH, head_layers=("head",))
    xla, _ = prepare_training(deterministic=False, distributed=False)
    seconds, losses = [], []
    with (
        unfrozen(model, plan),
        Loader(images, BATCH, training=True, augmenter=Augmenter(read_recipe("light"))) as loader,
    ):
        stepper = Stepper(model, plan, xla=xla)
        for epoch in range(epochs):
            started = time.perf_counter()
            losses.append(stepper.fit(loader, epoch, lambda step: 1e-3).loss)
            seconds.append(time.perf_counter() - started)
        alone = rate_of(lambda: sum(len(batch.images) for batch in loader.batches(0)))
        batch = next(iter(loader.batches(0)))
        step = rate_of(lambda: sum(stepped(stepper, batch) for _ in range(loader.steps)))
    return {
        "seconds": seconds,
        "losses": losses,
        "augmented": alone,
        "step": step,
        "images": loader.steps * BATCH,
    }


def rate_of(run: Callable[[], int]) -> float:
    """Return the images a second of one run, after another to warm up."""
    run()
    started = time.perf_counter()
    count = run()
    return count / (time.perf_counter() - started)


def stepped(stepper: Any, batch: tuple[Any, ...]) -> int:
    """Train one step and return the number of its images."""
    stepper.step(batch, 1e-4)
    return len(batch[0])


# --- both in turns ------------------------------------------------------------------------


def child(command: list[str]) -> dict[str, Any]:
    """Run a command and return its last line of JSON; stop with its message if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:200]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(chosen: argparse.Namespace, arrays: Path) -> dict[str, dict[str, float]]:
    """Return images/s of each contestant: of an epoch, of its augmentation and its step alone."""
    epochs = str(chosen.epochs + 1)
    peer = str(HERE / "fine_tuning_pytorch.py")
    weights = str(HERE.parent / "models" / "efficientnet-lite0" / "weights.safetensors")
    commands = {"cnnkit": [sys.executable, __file__, "--child", str(arrays), "--epochs", epochs]}
    if chosen.peer_python:
        ways = ["eager", *(["compiled"] if chosen.compile else [])]
        for way in ways:
            commands[f"PyTorch, {way}, channels_last"] = [
                *(chosen.peer_python, peer, str(arrays), weights, epochs, way)
            ]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(chosen.rounds):
        for name, command in commands.items():
            result = child(command)
            epoch = statistics.median(result["seconds"][1:])
            rates = {"epoch": result["images"] / epoch}
            rates |= {part: result[part] for part in ("augmented", "step")}
            found[name].append(rates | {"loss": result["losses"][-1]})
            print(f"  {name}: {rates['epoch']:.1f} images/s", file=sys.stderr)
    return {
        name: {part: statistics.median(one[part] for one in rounds) for part in rounds[0]}
        for name, rounds in found.items()
    }


def main() -> None:
    """Measure and print; status 1 if a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data(parser, "catdog")
    parser.add_argument("--images", type=int, default=480)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-python", help="an interpreter with PyTorch and torchvision")
    parser.add_argument("--compile", action="store_true", help="PyTorch's torch.compile as well")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(cnnkit_epochs(chosen.child, chosen.epochs)))
        return
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as temporary:
        arrays = Path(temporary, "images.npz")
        np.savez(arrays, **decoded(chosen.data, chosen.images))
        rates = measure(chosen, arrays)
    sys.exit(report(rates))


def report(rates: dict[str, dict[str, float]]) -> int:
    """Print the figures and return the exit status."""
    ours, missed = rates["cnnkit"]["epoch"], False
    print(f"{len(os.sched_getaffinity(0))} processors, images/s\n")
    print("| fine-tuning | an epoch | cnnkit is | augmentation alone | step alone | loss |")
    print("|---|---|---|---|---|---|")
    for name, one in rates.items():
        missed |= ours < one["epoch"]
        missed |= name == "cnnkit" and one["augmented"] < one["step"]
        print(
            f"| {name} | {one['epoch']:.1f} | {ours / one['epoch']:.2f} times "
            f"| {one['augmented']:.0f} | {one['step']:.1f} | {one['loss']:.3f} |"
        )
    return int(missed)


if __name__ == "__main__":
    main()
