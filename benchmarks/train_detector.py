"""Measures ``cnnkit train-detector`` on photos of raccoons: how well it finds those kept apart.

    python benchmarks/train_detector.py [--data FOLDER] [--only defaults] [--keep FOLDER]

120 of the 150 photos are trained on (a part of them validates, and chooses the epoch), 30 are kept
apart and measured by ``cnnkit evaluate``: nothing is chosen by them. The split is fixed, by the
names' hashes, copies on one side. With --keep the bundles and the state of a killed run stay in
that folder, and the same command goes on with it. The processor time counts all cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cnnkit.formats import AnnotatedImage, read_boxes, write_boxes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from photos import add_data  # noqa: E402 - the script's own neighbor

TEST_IMAGES = 30
# What each run is asked for, beside the defaults; none is told of the photos kept apart.
RUNS = {
    "defaults": "",
    "yolov3-tiny": "--architecture yolov3-tiny",
    "yolov3-tiny-320": "--architecture yolov3-tiny --size 320 --frozen-epochs 2 --epochs 14",
    "ssd-lite0": "--architecture ssd-lite0 --size 256 --frozen-epochs 50 --epochs 20 --patience 50",
}
GOALS = {"defaults": 0.93, "yolov3-tiny": 0.75, "yolov3-tiny-320": 0.75, "ssd-lite0": 0.6}


def fixed_split(data: Path) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """Return the photos to train on and those kept apart; equal files stay on one side."""
    images = sorted(read_boxes(f"voc:{data}").images, key=lambda one: one.file)
    first: dict[str, str] = {}
    groups: dict[str, list[AnnotatedImage]] = {}
    for image in images:
        content = hashlib.sha256(Path(str(image.path)).read_bytes()).hexdigest()
        groups.setdefault(first.setdefault(content, image.file), []).append(image)
    test: list[AnnotatedImage] = []
    for name in sorted(groups, key=lambda n: hashlib.sha256(n.encode()).hexdigest()):
        if len(test) < TEST_IMAGES:
            test += groups.pop(name)
    return [image for group in groups.values() for image in group], test


def cnnkit(*arguments: object) -> tuple[str, float, float]:
    """Run a command; return its output, seconds on the wall and of the processors."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "cnnkit", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, seconds, used


def measured(run: str, folder: Path, images: Path) -> dict[str, float]:
    """Train as one run asks for, unless its bundle is there, and measure it."""
    bundle, seconds, used = folder / run, 0.0, 0.0
    if not bundle.exists():
        _, seconds, used = cnnkit(
            "train-detector",
            f"coco:{folder / 'train.json'}",
            *("--pictures", images, "-o", bundle, "--resume", *RUNS[run].split()),
        )
    text, _, _ = cnnkit(
        *("evaluate", "--model", bundle, f"coco:{folder / 'test.json'}"),
        *("--pictures", images, "--precision", "float32", "--json", "-q"),
    )
    figures = json.loads(text)["metrics"]
    return {"seconds": seconds, "processor": used, **figures}


def main() -> None:
    """Train, measure and print a table; status 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser, "raccoon")
    parser.add_argument("--only", choices=RUNS)
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    training, test = fixed_split(chosen.data)
    missed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, images in (("train", training), ("test", test)):
            target = f"coco:{folder / name}.json"
            write_boxes(target, images, ["raccoon"], overwrite=True)
        print(f"{len(training)} photos to train on, {len(test)} kept apart")
        print("| run | AP50 | AP | goal (AP50) | seconds | processor seconds |")
        print("|---|---|---|---|---|---|")
        for name in [chosen.only] if chosen.only else RUNS:
            found = measured(name, folder.absolute(), chosen.data.absolute() / "images")
            missed |= found["AP50"] < GOALS[name]
            print(
                f"| {name} | {found['AP50']:.3f} | {found['AP']:.3f} | {GOALS[name]} "
                f"| {found['seconds']:.0f} | {found['processor']:.0f} |",
                flush=True,
            )
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
