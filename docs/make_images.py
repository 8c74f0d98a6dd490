"""Make the images that README.md and the pages of docs/ show, with cnnkit itself.

    python docs/make_images.py [FOLDER]

They are made from the free photos in examples/images and a painting that painting.py draws, and
written to FOLDER (docs/images by default).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from painting import paint
from panels import Panel, card, fit, with_bars, with_label
from PIL import Image

import cnnkit

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ("astronaut", "cat", "coffee", "photographer", "rocket")
COMMANDS = (
    "detect astronaut.jpg --annotate drawn/",
    "explain photographer.jpg --fit stretch --size 512 --overlays grad-cam/",
    "explain photographer.jpg --fit stretch --method smoothgrad --overlays smoothgrad/",
    "explain photographer.jpg --fit stretch --method occlusion --overlays occlusion/",
    "stylize cat.jpg --style painting.png -o optimized.png",
    "stylize cat.jpg --style painting.png -o fast.png --fast",
    "visualize filters --model squeezenet-1.1 -o filters.png",
    "visualize patches parts/ --model squeezenet-1.1 --layer fire4_join"
    " --units 42,45,80,97 -o patches.csv --sheets sheets/",
    "visualize activations cat.jpg --model squeezenet-1.1 --layer fire3_join --channels 12"
    " -o channels/",
    "verify-face astronaut.jpg photographer.jpg --annotate verify-face.png",
    "gallery enroll team.gallery people/",
    "gallery identify team.gallery selfie.jpg photographer.jpg -o people.jsonl",
    "augment cat.jpg -o augment.png --recipe strong --count 5 --seed 1",
    "convolve cat.jpg --kernel sobel-x --padding same -o sobel-x.png",
    "convolve cat.jpg --kernel sobel-x --magnitude --padding same -o magnitude.png",
    "convolve cat.jpg --kernel laplacian --padding same -o laplacian.png",
    "network lenet-5 --diagram lenet-5.png",
)
DRAWINGS = ("filters", "lenet-5")
FIRST_UNIT = (24, 48, 192)  # left, top and side of its patches on a sheet, in pixels


def main(output: Path) -> None:
    """Make every image in a folder of its own, then put the finished ones into `output`."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        lay_out(work)
        for command in COMMANDS:
            run(command, work)
        for name, image in finished(work).items():
            options = {"quality": 85} if name.endswith(".jpg") else {"optimize": True}
            image.save(output / name, **options)


def lay_out(work: Path) -> None:
    """Put what the commands read into the folder that they run in."""
    for name in PHOTOS:
        shutil.copy(ROOT / "examples" / "images" / f"{name}.jpg", work)
    paint().save(work / "painting.png")
    astronaut = Image.open(work / "astronaut.jpg")
    turned = astronaut.rotate(8, Image.Resampling.BICUBIC).point(lambda value: value * 0.8)
    turned.crop((60, 20, 452, 412)).save(work / "selfie.jpg", quality=90)
    (work / "people" / "Eileen").mkdir(parents=True)
    shutil.copy(work / "astronaut.jpg", work / "people" / "Eileen")
    (work / "parts").mkdir()
    for name in PHOTOS:
        cut(Image.open(work / f"{name}.jpg"), work / "parts", name)


def cut(photo: Image.Image, folder: Path, name: str) -> None:
    """Cut a photo into nine or six parts: a unit's nine best patches are from nine images."""
    across, down = 3, 3 if photo.width == photo.height else 2
    width, height = photo.width // across, photo.height // down
    for number in range(across * down):
        left, top = number % across * width, number // across * height
        part = photo.crop((left, top, left + width, top + height))
        part.save(folder / f"{name}-{number}.png")


def run(command: str, work: Path) -> None:
    """Run one command of cnnkit, which says by status 1 that two faces are of different people."""
    arguments = [sys.executable, "-m", "cnnkit", *command.split()]
    done = subprocess.run(arguments, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode > 1 or (done.returncode and not command.startswith("verify-face")):
        raise SystemExit(f"cnnkit {command}: {done.stderr}")


def finished(work: Path) -> dict[str, Image.Image]:
    """Return the finished images by their names."""
    images = {
        "strip.jpg": strip(work),
        "detect.jpg": Image.open(work / "drawn" / "astronaut.jpg"),
        "explain.jpg": methods(work),
        "stylize.jpg": styles(work),
        "gallery.jpg": people(work),
        "convolve.jpg": kernels(work),
        "patches.jpg": Image.open(next(work.glob("sheets/*.jpg"))),
        "activations.jpg": Image.open(next(work.glob("channels/*.png"))).convert("RGB"),
    }
    photos = ("verify-face", "augment")
    images |= {f"{name}.jpg": Image.open(work / f"{name}.png").convert("RGB") for name in photos}
    return images | {f"{name}.png": Image.open(work / f"{name}.png") for name in DRAWINGS}


def strip(work: Path) -> Image.Image:
    """Return the strip at the top of the README: five commands, an image of each."""
    size = (330, 330)
    named = cnnkit.Classifier.load("efficientnet-lite0").predict(work / "cat.jpg")
    classified = fit(Image.open(work / "cat.jpg"), size, (0.45, 0.5))
    bars = [(guess.label, guess.score) for guess in named.predictions[:3]]
    explained = fit(overlay(work, "grad-cam", "photographer"), size, (0.6, 0.5))
    patches = next(work.glob("sheets/*.jpg"))
    panels = [
        Panel(with_bars(classified, bars), "classify"),
        Panel(detected(work, size), "detect"),
        Panel(with_label(explained, None, "tripod"), "explain"),
        Panel(fit(Image.open(work / "optimized.png"), size, (0.35, 0.5)), "stylize"),
        Panel(nine_patches(patches, size), "visualize"),
    ]
    return card(panels, size, text=26)


def detected(work: Path, size: tuple[int, int]) -> Image.Image:
    """Return the astronaut, in a photo of a size, with the box that the detector draws."""
    photo = Image.open(work / "astronaut.jpg")
    found = next(iter(cnnkit.Detector.load().predict(work / "astronaut.jpg")))
    scale = size[0] / photo.width
    box = (
        scale * found.xyxy[0],
        scale * found.xyxy[1],
        scale * found.xyxy[2],
        scale * found.xyxy[3],
    )
    return with_label(photo.resize(size), box, f"{found.label} {found.score:.0%}")


def nine_patches(sheet: Path, size: tuple[int, int]) -> Image.Image:
    """Return the patches of the first unit of a sheet."""
    left, top, side = FIRST_UNIT
    return Image.open(sheet).crop((left, top, left + side, top + side)).resize(size)


def people(work: Path) -> Image.Image:
    """Return two photos with the names that a gallery gives to the faces in them."""
    panels = []
    for line in (work / "people.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        (face,) = row["faces"]
        left, top, width, height = face["box"]
        photo = Image.open(work / row["path"])
        box = (left, top, left + width, top + height)
        distance = f"{face['distance']:.2f} from Eileen"
        panels.append(Panel(with_label(photo, box, face["name"], 28), row["path"], distance))
    return card(panels, (480, 480))


def overlay(work: Path, method: str, photo: str) -> Image.Image:
    """Return the photo with the heat of a method over it."""
    return Image.open(next((work / method).glob(f"{photo}-*")))


def methods(work: Path) -> Image.Image:
    """Return what three methods say of one photo."""
    names = ("grad-cam", "smoothgrad", "occlusion")
    panels = [Panel(overlay(work, name, "photographer"), name) for name in names]
    return card([Panel(Image.open(work / "photographer.jpg"), "photo"), *panels], (380, 380))


def styles(work: Path) -> Image.Image:
    """Return a photo, a style, and the photo in that style, both ways."""
    names = {
        "cat.jpg": "photo",
        "painting.png": "--style",
        "optimized.png": "optimized",
        "fast.png": "--fast",
    }
    panels = [Panel(Image.open(work / name), title) for name, title in names.items()]
    return card(panels, (400, 300))


def kernels(work: Path) -> Image.Image:
    """Return a photo and what three filters make of it."""
    names = {
        "cat.jpg": "photo",
        "sobel-x.png": "sobel-x",
        "magnitude.png": "--magnitude",
        "laplacian.png": "laplacian",
    }
    panels = [Panel(Image.open(work / name), title) for name, title in names.items()]
    return card(panels, (400, 270))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
