"""Convert boxes from COCO to YOLO and back.

python examples/convert_boxes.py
"""

import json
import shutil
import tempfile
from pathlib import Path

import cnnkit

photo = Path(__file__).parent / "images" / "cat.jpg"  # 451 x 300 pixels

with tempfile.TemporaryDirectory() as folder:
    images = Path(folder, "images")
    images.mkdir()
    shutil.copy(photo, images)
    coco = {
        "images": [{"id": 1, "file_name": "cat.jpg", "width": 451, "height": 300}],
        "categories": [{"id": 17, "name": "cat"}],
        # Left, top, width and height in pixels.
        "annotations": [{"id": 1, "image_id": 1, "category_id": 17, "bbox": [90, 60, 225.5, 150]}],
    }
    Path(folder, "cats.json").write_text(json.dumps(coco))

    done = cnnkit.convert_boxes(f"coco:{folder}/cats.json", f"yolo:{folder}/yolo", images=images)
    print(f"{done.images} image, {done.boxes} box, complete: {done.complete}")
    (written,) = Path(folder, "yolo").rglob("cat.txt")
    print(f"YOLO: {written.read_text().strip()}")  # class, center and size as shares

    cnnkit.convert_boxes(f"yolo:{folder}/yolo", f"coco:{folder}/back.json", images=images)
    back = json.loads(Path(folder, "back.json").read_text())
    print(f"COCO: {back['annotations'][0]['bbox']}")
