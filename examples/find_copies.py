"""Find copies in a folder of photos, and move them out of it.

python examples/find_copies.py
"""

import shutil
import tempfile
from pathlib import Path

from PIL import Image

import cnnkit

with tempfile.TemporaryDirectory() as folder:
    photos = Path(folder, "photos")
    shutil.copytree(Path(__file__).parent / "images", photos)
    shutil.copy(photos / "rocket.jpg", photos / "rocket (1).jpg")
    with Image.open(photos / "cat.jpg") as cat:
        cat.resize((200, 133)).save(photos / "cat-small.jpg", quality=60)

    found = cnnkit.dedupe(photos, sort_into=Path(folder, "copies"), how="move")
    for original, *copies in found.groups:
        names = ", ".join(f"{Path(copy['path']).name} ({copy['copy']})" for copy in copies)
        print(f"keep {Path(original['path']).name}, not {names}")
    print(f"copies left: {cnnkit.dedupe(photos).copies}")
