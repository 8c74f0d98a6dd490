from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from cnnkit.data.albumentations_library import import_albumentations
from cnnkit.data.augment import Augmenter
from cnnkit.data.recipe_files import COMPOSITIONS, TRANSFORMS, read_recipe_file
from cnnkit.data.recipes import read_recipe
from cnnkit.errors import UsageError
from tests.data.images import scene

library = import_albumentations()


def spec(*transforms: dict, **outer) -> dict:
    """Return a serialized Compose."""
    inner = {"__class_fullname__": "Compose", "p": 1.0, "transforms": list(transforms)}
    return {"__version__": "2.0.8", "transform": inner | outer}


def one(name: str, **arguments) -> dict:
    return {"__class_fullname__": name, "p": 1.0} | arguments


def written(tmp_path: Path, content: object, name: str = "mine.json") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["mine.json", "mine.yaml"])
def test_what_albumentations_saves_is_applied(tmp_path: Path, name: str) -> None:
    compose = library.Compose(
        [
            library.OneOf([library.HorizontalFlip(p=1), library.VerticalFlip(p=1)], p=1),
            library.Affine(scale={"x": (1, 1.2), "y": (1, 1.2)}, rotate=(-5, 5), p=1),
            library.RandomCrop(30, 20, p=1),
        ],
        bbox_params=library.BboxParams(format="coco", label_fields=["labels"]),
    )
    path = tmp_path / name
    library.save(compose, path, data_format=path.suffix[1:])
    recipe = read_recipe(str(path))
    assert recipe.name == name
    image = scene(1, 48, 64)
    augmenter = Augmenter(recipe, seed=3)
    drawn = augmenter(image, 0, 0)
    assert drawn.shape == image.shape  # the crop is resized back
    assert (drawn != image).any()
    assert (drawn == Augmenter(recipe, seed=3)(image, 0, 0)).all()
    boxes = np.array([[x, y, x + 8, y + 8] for x in range(0, 56, 8) for y in range(0, 40, 8)])
    placed, kept = augmenter.with_boxes(image, boxes.astype(np.float32), 0, 0)[1:]
    assert 0 < len(placed) == len(kept) < len(boxes)
    assert (placed >= 0).all() and (placed <= [64, 48, 64, 48]).all()


def test_a_single_transform_and_cnnkit_s_own_are_taken(tmp_path: Path) -> None:
    path = written(tmp_path, {"transform": one("HorizontalFlip")})
    image = scene(1, 20, 20)
    drawn = Augmenter(read_recipe(str(path)))(image, 0, 0)
    assert (drawn == image[:, ::-1]).all()
    path = written(tmp_path, spec(one("PCAColorShift", alpha_deviation=0.5)))
    assert (Augmenter(read_recipe(str(path)))(image, 0, 0) != image).any()


def test_the_list_of_transforms_is_of_this_library_and_has_none_that_reads_or_calls() -> None:
    for name in TRANSFORMS | COMPOSITIONS:
        parent = library.BasicTransform if name in TRANSFORMS else library.BaseCompose
        assert issubclass(getattr(library, name), parent), name
    dangerous = {"Lambda", "TextImage", "OverlayElements", "FDA", "HistogramMatching", "Mosaic"}
    assert not dangerous & TRANSFORMS


def nested(depth: int) -> dict:
    inner = one("HorizontalFlip")
    for _ in range(depth):
        inner = {"__class_fullname__": "Sequential", "p": 1.0, "transforms": [inner]}
    return inner


HOSTILE = {
    "lambda": spec({"__class_fullname__": "Lambda", "__name__": "f"}),
    "a class of Python": spec(one("os.system", command="true")),
    "a class of another package": spec(one("subprocess.Popen", args=["true"])),
    "a class deep in albumentations": spec(one("albumentations.core.serialization.Lambda")),
    "a file to read": spec(one("TextImage", font_path="/etc/passwd")),
    "another Compose": spec(one("ReplayCompose", transforms=[])),
    "no class": spec({"p": 1.0}),
    "a class that is no text": spec({"__class_fullname__": ["HorizontalFlip"]}),
    "unknown argument": spec(one("HorizontalFlip", q=1)),
    "unknown argument of Compose": spec(one("HorizontalFlip"), on_load="x"),
    "argument of a wrong type": spec(one("Affine", rotate="far")),
    "chance over one": spec(one("HorizontalFlip", p=1.5)),
    "huge number": spec(one("Resize", height=10**9, width=10**9)),
    "not a number": '{"transform": {"__class_fullname__": "Rotate", "limit": NaN}}',
    "endless number": '{"transform": {"__class_fullname__": "Rotate", "limit": 1e999}}',
    "huge growth": spec(one("RandomScale", scale_limit=100)),
    "growing rotation": spec(one("Affine", rotate=45, fit_output=True)),
    "huge kernel": spec(one("Blur", blur_limit=2001)),
    "huge padding": spec(one("Pad", padding=4000)),
    "long text": spec(one("GridDropout", fill="x" * 1000)),
    "too many": spec(*[one("HorizontalFlip")] * 65),
    "too many values": spec(one("Affine", fill=[0] * 3000)),
    "too deep": {"transform": nested(12)},
    "far too deep": '{"transform":' + "[" * 100_000,
    "no transforms": spec(),
    "no transform": {"version": 1},
    "a list": [1, 2],
    "broken": '{"transform": ',
    "transforms that are no list": spec(one("OneOf", transforms={"a": 1})),
    "a dict with numbers as names": "transform: {1: 2}",
    "a Python object": "!!python/object/apply:os.system ['true']",
    "a Python name": "transform: !!python/name:os.system",
    "a date": "transform: {__class_fullname__: HorizontalFlip, p: 2001-01-01}",
    "a laugh": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    + "transform: *j",
    "a circle": "transform: &t {__class_fullname__: OneOf, transforms: [*t]}",
    "far too deep YAML": "transform: " + "[" * 5000,
    "too large": "#" * 300_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_one_line(tmp_path: Path, name: str) -> None:
    content = HOSTILE[name]
    is_json = not isinstance(content, str) or content.startswith("{")
    path = written(tmp_path, content, "mine.json" if is_json else "mine.yaml")
    with pytest.raises(UsageError) as caught:
        read_recipe_file(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    assert re.search(r"mine\.(json|yaml)", message)


def test_arguments_of_a_wrong_kind_are_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"arguments that fit. Received: magnitude: Field required"
    ):
        read_recipe_file(written(tmp_path, spec(one("GridElasticDeform", num_grid_xy=[2, 2]))))


def test_a_misspelled_transform_has_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'HorizontalFlip'"):
        read_recipe_file(written(tmp_path, spec(one("HorizontalFlp"))))
    with pytest.raises(UsageError, match="Did you mean 'rotate'"):
        read_recipe_file(written(tmp_path, spec(one("Affine", rotat=3))))


@pytest.mark.parametrize(
    ("transform", "message"),
    [(one("RandomCrop", height=400, width=400), "fit every image")],
)
def test_a_recipe_that_does_not_fit_the_images_says_so(tmp_path, transform, message) -> None:
    recipe = read_recipe(str(written(tmp_path, spec(transform))))
    with pytest.raises(UsageError, match=f"mine.json must {message}"):
        Augmenter(recipe)(scene(1, 40, 40), 0, 0)


@pytest.mark.parametrize("name", sorted(TRANSFORMS - {"RandomCrop", "CenterCrop", "Crop"}))
def test_every_transform_of_the_list_works_by_its_defaults(tmp_path: Path, name: str) -> None:
    arguments = {
        "RandomResizedCrop": {"size": [20, 20]},
        "RandomSizedCrop": {"min_max_height": [10, 30], "size": [20, 20]},
        "Resize": {"height": 20, "width": 20},
        "SmallestMaxSize": {"max_size": 20},
        "LongestMaxSize": {"max_size": 20},
        "CropAndPad": {"px": 3},
        "GridElasticDeform": {"num_grid_xy": [3, 3], "magnitude": 4},
    }.get(name, {})
    recipe = read_recipe(str(written(tmp_path, spec(one(name, **arguments)))))
    drawn = Augmenter(recipe)(scene(1, 48, 48), 0, 0)
    assert (drawn.shape, drawn.dtype) == ((48, 48, 3), np.uint8)


NEEDED = {
    "RandomResizedCrop": {"size": [20, 20]},
    "RandomSizedCrop": {"min_max_height": [10, 30], "size": [20, 20]},
    "Resize": {"height": 20, "width": 20},
    "SmallestMaxSize": {"max_size": 20},
    "LongestMaxSize": {"max_size": 20},
    "CropAndPad": {"px": 3},
    "GridElasticDeform": {"num_grid_xy": [3, 3], "magnitude": 4},
    "RandomCrop": {"height": 10, "width": 10},
    "CenterCrop": {"height": 10, "width": 10},
    "Crop": {"x_max": 10, "y_max": 10},
}


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_what_the_installed_release_writes_of_each_transform_is_read(tmp_path, name) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice to use another transform
        compose = library.Compose([getattr(library, name)(p=1, **NEEDED.get(name, {}))])
    path = tmp_path / "mine.json"
    library.save(compose, path)
    [made] = read_recipe_file(path)(20, 20, False)[:-1]
    assert made.to_dict()["transform"] == compose.to_dict()["transform"]["transforms"][0]


def first(tmp_path: Path, transform: dict) -> dict:
    """How a file's one transform stands in the form of the installed release."""
    [made] = read_recipe_file(written(tmp_path, spec(transform)))(20, 20, False)[:-1]
    return made.to_dict()["transform"]


def test_files_of_1_x_are_read(tmp_path: Path) -> None:
    assert first(tmp_path, one("HorizontalFlip", always_apply=False, p=0.25))["p"] == 0.25
    assert first(tmp_path, one("HorizontalFlip", always_apply=True, p=0.25))["p"] == 1
    rotate = one("Rotate", always_apply=False, limit=[-9, 9], border_mode=0, value=7)
    assert first(tmp_path, rotate)["fill"] == 7
    assert first(tmp_path, one("Rotate", value=None, mask_value=None))["fill"] == 0
    crop = one("RandomResizedCrop", always_apply=False, height=30, width=40)
    assert first(tmp_path, crop)["size"] == (30, 40)
    jpeg = one("ImageCompression", always_apply=False, quality_lower=50, quality_upper=70)
    assert first(tmp_path, jpeg)["quality_range"] == (50, 70)
    group = one("OneOf", transforms=[one("Blur", always_apply=False)])
    assert first(tmp_path, group)["transforms"][0]["__class_fullname__"] == "Blur"
