from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cnnkit.data.augment import Augmenter
from cnnkit.data.recipes import RECIPES, read_recipe
from cnnkit.errors import UsageError
from tests.data.images import scene


@pytest.mark.parametrize("name", ["light", "strong"])
def test_any_number_of_threads_gives_the_same_pixels(name: str) -> None:
    images = [scene(n, 48, 48) for n in range(24)]
    jobs = [(index, epoch) for epoch in range(3) for index in range(24)]

    def drawn(threads: int, reverse: bool) -> list[bytes]:
        augmenter = Augmenter(read_recipe(name), seed=11)

        def draw(job: tuple[int, int]) -> bytes:
            return augmenter(images[job[0]], job[1], job[0]).tobytes()

        order = jobs[::-1] if reverse else jobs
        with ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(draw, order))
        return results[::-1] if reverse else results

    expected = drawn(1, reverse=False)
    assert drawn(2, reverse=False) == expected
    assert drawn(4, reverse=True) == expected
    assert len(set(expected)) > 60  # and not because nothing happens


def test_seed_epoch_and_index_each_change_the_draw() -> None:
    image, recipe = scene(1, 64, 64), read_recipe("strong")
    first = Augmenter(recipe, 1)(image, 0, 0)
    assert (first != Augmenter(recipe, 2)(image, 0, 0)).any()
    assert (first != Augmenter(recipe, 1)(image, 1, 0)).any()
    assert (first != Augmenter(recipe, 1)(image, 0, 1)).any()
    assert (first == Augmenter(recipe, 1)(image, 0, 0)).all()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("shape", [(33, 70), (70, 33), (8, 8)])
def test_a_draw_has_the_image_s_size_and_leaves_the_image_alone(name, shape) -> None:
    image = scene(2, *shape)
    augmenter = Augmenter(read_recipe(name))
    for epoch in range(12):
        drawn = augmenter(image, epoch, 0)
        assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)
        assert not np.may_share_memory(drawn, image)
    assert (image == scene(2, *shape)).all()


@pytest.mark.parametrize("recipe", ["none", "pixels.json"])
def test_boxes_stay_without_a_warning_where_nothing_moves(recipe: str, tmp_path: Path) -> None:
    blur = {"__class_fullname__": "Blur", "p": 1.0}
    text = json.dumps({"transform": {"__class_fullname__": "Compose", "transforms": [blur]}})
    (tmp_path / "pixels.json").write_text(text)
    name = recipe if recipe == "none" else str(tmp_path / recipe)
    boxes = np.array([[3.0, 4.0, 30.0, 40.0], [0.0, 0.0, 8.0, 8.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = Augmenter(read_recipe(name)).with_boxes(scene(1, 48, 48), boxes, 0, 1)
    np.testing.assert_array_equal(drawn[1], boxes)
    assert drawn[2].tolist() == [0, 1]


def test_none_does_nothing() -> None:
    image = scene(2, 40, 40)
    assert (Augmenter(read_recipe("none"))(image, 3, 4) == image).all()


def test_light_stays_near_the_image_and_strong_goes_further() -> None:
    image = scene(5, 64, 64).astype(float)

    def change(name: str) -> float:
        augmenter = Augmenter(read_recipe(name), 3)
        draws = [augmenter(image.astype(np.uint8), 0, n).astype(float) for n in range(60)]
        # The nearer of the draw and its mirror image: mirroring alone is no distance.
        return np.mean([min(abs(d - image).mean(), abs(d[:, ::-1] - image).mean()) for d in draws])

    assert 2 < change("light") < change("strong")


def marked(height: int = 120, width: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Return a red image with a green rectangle, and its box; what fills corners is gray."""
    image = np.full((height, width, 3), (150, 30, 30), np.uint8)
    image[40:80, 30:90] = 30, 150, 30
    return image, np.array([[30, 40, 90, 80]], np.float32)


def test_a_box_goes_where_its_object_goes() -> None:
    image, boxes = marked()
    augmenter = Augmenter(read_recipe("light"), seed=2)
    moved = 0
    for index in range(40):
        drawn, placed, kept = augmenter.with_boxes(image, boxes, 0, index)
        assert kept.tolist() == [0]
        green = drawn[..., 1].astype(int) - drawn[..., 0] > 30
        rows, columns = np.flatnonzero(green.any(1)), np.flatnonzero(green.any(0))
        seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        np.testing.assert_allclose(placed[0], seen, atol=4)  # rotated corners round off
        moved += bool(abs(placed[0] - boxes[0]).max() > 0.5)
    assert moved > 30


def test_boxes_that_leave_the_image_are_dropped_by_number() -> None:
    image = scene(1, 100, 100)
    corner = np.array([[0, 0, 6, 6], [30, 30, 70, 70], [94, 94, 100, 100]], np.float32)
    augmenter = Augmenter(read_recipe("strong"), seed=2)
    kept = [augmenter.with_boxes(image, corner, 0, n)[2].tolist() for n in range(40)]
    assert all(1 in numbers for numbers in kept)
    assert any(numbers == [1] for numbers in kept)
    drawn, placed, numbers = augmenter.with_boxes(image, np.zeros((0, 4), np.float32), 0, 1)
    assert (placed.shape, numbers.shape, drawn.shape) == ((0, 4), (0,), image.shape)


def test_boxes_without_a_mirrored_border() -> None:
    """A mirrored border would show the object a second time, without a box."""
    image = np.full((80, 80, 3), (150, 30, 30), np.uint8)
    image[:, :24] = 30, 150, 30
    boxes = np.array([[0, 0, 24, 80]], np.float32)
    augmenter = Augmenter(read_recipe("light"), seed=2)
    for index in range(30):
        drawn, placed, _ = augmenter.with_boxes(image, boxes, 0, index)
        assert len(placed) == 1
        outside = np.ones((80, 80), bool)
        for left, top, right, bottom in np.rint(placed).astype(int):
            outside[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2] = False
        green = drawn[..., 1].astype(int) - drawn[..., 0]
        assert (green[outside] < 30).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [("ligth", "Did you mean 'light'"), ("none.json", "cannot be read"), ("a.txt", "must be none")],
)
def test_a_recipe_that_does_not_exist_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_recipe(name)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed must be 0 or more"):
        Augmenter(read_recipe("light"), -1)


def test_a_recipe_can_be_written_into_a_card() -> None:
    described = read_recipe("strong").to_dict(64, 48)
    names = [one["__class_fullname__"].rpartition(".")[2] for one in described["transforms"]]
    assert described["name"] == "strong"
    assert {"HorizontalFlip", "Affine", "RandomResizedCrop", "PCAColorShift", "Erasing"} <= set(
        names
    )
    crop = described["transforms"][names.index("RandomResizedCrop")]
    assert crop["size"] == (64, 48)


def test_the_color_shift_is_one_color_for_the_whole_image() -> None:
    from cnnkit.data.albumentations_library import import_albumentations
    from cnnkit.data.pca_transform import PCAColorShift

    compose = import_albumentations().Compose([PCAColorShift(p=1)])
    image = np.full((9, 9, 3), 128, np.uint8)
    image[:4] = 90
    shifts = []
    for seed in range(300):
        compose.set_random_seed(seed)
        change = compose(image=image)["image"].astype(int) - image
        assert (change == change[0, 0]).all()
        shifts.append(change[0, 0])
    # 0.1 * 0.2175 * 255 levels times the component's green part, the rest being small.
    assert np.std(shifts, 0)[1] == pytest.approx(0.1 * 0.2175 * 255 * 0.5808, rel=0.15)
    assert abs(np.mean(shifts, 0)).max() < 0.8


@pytest.mark.parametrize("name", ["light", "strong", "boxes"])
@pytest.mark.parametrize("shape", [(6, 200, 3), (200, 6, 3), (1, 300, 3), (1, 1, 3)])
def test_thin_images_take_every_recipe(name: str, shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    augmenter = Augmenter(read_recipe(name), 1)
    whole = np.array([[0.0, 0.0, shape[1], shape[0]]])
    for number in range(40):
        assert augmenter(image, 0, number).shape == shape
        assert augmenter.with_boxes(image, whole, 0, number)[0].shape == shape
