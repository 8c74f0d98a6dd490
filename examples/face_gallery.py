"""Enroll two people, name the faces in new photos, and forget one of them.

The photos are made of one free image: a face squeezed to half its height is another face.

python examples/face_gallery.py
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import cnnkit

eileen = Image.open(Path(__file__).parent / "images" / "astronaut.jpg")
eva = eileen.resize((eileen.width, eileen.height // 2))

with tempfile.TemporaryDirectory() as folder:
    people = Path(folder, "people")
    for name, photo in (("Eileen", eileen), ("Eva", eva)):
        (people / name).mkdir(parents=True)
        photo.save(people / name / "1.png")

    path = Path(folder, "team.gallery")
    with cnnkit.Gallery.create(path) as gallery:
        print(f"enrolled {gallery.enroll(people)['added']} photos")

    with cnnkit.Gallery.load(path) as gallery:
        darker = (np.asarray(eileen) * 0.7).astype(np.uint8)
        mirrored = np.asarray(eva)[:, ::-1]
        for image, found in zip(
            ("a darker photo", "a mirrored one"), gallery.predict([darker, mirrored]), strict=True
        ):
            [(_, person)] = found.faces
            print(f"{image}: {person.name}, {person.probability:.0%} sure")
        gallery.forget("Eva")
        [(_, nobody)] = gallery.predict(eva).faces
        print(f"after Eva is forgotten: {nobody.name} ({nobody.reason})")
