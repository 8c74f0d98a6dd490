"""Enroll two people, name the faces in new photos, and forget one of them.

The new photos are made of two free images.

python examples/face_gallery.py
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import cnnkit

IMAGES = Path(__file__).parent / "images"
eileen = Image.open(IMAGES / "astronaut.jpg")
philip = Image.open(IMAGES / "photographer.jpg").convert("RGB")

with tempfile.TemporaryDirectory() as folder:
    people = Path(folder, "people")
    for name, photo in (("Eileen", eileen), ("Philip", philip)):
        (people / name).mkdir(parents=True)
        photo.save(people / name / "1.png")

    path = Path(folder, "team.gallery")
    with cnnkit.Gallery.create(path) as gallery:
        print(f"enrolled {gallery.enroll(people)['added']} photos")

    with cnnkit.Gallery.load(path) as gallery:
        darker = (np.asarray(eileen) * 0.7).astype(np.uint8)
        mirrored = np.asarray(philip)[:, ::-1]
        for image, found in zip(
            ("a darker photo", "a mirrored one"), gallery.predict([darker, mirrored]), strict=True
        ):
            [(_, person)] = found.faces
            print(f"{image}: {person.name}, {person.probability:.0%} sure")
        gallery.forget("Philip")
        [(_, nobody)] = gallery.predict(philip).faces
        print(f"after Philip is forgotten: {nobody.name} ({nobody.reason})")
