"""The contestant of benchmarks/detect.py from the package ``ultralytics``: YOLO11n in OpenVINO.

    python benchmarks/detect_ultralytics.py FOLDER OUT.jsonl NETWORKS

Writes the detections of a folder as JSON Lines. The package brings no weights, so these are random:
the speed is that of the network, the boxes mean nothing. The network is exported into the folder
NETWORKS by the first call.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}

from ultralytics import YOLO

NAME = "yolo11n"


def exported(networks: Path) -> Path:
    """Return the folder of the network as OpenVINO reads it, and make it if there is none."""
    folder = networks / f"{NAME}_openvino_model"
    if not folder.is_dir():
        networks.mkdir(parents=True, exist_ok=True)
        made = YOLO(f"{NAME}.yaml", task="detect").export(format="openvino", imgsz=640)
        shutil.move(made, folder)
    return folder


def main(folder: str, out: str, networks: str) -> None:
    """Detect in all files of a folder."""
    network = YOLO(str(exported(Path(networks))), task="detect")
    with open(out, "w", encoding="utf-8") as file:
        for result in network.predict(folder, stream=True, imgsz=640, device="cpu", verbose=False):
            boxes = result.boxes
            found = [
                {"box": box, "score": score, "class": int(label)}
                for box, score, label in zip(
                    boxes.xyxy.tolist(), boxes.conf.tolist(), boxes.cls.tolist(), strict=True
                )
            ]
            file.write(json.dumps({"path": result.path, "detections": found}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
