"""Measures ``cnnkit detect`` against Darknet's own detections and OpenCV's reader, in one run.

    python benchmarks/detect.py [--data FOLDER] [--files 640] [--rounds 3] [--cache .artifacts]
        [--ultralytics PYTHON] [--speed-only] [--darknet FOLDER]

The data is the folder with `scenes` (seven images with the detections of Darknet itself) and
`coco64` (64 labeled photos of COCO). OpenCV 4 has the same weights, with the anchors that they
were trained with. PYTHON has ``ultralytics`` and OpenVINO; its nano network has random weights and
is compared for speed alone. ``--darknet`` is a folder with `yolov3-tiny.weights` and `.cfg`, for
where their package cannot be fetched; their hashes are checked likewise. The contestants take
turns; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from benchmarks import darknet_reference as darknet  # noqa: E402 - the project is no installation
from benchmarks.photos import add_data  # noqa: E402
from cnnkit import boxes  # noqa: E402
from cnnkit.bundles import open_model  # noqa: E402
from cnnkit.bundles.detector_card import detector_spec  # noqa: E402
from cnnkit.detection.decoders import make_decoder  # noqa: E402
from models.convert import yolov3_tiny  # noqa: E402
from models.convert.artifacts import Artifact, fetch, read_member, require_sha256  # noqa: E402

LOW = "0.005"  # the confidence at which average precision is measured
DETECT = ("-m", "cnnkit", "detect", "-q", "--overwrite")
CNNKIT = (*DETECT, "--model", "yolov3-tiny")  # what Darknet and OpenCV have as well
NANODET = (*DETECT, "--model", "nanodet-g")


class Taken(NamedTuple):
    """What a run took.

    Attributes:
        seconds: By the clock.
        processor: Seconds of all processors together: other work on the machine moves it less.
    """

    seconds: float
    processor: float


def python(*arguments: str | Path, by: str = sys.executable) -> Taken:
    """Run an interpreter, stop with its message if it fails, and return what it took."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([by, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))[:300]}\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Taken(time.perf_counter() - started, processor)


class Files(NamedTuple):
    """Darknet's files, as OpenCV reads them.

    Attributes:
        weights: The official ones.
        trained: The cfg with the anchors that they were trained with.
        trained_low: The same for average precision: OpenCV's own threshold of 0.2 lowered.
        wrong_low: Likewise, with the anchors 0,1,2 of the cfg that goes around.
    """

    weights: Path
    trained: Path
    trained_low: Path
    wrong_low: Path


def original(artifact: Artifact, asked: argparse.Namespace) -> bytes:
    """Return the content of one of Darknet's own files."""
    if asked.darknet is None:
        return read_member(artifact, fetch(artifact, asked.cache))
    path = asked.darknet / Path(artifact.member).name
    content = path.read_bytes()
    require_sha256(str(path), content, artifact.member_sha256)
    return content


def original_files(asked: argparse.Namespace, folder: Path) -> Files:
    """Write Darknet's files into a folder."""
    wrong = original(yolov3_tiny.CFG, asked).decode()
    trained = wrong.replace("mask = 0,1,2", "mask = 1,2,3")
    texts = [
        trained,
        *(text.replace("[yolo]", "[yolo]\nthresh=0.001") for text in (trained, wrong)),
    ]
    paths = [folder / f"{name}.cfg" for name in ("trained", "trained_low", "wrong_low")]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    weights = folder / "tiny.weights"
    weights.write_bytes(original(yolov3_tiny.ARTIFACT, asked))
    return Files(weights, *paths)


# --- against Darknet's own detections ----------------------------------------------------


def exact_differences(scenes: Path, cache: Path) -> dict[str, darknet.Difference]:
    """Return how far the network is from Darknet for Darknet's own input, by its weights."""
    networks = {
        "weights before rounding": yolov3_tiny.SOURCE.network(yolov3_tiny.read_arrays(cache)),
        "embedded weights": open_model("yolov3-tiny").build(),
    }
    expected = clipped(darknet.reference(scenes, "png"), scenes)
    trained = yolov3_tiny.CARD["detector"]
    wrong = trained | {"heads": [dict(head) for head in trained["heads"]]}
    wrong["heads"][1]["anchors"] = [yolov3_tiny.ANCHORS[i] for i in (0, 1, 2)]
    found = {
        name: darknet.difference(expected, exact_detections(scenes, network, trained))
        for name, network in networks.items()
    }
    network = networks["embedded weights"]
    wrong_ones = exact_detections(scenes, network, wrong)
    return found | {"anchors 0,1,2": darknet.difference(expected, wrong_ones)}


def pixels_of(path: Path) -> np.ndarray:
    """Return an image as Pillow decodes it."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def clipped(entries: dict[str, list[dict]], scenes: Path) -> dict[str, list[dict]]:
    """Return Darknet's detections cut at the borders of their images."""
    result = {}
    for name, found in entries.items():
        height, width = pixels_of(scenes / f"{name}.jpg").shape[:2]
        inside = [boxes.clip(darknet.corners(one), height, width) for one in found]
        result[name] = [
            one | {"bbox": boxes.xyxy_to_xywh(box)} for one, box in zip(found, inside, strict=True)
        ]
    return result


def exact_detections(scenes: Path, network, section: dict) -> dict[str, list[dict]]:
    """Return what a network finds from 0.05 on where its input is Darknet's own."""
    import dataclasses

    card = open_model("yolov3-tiny").card
    card = dataclasses.replace(card, content={**card.content, "detector": section})
    spec = detector_spec(card)
    decoder = make_decoder(spec, card)
    found = {}
    for name in darknet.NAMES:
        pixels = pixels_of(scenes / f"{name}.jpg")
        image, placed = darknet.letterboxed(pixels, 416)
        outputs = network(image[None], training=False)
        raw = {key: np.asarray(value)[0] for key, value in outputs.items()}
        seen = decoder.decode(raw, np.full(80, 0.05))
        moved = darknet.to_image(seen.boxes, placed, 416, *pixels.shape[:2])
        kept = boxes.nms(moved, seen.scores, 0.45, seen.classes)
        moved = boxes.xyxy_to_xywh(boxes.clip(moved, *pixels.shape[:2]))
        found[name] = [entry(spec, seen.classes[i], seen.scores[i], moved[i]) for i in kept]
    return found


def entry(spec, index: int, score: float, box: np.ndarray) -> dict:
    """Return a detection in the form of COCO's results."""
    number = spec.category_ids[int(index)]
    return {"category_id": number, "score": float(score), "bbox": [float(v) for v in box]}


def usual_difference(scenes: Path, folder: Path, precision: str) -> darknet.Difference:
    """Return how far ``cnnkit detect`` is from Darknet on the JPEG files."""
    rows = folder / "scenes.jsonl"
    images = [scenes / f"{name}.jpg" for name in darknet.NAMES]
    options = ("-o", rows, "--confidence", "0.05", "--precision", precision)
    python(*CNNKIT, *images, *options)
    return darknet.difference(clipped(darknet.reference(scenes), scenes), results_by_name(rows))


def results_by_name(rows: Path) -> dict[str, list[dict]]:
    """Return the detections of rows by the stem of their image."""
    spec = detector_spec(open_model("yolov3-tiny").card)
    found = {}
    for line in rows.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found[Path(row["path"]).stem] = [
            entry(spec, one["class_id"], one["score"], one["box"]) for one in row["detections"]
        ]
    return found


# --- average precision -------------------------------------------------------------------


def average_precision(truth: Path, rows: Path) -> tuple[float, float]:
    """Return AP and AP50 by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        ids = {Path(one["file_name"]).stem: one["id"] for one in coco.dataset["images"]}
        results = [
            {"image_id": ids[name], **one}
            for name, found in results_by_name(rows).items()
            for one in found
        ]
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.imgIds = sorted(ids.values())
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def precisions(data: Path, folder: Path, files: Files) -> dict[str, tuple]:
    """Return AP and AP50 of every contestant on coco64."""
    images, truth = data / "coco64" / "images", data / "coco64" / "instances.json"
    rows = folder / "coco64.jsonl"
    found = {}
    for precision in ("auto", "float32"):
        python(*CNNKIT, images, "-o", rows, "--confidence", LOW, "--precision", precision)
        found[f"cnnkit, {precision}"] = average_precision(truth, rows)
    for precision in ("auto", "int8"):
        python(*NANODET, images, "-o", rows, "--confidence", LOW, "--precision", precision)
        found[f"cnnkit, nanodet-g, {precision}"] = average_precision(truth, rows)
    for name, cfg in (("trained anchors", files.trained_low), ("anchors 0,1,2", files.wrong_low)):
        python(HERE / "detect_opencv.py", cfg, files.weights, images, rows, LOW)
        found[f"OpenCV, {name}"] = average_precision(truth, rows)
    return found


# --- speed -------------------------------------------------------------------------------


def linked(source: Path, folder: Path, count: int) -> Path:
    """Fill a folder with `count` files, the source's over and over."""
    originals = sorted(source.glob("*.jpg"))
    folder.mkdir()
    for number in range(count):
        os.symlink(originals[number % len(originals)], folder / f"{number:06d}.jpg")
    return folder


def speeds(asked: argparse.Namespace, folder: Path, files: Files) -> dict[str, tuple[float, float]]:
    """Return what each contestant does from files to finished JSON Lines, start-up included.

    Returns:
        Images a second, and milliseconds of processor an image.
    """
    count = asked.files
    images = linked(asked.data / "coco64" / "images", folder / "pictures", count)
    rows = folder / "rows.jsonl"
    contestants: dict[str, tuple[str | Path, ...]] = {
        "cnnkit, auto": (*CNNKIT, images, "-o", rows),
        "cnnkit, float32": (*CNNKIT, images, "-o", rows, "--precision", "float32"),
        "cnnkit, nanodet-g, auto": (*NANODET, images, "-o", rows),
        "cnnkit, nanodet-g, int8": (*NANODET, images, "-o", rows, "--precision", "int8"),
        "OpenCV": (HERE / "detect_opencv.py", files.trained, files.weights, images, rows),
    }
    by = dict.fromkeys(contestants, sys.executable)
    if asked.ultralytics:
        script, networks = HERE / "detect_ultralytics.py", folder / "networks"
        contestants["ultralytics"] = (script, images, rows, networks)
        by["ultralytics"] = asked.ultralytics
    for name, command in contestants.items():  # compile what is not compiled yet
        python(*command, by=by[name])
    taken: dict[str, list[Taken]] = {name: [] for name in contestants}
    for _ in range(asked.rounds):
        for name, command in contestants.items():
            taken[name].append(python(*command, by=by[name]))
    return {
        name: (
            count / statistics.median(one.seconds for one in runs),
            1000 / count * statistics.median(one.processor for one in runs),
        )
        for name, runs in taken.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--files", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=HERE.parent / ".artifacts")
    parser.add_argument("--ultralytics", help="A Python with ultralytics and openvino.")
    parser.add_argument("--speed-only", action="store_true")
    parser.add_argument("--darknet", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = original_files(asked, folder)
        if not asked.speed_only:
            report_accuracy(asked, folder, files)
        report_speed(asked, folder, files)


def report_accuracy(asked: argparse.Namespace, folder: Path, files: Files) -> None:
    """Print how near cnnkit is to Darknet, and the average precision of all."""
    print("Seven scenes, all of Darknet's detections from 0.25 on: score, pixels, lost, added")
    for what, apart in exact_differences(asked.data / "scenes", asked.cache).items():
        print(f"  Darknet's own input, {what}: {shown(apart)}")
    for precision in ("auto", "float32"):
        apart = usual_difference(asked.data / "scenes", folder, precision)
        print(f"  cnnkit detect, {precision}: {shown(apart)}")
    print("64 photos of COCO, by pycocotools: AP, AP50")
    for what, (ap, ap50) in precisions(asked.data, folder, files).items():
        print(f"  {what}: {ap:.4f} {ap50:.4f}")


def report_speed(asked: argparse.Namespace, folder: Path, files: Files) -> None:
    """Print the speed of all."""
    rates = speeds(asked, folder, files)
    print(f"{asked.files} files to finished JSON Lines: images/s, times OpenCV; and by")
    print("milliseconds of processor an image, times OpenCV")
    usual = rates["OpenCV"]
    for what, (rate, cost) in rates.items():
        by_clock, by_processor = rate / usual[0], usual[1] / cost
        print(f"  {what}: {rate:.1f} {by_clock:.2f}; {cost:.1f} {by_processor:.2f}")


def shown(apart: darknet.Difference) -> str:
    """Return a difference in one line."""
    return f"{apart.score:.5f} {apart.pixels:.3f} {apart.missing} {apart.extra}"


if __name__ == "__main__":
    main()
