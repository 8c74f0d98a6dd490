"""Measures a training step of `train-detector` against PyTorch, and the loader that feeds it.

    python benchmarks/detector_step.py --peer-python PYTHON [--data DATA] [--pictures FOLDER]
        [--batches 4] [--rounds 6] [--compile]

Both sides train the same NanoDet-g, as the second stage of `train-detector` does by default: from
the same weights, on the same batches of 8 images at 416 pixels with their mosaics, the first stage
fixed, quality focal, distribution focal and GIoU loss with the task-aligned assigner, AdamW, a
moving average of the weights, float32, nothing clipped. It is checked first that the heads and the
losses of one batch agree, and then those of a few steps and the averages after them. Each side is a
process of its own that waits while the other one has its turn of one pass over the batches; the
median turn counts, on the clock and in processor time, which other work disturbs less. PYTHON has
torch and numpy. DATA is read as `train-detector` reads it. Status 1 if cnnkit's step takes more
processor time than PyTorch's, or its loader, with nothing but mosaics, is slower than its step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from photos import photos_folder  # noqa: E402 - the script's own neighbor

# How far the sides may be apart: heads (logits), and losses and averages as a share.
HEADS_APART, LOSSES_APART, TRAINED_APART = 2e-3, 1e-3, 2e-2


class Answers(Protocol):
    """What a contestant answers."""

    def looked(self) -> tuple[list[Any], list[float]]:
        """Return the heads (batch, rows, columns, channels) and loss parts of the first batch."""

    def step(self, number: int, rate: float) -> float:
        """Train on a batch at a rate; return its loss."""

    def averaged(self) -> float:
        """Return the sum of the magnitudes of the moving averages."""


def answer_lines(contestant: Answers) -> None:
    """Answer each line of JSON on standard input with one on standard output."""
    import numpy as np

    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "look":
            heads, parts = contestant.looked()
            np.savez(asked["file"], *heads)
            answer: dict[str, Any] = {"parts": parts}
        elif asked["do"] == "step":
            began, used = time.perf_counter(), time.process_time()
            losses = [contestant.step(number, asked["rate"]) for number in range(asked["steps"])]
            seconds, processor = time.perf_counter() - began, time.process_time() - used
            answer = {"losses": losses, "seconds": seconds, "processor": processor}
        else:
            answer = {asked["do"]: getattr(contestant, asked["do"])()}
        print(json.dumps(answer), flush=True)


# --- cnnkit, in a process of its own ------------------------------------------------------


class Ours:
    """The stepper of `train-detector` and its batches."""

    def __init__(self, data: str, pictures: str | None, batches: int, file: str) -> None:
        import numpy as np

        from cnnkit.data.augment import Augmenter
        from cnnkit.data.box_loaders import BoxImages, BoxLoader
        from cnnkit.data.recipes import read_recipe
        from cnnkit.detection.training.learning import plans_of
        from cnnkit.detection.training.network import input_spec, make_network
        from cnnkit.detection.training.outcome import trained_classes
        from cnnkit.detection.training.settings import DetectorSettings
        from cnnkit.formats import read_boxes

        found = read_boxes(data, pictures)
        settings = DetectorSettings(data=data, output=Path(os.devnull))
        size = settings.batch_size
        if len(found.images) < size:
            sys.exit(f"`--data` must have at least {size} images. Received: {len(found.images)}.")
        classes = trained_classes(found)
        images = BoxImages(found.images[: max(64, batches * size)], classes, input_spec(settings))
        boxes = np.concatenate([one[:, 2:] - one[:, :2] for one in images.boxes])
        network = make_network(settings, classes, boxes)
        recipe = Augmenter(read_recipe(settings.augment))
        options = {"training": True, "augmenter": recipe, "mosaic_until": 1, "mosaic_share": 1.0}
        self._loader = BoxLoader(images, size, **options)
        with BoxLoader(images, size, **options | {"mosaic_share": settings.mosaic}) as loader:
            drawn = [loader.padded(one) for one in loader.batches(0)][:batches]
        self._batches = [
            (one.images, {"boxes": one.boxes, "classes": one.classes, "valid": one.valid})
            for one in drawn
        ]
        _, plan = plans_of(settings, network, self._loader.steps)[-1]
        self._network = network
        self._stepper = self._made(plan, len(classes))
        self._save(plan, file)

    def _made(self, plan: Any, classes: int) -> Any:
        """Return a stepper of the layers that the plan lets learn."""
        from cnnkit.detection.training.stepper import DetectorStepper
        from cnnkit.runtime.tensorflow_steps import faster_kernel_gradients
        from cnnkit.runtime.training_devices import prepare_training
        from cnnkit.training.freezing import leaf_layers, unfrozen

        model, task = self._network.model, self._network.task
        xla, _ = prepare_training(deterministic=False, distributed=False)
        # Until the process ends.
        self._open = contextlib.ExitStack()
        self._open.enter_context(unfrozen(model, plan))
        self._open.enter_context(faster_kernel_gradients(leaf_layers(model)))
        return DetectorStepper(model, plan, task=task, classes=classes, xla=xla)

    def _save(self, plan: Any, file: str) -> None:
        """Write what the other side needs: batches, weights, and which of them learn how fast."""
        import numpy as np

        from cnnkit.bundles.weights import variables_by_path

        model = self._network.model
        paths = variables_by_path(model)
        names = {id(variable): path for path, variable in paths.items()}
        learning = model.trainable_variables
        head = {id(v) for x in model.layers if x.name in plan.head_layers for v in x.weights}
        arrays = {f"weights/{path}": v.numpy() for path, v in paths.items()}
        arrays |= {
            "images": np.stack([images for images, _ in self._batches]),
            **{k: np.stack([x[k] for _, x in self._batches]) for k in self._batches[0][1]},
            "learning": np.array([names[id(v)] for v in learning]),
            "factors": np.array([1 if id(v) in head else plan.backbone_rate for v in learning]),
            "weight_decay": plan.weight_decay,
            "average": plan.average,
            "rate": plan.learning_rate,
        }
        np.savez(file, **arrays)

    def looked(self) -> tuple[list[Any], list[float]]:
        """See `Answers`."""
        import numpy as np

        from cnnkit.losses.yolo import Truth

        images, truth = self._batches[0]
        outputs = self._network.model(images.astype(np.float32), training=False)
        parts = self._network.task.loss(outputs, Truth(**truth), images.shape[1:3])
        heads = [np.array(outputs[f"stride{stride}"]) for stride in (8, 16, 32)]
        return heads, [float(np.mean(part)) for part in parts]

    def step(self, number: int, rate: float) -> float:
        """See `Answers`."""
        return self._stepper.step(self._batches[number % len(self._batches)], rate)

    def averaged(self) -> float:
        """See `Answers`."""
        import numpy as np

        averages = self._stepper._optimizer.averages
        return float(sum(np.abs(one.numpy()).sum(dtype=np.float64) for one in averages))

    def loader(self) -> list[float]:
        """Return images/s of the loader alone, on the clock and in processor time."""
        began, used = time.perf_counter(), time.process_time()
        count = sum(len(batch.images) for batch in self._loader.batches(0))
        return [count / (time.perf_counter() - began), count / (time.process_time() - used)]


# --- both in turns ------------------------------------------------------------------------


class Contestant:
    """A process that answers lines of JSON."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Return the answer to a question."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do} | more) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        sys.exit(f"{' '.join(self.command)} ended with {self._process.wait()}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def agree(sides: dict[str, Contestant], folder: Path, steps: int, rate: float) -> None:
    """Exit with a message unless all sides compute and learn the same; this warms them up too."""
    import numpy as np

    looks = {}
    for number, (name, side) in enumerate(sides.items()):
        file = folder / f"heads{number}.npz"
        parts = np.array(side.ask("look", file=str(file))["parts"])
        losses = np.array(side.ask("step", steps=steps, rate=rate)["losses"])
        with np.load(file) as heads:
            looks[name] = ([heads[k] for k in heads.files], parts, losses)
        looks[name] += (side.ask("averaged")["averaged"],)
    (first, ours), *others = looks.items()
    for name, theirs in others:
        apart = {
            "heads": max(np.abs(a - b).max() for a, b in zip(ours[0], theirs[0], strict=True)),
            "losses": np.abs(theirs[1] / ours[1] - 1).max(),
            "losses of steps": np.abs(theirs[2] / ours[2] - 1).max(),
            "averages": abs(theirs[3] / ours[3] - 1),
        }
        said = ", ".join(f"{what} {value:.1g}" for what, value in apart.items())
        print(f"{first} and {name} are apart by: {said}", file=sys.stderr)
        most = (HEADS_APART, LOSSES_APART, TRAINED_APART, LOSSES_APART)
        if not all(value <= limit for value, limit in zip(apart.values(), most, strict=True)):
            sys.exit(f"{name} does not do what {first} does.")


def measure(
    sides: dict[str, Contestant], rounds: int, steps: int, images: int, rate: float
) -> dict[str, list[float]]:
    """Return images/s of each side's steps: on the clock, and a second of processor time."""
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sides if number % 2 == 0 else reversed(sides):
            turns[name].append(sides[name].ask("step", steps=steps, rate=rate))
    return {
        name: [
            steps * images / statistics.median(turn[part] for turn in its)
            for part in ("seconds", "processor")
        ]
        for name, its in turns.items()
    }


def report(rates: dict[str, list[float]], loader: list[float]) -> int:
    """Print the figures and return the exit status."""
    ours = rates["cnnkit"]
    print(f"{len(os.sched_getaffinity(0))} processors\n")
    print("| step of NanoDet-g | images/s | cnnkit is | images a processor second | cnnkit is |")
    print("|---|---|---|---|---|")
    missed = False
    for name, (clock, processor) in rates.items():
        missed |= ours[1] < processor
        print(
            f"| {name} | {clock:.2f} | {ours[0] / clock:.2f} times "
            f"| {processor:.2f} | {ours[1] / processor:.2f} times |"
        )
    print(f"| cnnkit's loader alone, nothing but mosaics | {loader[0]:.0f} | | {loader[1]:.0f} | |")
    return int(missed or loader[1] < ours[1])


def main() -> None:
    """Measure and print; status 1 if a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = photos_folder("raccoon")
    parser.add_argument("--data", default=default and f"voc:{default}", required=default is None)
    parser.add_argument("--pictures", help="the folder of the images, where they are elsewhere")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--peer-python", help="an interpreter with PyTorch")
    parser.add_argument("--compile", action="store_true", help="PyTorch's torch.compile as well")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        answer_lines(Ours(chosen.data, chosen.pictures, chosen.batches, chosen.child))
        return
    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as temporary:
        status = compared(chosen, Path(temporary))
    sys.exit(status)


def compared(chosen: argparse.Namespace, folder: Path) -> int:
    """Start all sides, check, measure and report; return the exit status."""
    import numpy as np

    arrays = folder / "batches.npz"
    options = ["--data", chosen.data, "--batches", str(chosen.batches), "--child", str(arrays)]
    options += ["--pictures", chosen.pictures] if chosen.pictures else []
    sides = {"cnnkit": Contestant([sys.executable, __file__, *options])}
    try:
        with np.load(arrays) as found:
            rate, (steps, images) = float(found["rate"]), found["images"].shape[:2]
        peer = [chosen.peer_python, str(HERE / "detector_step_pytorch.py"), str(arrays)]
        ways = ["eager", *(["compiled"] if chosen.compile else [])] if chosen.peer_python else []
        for way in ways:
            sides[f"PyTorch, {way}, channels_last"] = Contestant([*peer, way])
        agree(sides, folder, steps, rate)
        rates = measure(sides, chosen.rounds, steps, images, rate)
        return report(rates, sides["cnnkit"].ask("loader")["loader"])
    finally:
        for side in sides.values():
            side.close()


if __name__ == "__main__":
    main()
