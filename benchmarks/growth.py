"""Measures how time and memory of folder jobs grow with the number of files.

    python benchmarks/growth.py [--sizes 1000 10000 100000] [--only classify resume] [--data FOLDER]

What is measured is the work around the network: finding, reading, queues, rows, the journal, and
the finished files. So the images are hard links to a few small photos (96 pixels), and the networks
are two that the benchmark trains itself in seconds, at 32 and 96 pixels. The sizes take turns, the
smaller ones more often; the median counts. The goals: the time per file within 5 % of that
at the smallest size, the peak memory within 30 MB, and the first new row of a resumed run
within 3 s. Status 1 if one is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIDE = 96
PHOTOS = 64
FEW = 64  # files that show what a start takes
ROUNDS = 5
GOALS = {"time": 1.05, "memory": 30.0, "resume": 3.0}
JOBS = ("classify", "detect", "embeddings", "report", "resume")

# Runs one job in a process of its own and prints what it took as JSON. The seconds are those of the
# job, without starting Python and loading the model; those to the first new row are from the start
# of the process.
CHILD = """
import json, sys, time
import cnnkit

started, job, arguments = float(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
first = []

def emit(row):
    if not first:
        first.append(time.time() - started)

before = time.process_time()
summary = getattr(cnnkit, job)(**arguments, emit=emit)
print(json.dumps({
    "seconds": summary.seconds,
    "processor": time.process_time() - before,
    "first_row": first[0] if first else None,
    "ok": summary.ok,
    "failed": summary.failed,
    "resumed": summary.resumed,
}))
"""


class Peak:
    """Watches the memory of a process while it runs.

    Attributes:
        resident: Its largest resident set so far, in MB.
    """

    def __init__(self, process: int) -> None:
        self.resident = 0.0
        self._status = Path(f"/proc/{process}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            try:
                lines = self._status.read_text(encoding="utf-8").splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self.resident = int(line.split()[1]) / 1024

    def end(self) -> float:
        """Stop watching and return the peak."""
        self._ended.set()
        self._thread.join()
        return self.resident


@contextmanager
def started(job: str, arguments: dict[str, Any], cache: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a job in a process of its own; it is killed if it still runs at the end."""
    command = [sys.executable, "-c", CHILD, str(time.time()), job, json.dumps(arguments)]
    environment = os.environ | {"CNNKIT_CACHE": str(cache)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=environment, text=True, cwd=ROOT, **pipes)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run(job: str, arguments: dict[str, Any], cache: Path) -> dict[str, Any]:
    """Run a job and return what it took, with its peak memory in MB."""
    with started(job, arguments, cache) as process:
        peak = Peak(process.pid)
        output, errors = process.communicate()
        memory = peak.end()
    if process.returncode:
        sys.exit(f"{job} failed with {process.returncode}\n{errors[-2000:]}")
    return json.loads(output.splitlines()[-1]) | {"memory": memory}


def rows_in(path: Path) -> int:
    """Return the lines of a file, 0 if there is none."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def run_until(rows: int, arguments: dict[str, Any], cache: Path) -> int:
    """Run classify, kill it when its journal has so many rows, and return how many it has."""
    part = Path(arguments["output"] + ".part")
    with started("classify", arguments, cache) as process:
        while process.poll() is None and rows_in(part) <= rows:
            time.sleep(0.05)
        if process.poll() is not None:
            sys.exit(f"classify ended before {rows} rows were written\n{process.communicate()[1]}")
        process.send_signal(signal.SIGKILL)
    return rows_in(part) - 1


# --- what the jobs run on -----------------------------------------------------------------


def small_photos(data: Path, folder: Path) -> list[Path]:
    """Write some of the photos with a longer side of 96 pixels as JPEG."""
    from PIL import Image

    sources = sorted(path for path in data.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    if not sources:
        sys.exit(f"--data must hold .jpg or .png files. Received: {data}.")
    folder.mkdir()
    photos = []
    for number, source in enumerate(sources[:PHOTOS]):
        with Image.open(source) as image:
            small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        photos.append(folder / f"{number:03d}.jpg")
        small.save(photos[-1], quality=90)
    return photos


def linked(photos: list[Path], folder: Path, count: int) -> Path:
    """Fill a folder with that many hard links to the photos."""
    folder.mkdir()
    for number in range(count):
        os.link(photos[number % len(photos)], folder / f"{number:07d}.jpg")
    return folder


def trained(photos: list[Path], scratch: Path, jobs: list[str]) -> dict[str, str]:
    """Train the two small networks that are needed; what they learn does not matter."""
    import cnnkit

    table = scratch / "labels.csv"
    few = [photos[number % len(photos)] for number in range(32)]
    with table.open("w", newline="", encoding="utf-8") as file:
        pairs = [[str(photo), "even odd".split()[n % 2]] for n, photo in enumerate(few)]
        csv.writer(file).writerows([["file", "label"], *pairs])
    bundles = {"classify": str(scratch / "classifier"), "detect": str(scratch / "detector")}
    cnnkit.transfer_learn(
        table, bundles["classify"], from_scratch="lenet-5", size=32, epochs=1, copies="apart"
    )
    if "detect" in jobs:
        boxes = scratch / "boxes.json"
        boxes.write_text(json.dumps(one_box_each(photos)), encoding="utf-8")
        cnnkit.train_detector(
            f"coco:{boxes}",
            bundles["detect"],
            images=photos[0].parent,
            architecture="nanodet-g",
            size=96,
            frozen_epochs=0,
            epochs=1,
            multi_scale=False,
            validation=0.4,  # of the six photos in examples/images, two
        )
    return bundles


def one_box_each(photos: list[Path]) -> dict[str, Any]:
    """Return COCO annotations with a box in the middle of every photo."""
    from PIL import Image

    images, annotations = [], []
    for number, photo in enumerate(photos, start=1):
        width, height = Image.open(photo).size
        size = {"width": width, "height": height}
        images.append({"id": number, "file_name": photo.name, **size})
        box = [width / 4, height / 4, width / 2, height / 2]
        area = width * height / 4
        kept = {"bbox": box, "area": area, "iscrowd": 0, "category_id": 1}
        annotations.append({"id": number, "image_id": number, **kept})
    categories = [{"id": 1, "name": "middle"}]
    return {"images": images, "annotations": annotations, "categories": categories}


# --- the measurements ---------------------------------------------------------------------


def arguments_of(job: str, folder: Path, bundles: dict[str, str], scratch: Path) -> dict[str, Any]:
    """Return what the job's function is called with."""
    model = bundles["detect" if job == "detect" else "classify"]
    asked = {
        "inputs": str(folder),
        "model": model,
        "output": str(scratch / "rows.jsonl"),
        "device": "cpu",
        "overwrite": True,
    }
    if job == "embeddings":
        asked["embeddings"] = str(scratch / "features.npy")
    if job == "report":
        asked["report"] = str(scratch / f"{folder.name}.html")
    return asked


def measure_growth(
    job: str, folders: dict[int, Path], bundles: dict[str, str], scratch: Path
) -> bool:
    """Print time and memory of a job at each size; return whether both stay within the goals."""
    function, cache = "detect" if job == "detect" else "classify", scratch / "cache"
    largest = max(folders)
    times: dict[int, list[dict[str, Any]]] = {size: [] for size in folders}
    few = arguments_of(job, scratch / "files-few", bundles, scratch)
    run(function, few, cache)  # the model is compiled
    # The processor time is that of the whole process: what a start takes is taken off.
    start = statistics.median(run(function, few, cache)["processor"] for _ in range(3))
    for number in range(ROUNDS):
        for size, folder in folders.items():
            # One long run is as steady as several short ones.
            if number == 0 or size * (number + 1) <= largest:
                times[size].append(
                    run(function, arguments_of(job, folder, bundles, scratch), cache)
                )
    print(f"\n| {job}: files | seconds | ms a file | CPU ms a file | times | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    base: tuple[float, float] | None = None
    reached = True
    for size, results in times.items():
        seconds, processor, memory = (
            statistics.median(one[name] for one in results)
            for name in ("seconds", "processor", "memory")
        )
        each = (processor - start) / (size - FEW)
        base = base or (each, memory)
        ratio = each / base[0]
        reached &= ratio <= GOALS["time"] and memory - base[1] <= GOALS["memory"]
        print(
            f"| {size:,} | {seconds:.1f} | {1000 * seconds / size:.3f} "
            f"| {1000 * each:.3f} | {ratio:.2f} | {memory:.0f} |",
            flush=True,
        )
    return reached


def measure_resume(size: int, folder: Path, bundles: dict[str, str], scratch: Path) -> bool:
    """Kill a run at half and at nearly all rows; print how soon the next run adds a row."""
    cache, reached = scratch / "cache", True
    asked = arguments_of("classify", folder, bundles, scratch)
    run("classify", asked, cache)
    whole = Path(asked["output"]).read_bytes()
    again = asked | {"output": str(scratch / "killed.jsonl")}
    resumed = again | {"overwrite": False, "resume": True}
    print(f"\n| resume of {size:,} files: rows before | seconds to the first new row |\n|---|---|")
    for share, arguments in ((0.5, again), (0.97, resumed)):
        before = run_until(int(share * size), arguments, cache)
        kept = Path(again["output"] + ".part")
        copy = shutil.copy(kept, scratch / "kept")
        result = run("classify", resumed, cache)
        same = Path(again["output"]).read_bytes() == whole
        reached &= same and result["first_row"] <= GOALS["resume"]
        note = "" if same else "; the rows differ from an uninterrupted run's"
        print(f"| {before:,} | {result['first_row']:.2f}{note} |", flush=True)
        Path(again["output"]).unlink()
        shutil.move(copy, kept)  # the second run goes on where the first was killed
    kept.unlink()
    return reached


def measure_report(size: int, scratch: Path) -> bool:
    """Open the report of that many rows in a browser and print what that takes."""
    sys.path.insert(0, str(ROOT))
    from tests.browser import Browser, find_chromium

    report = scratch / f"files-{size}.html"
    megabytes = report.stat().st_size / 1e6
    print(f"\nThe report of {size:,} rows has {megabytes:.1f} MB. ", end="")
    executable = find_chromium()
    if executable is None:
        print("No Chromium was found to open it.")
        return True
    browser = Browser(executable, scratch / "profile")
    try:
        seconds = browser.open(report, patience=600)
        shown = browser.run("document.getElementById('found').textContent")
        heap = browser.run("performance.memory ? performance.memory.usedJSHeapSize : 0")
        memory = memory_of_browser(browser)
    finally:
        browser.close()
    print(
        f"Chromium shows {shown!r} after {seconds:.1f} s; all of its processes hold "
        f"{memory:.0f} MB, of which {heap / 1e6:.0f} MB are JavaScript's."
    )
    return shown == f"{size:,} images"


def memory_of_browser(browser: Any) -> float:
    """Return the memory of a browser and its children in MB, shared pages counted once."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    total, pending = 0, [browser.process_id]
    while pending:
        process = pending.pop()
        pending += children.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    """Measure and print; status 1 if a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--data", type=Path, default=ROOT / "examples" / "images")
    chosen = parser.parse_args()
    sizes = sorted(set(chosen.sizes))
    reached = True
    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as temporary:
        scratch = Path(temporary)
        os.environ["CNNKIT_CACHE"] = str(scratch / "cache")
        photos = small_photos(chosen.data, scratch / "photos")
        bundles = trained(photos, scratch, chosen.only)
        folders = {size: linked(photos, scratch / f"files-{size}", size) for size in sizes}
        linked(photos, scratch / "files-few", FEW)
        processors = len(os.sched_getaffinity(0))
        print(
            f"Links to {len(photos)} photos of {SIDE} pixels, {processors} processors", flush=True
        )
        for job in chosen.only:
            if job == "resume":
                reached &= measure_resume(sizes[-1], folders[sizes[-1]], bundles, scratch)
                continue
            reached &= measure_growth(job, folders, bundles, scratch)
            if job == "report":
                reached &= measure_report(sizes[-1], scratch)
    if not reached:
        sys.exit("A goal was missed.")


if __name__ == "__main__":
    main()
