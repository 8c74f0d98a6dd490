"""Find the images of a folder that are most similar to another one.

python examples/search_images.py
"""

import tempfile
from pathlib import Path

import cnnkit

images = Path(__file__).parent / "images"
with tempfile.TemporaryDirectory() as folder:
    index = Path(folder, "images.npy")
    cnnkit.classify(images, embeddings=index)

    rows = []
    cnnkit.search(index, images / "coffee.jpg", top_k=3, emit=rows.append)
    for match in rows[0]["matches"]:
        print(f"{match['score']:.2f} {Path(match['path']).name}")
