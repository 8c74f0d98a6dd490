"""Every class that predicts is used alike: one image or several, paths, folders, failures."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.images import decode, find_images, one_or_several

IMAGES = Path(__file__).resolve().parents[1] / "examples" / "images"


class Pairs:
    """A `FaceVerifier` that compares each image with itself, to be asked as the others are."""

    def __init__(self) -> None:
        self._verifier = cnnkit.FaceVerifier.load(threads=2)

    def predict(self, images: Any) -> Any:
        several, single = one_or_several(images)
        pairs = [(image, image) for image in several]
        return self._verifier.predict(pairs[0] if single else pairs)

    def stream(self, inputs: Any, workers: int | None = None) -> Iterator[tuple[Any, Any]]:
        for item in find_images(inputs):
            pair = (item.path, item.path)
            for (path, _), result in self._verifier.stream([pair], workers):
                yield path, item.failure or result


def gallery(folder: Path) -> cnnkit.Gallery:
    """Return a gallery that knows the astronaut."""
    made = cnnkit.Gallery.create(folder / "team.gallery", threads=2)
    assert made.enroll(IMAGES / "astronaut.jpg", name="Eileen")["added"] == 1
    return made


def by_examples(folder: Path) -> cnnkit.Classifier:
    """Return a classifier that knows the astronaut and coffee by an example of each."""
    for label, name in (("person", "astronaut.jpg"), ("cup", "coffee-rotated.jpg")):
        (folder / label).mkdir()
        shutil.copy(IMAGES / name, folder / label)
    return cnnkit.Classifier.by_examples(folder, "squeezenet-1.1", threshold=0.5, threads=2)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "Classifier": lambda _: cnnkit.Classifier.load("squeezenet-1.1", threads=2),
    "Classifier.by_examples": by_examples,
    "Detector": lambda _: cnnkit.Detector.load(threads=2),
    "Explainer": lambda _: cnnkit.Explainer.load("squeezenet-1.1", threads=2),
    "FaceEmbedder": lambda _: cnnkit.FaceEmbedder.load(threads=2),
    "FaceVerifier": lambda _: Pairs(),
    "Gallery": gallery,
    "Stylizer": lambda _: cnnkit.Stylizer.load(styles=IMAGES / "rocket.jpg", size=64, threads=2),
}


@pytest.fixture(scope="module", params=LOADERS)
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return LOADERS[request.param](tmp_path_factory.mktemp("door"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """Two images and a file that is none, in this order."""
    folder = tmp_path_factory.mktemp("images")
    shutil.copy(examples / "astronaut.jpg", folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    shutil.copy(examples / "coffee.jpg", folder / "c.jpg")
    return folder


def words(result: Any) -> Any:
    """Return all that a result says, without how long it took."""
    said = {key: value for key, value in result.to_dict().items() if key != "seconds"}
    return said | ({"pixels": result.pixels.tobytes()} if hasattr(result, "pixels") else {})


def test_one_image_gives_one_result_and_a_list_gives_a_list(door: Any, folder: Path) -> None:
    one = door.predict(folder / "a.jpg")
    several = door.predict([folder / "a.jpg", str(folder / "c.jpg")])
    assert not isinstance(one, cnnkit.Failure | list)
    assert isinstance(several, list) and len(several) == 2
    assert words(several[0]) == words(one) != words(several[1])
    assert [words(result) for result in door.predict([folder / "a.jpg"])] == [words(one)]
    assert door.predict([]) == []


def test_a_path_an_array_and_a_pil_image_are_one(door: Any, folder: Path) -> None:
    pixels = decode((folder / "a.jpg").read_bytes())
    image = Image.fromarray(pixels)
    expected = words(door.predict(pixels))
    assert words(door.predict(image)) == expected
    assert [words(one) for one in door.predict(np.stack([pixels] * 2))] == [expected] * 2


def test_what_is_no_image_is_a_failure_in_its_place(door: Any, folder: Path) -> None:
    given = [folder / "b.jpg", folder / "a.jpg", "missing.jpg", np.zeros((4, 4), float), None, 3]
    results = door.predict(given)
    kinds = [one.kind if isinstance(one, cnnkit.Failure) else "ok" for one in results]
    assert kinds[1:] == ["ok", "missing", "unsupported", "not-an-image", "not-an-image"]
    assert kinds[0] != "ok"
    for image, result in zip(given, results, strict=True):
        if isinstance(result, cnnkit.Failure):
            assert door.predict(image) == result


def test_the_stream_finds_the_files_itself(door: Any, folder: Path) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg"]
    expected = [str(folder / name) for name in names]
    of_paths = [words(result) for result in door.predict(expected)]
    for inputs in (folder, str(folder), [folder], [str(folder / "*.jpg")], expected):
        found = list(door.stream(inputs, workers=2))
        assert [path for path, _ in found] == expected
        assert [words(result) for _, result in found] == of_paths


def test_the_stream_gives_failures_where_there_is_nothing(door: Any, tmp_path: Path) -> None:
    given = [tmp_path, tmp_path / "gone.jpg", np.zeros((4, 4, 3), np.uint8)]
    found = [result.kind for _, result in door.stream(given)]
    assert found == ["no-images", "missing", "not-an-image"]


@pytest.mark.parametrize("name", LOADERS)
def test_load_has_the_same_typed_keywords(name: str) -> None:
    owner, _, opens = name.partition(".")
    parameters = inspect.signature(getattr(getattr(cnnkit, owner), opens or "load")).parameters
    defaults = {key: parameters[key].default for key in ("device", "runtime", "precision")}
    assert defaults == dict.fromkeys(defaults, "auto")
    assert parameters["threads"].default == 0
    assert all(p.kind != p.VAR_KEYWORD and p.annotation != p.empty for p in parameters.values())


def test_several_images_are_predicted_in_batches(folder: Path) -> None:
    classifier = cnnkit.Classifier.load("squeezenet-1.1", batch_size=4)
    sizes: list[int] = []
    predict = classifier.predictor.predict

    def counted(images: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(len(images))
        return predict(images)

    classifier.predictor.predict = counted  # type: ignore[method-assign]
    assert len(classifier.predict([folder / "a.jpg"] * 10)) == 10
    assert sorted(sizes) == [2, 4, 4]
