from __future__ import annotations

import numpy as np
import pytest

import cnnkit
from cnnkit.errors import UsageError
from cnnkit.images import decode
from cnnkit.lab.arithmetic import Window
from cnnkit.lab.convolution import learn_kernel, read_kernel, slide
from cnnkit.lab.convolution.learning import LARGEST_SIDE, middle, padding_between
from cnnkit.lab.convolution.sliding import brightness


@pytest.fixture(scope="module")
def cat(examples) -> np.ndarray:
    """A photo's brightness, float (300, 451, 1): neighboring pixels are nearly the same."""
    return brightness(decode((examples / "cat.jpg").read_bytes()).astype(np.float64))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_sobel_is_learned_from_examples_of_its_output(cat, padding):
    sobel = read_kernel("sobel-x")
    target = slide(cat, sobel, Window((3, 3), padding=padding), "volume")
    learned = learn_kernel(cat, target)
    np.testing.assert_allclose(learned.kernel, sobel, atol=2e-3)
    assert learned.padding == padding
    assert abs(learned.bias) < 0.02
    assert learned.explained > 0.999999


@pytest.mark.slow
def test_the_way_goes_down_and_begins_at_the_start(cat):
    target = slide(cat, read_kernel("vertical"), Window((3, 3)), "volume")
    learned = learn_kernel(cat, target, seed=5)
    losses = [step.loss for step in learned.steps]
    assert losses == sorted(losses, reverse=True) and losses[-1] == learned.loss
    assert [step.number for step in learned.steps] == list(range(len(losses)))
    again = learn_kernel(cat, target, seed=5)
    np.testing.assert_array_equal(again.kernel, learned.kernel)
    few = learn_kernel(cat, target, seed=5, most_steps=3)
    assert len(few.steps) == 4


def test_a_color_filter_over_the_volume_and_an_offset_are_learned():
    image = np.random.default_rng(0).uniform(0, 255, (40, 40, 3))
    kernel = np.random.default_rng(1).normal(size=(2, 3, 3))
    target = slide(image, kernel, Window((2, 3)), "volume") + 12
    learned = learn_kernel(image, target, (2, 3))
    np.testing.assert_allclose(learned.kernel, kernel, atol=2e-3)
    assert learned.bias == pytest.approx(12, abs=0.2)


def test_the_gradient_is_that_of_the_loss():
    from cnnkit.lab.convolution.learning import Problem

    random = np.random.default_rng(2)
    problem = Problem(
        random.normal(size=(9, 9, 1)), random.normal(size=(7, 7, 1)), (3, 3), "valid", True
    )
    values = random.normal(size=10)
    _, gradient = problem._evaluate(values)
    for unknown in range(10):
        ends = [problem._evaluate(values + s * 0.05 * np.eye(10)[unknown])[0] for s in (1, -1)]
        # The loss is a parabola: a central difference is exact for any step.
        assert gradient[unknown] == pytest.approx((ends[0] - ends[1]) / 0.1, rel=1e-3, abs=1e-3)


def test_sizes_that_do_not_go_together_are_refused():
    with pytest.raises(UsageError, match="B must have the size of A, 9x8, or 7x6 without padding"):
        padding_between((9, 8, 1), (8, 8, 1), (3, 3))


@pytest.mark.parametrize(("padding", "lost"), [("same", 0), ("valid", 2)])
def test_the_middle_of_large_images_stays_in_place(padding, lost):
    side = LARGEST_SIDE + 100
    places = np.add.outer(np.arange(side) * 1000.0, np.arange(side))[..., None]
    shift = 0 if padding == "same" else 1
    whole = places if padding == "same" else places[1:-1, 1:-1]
    source, target = middle(places, whole, (3, 3), padding)
    assert source.shape[:2] == (LARGEST_SIDE, LARGEST_SIDE)
    assert target.shape[:2] == (LARGEST_SIDE - lost,) * 2
    assert target[0, 0] == source[shift, shift]


def test_nothing_to_explain():
    learned = learn_kernel(np.ones((6, 6, 1)), np.zeros((4, 4, 1)))
    assert np.isfinite(learned.explained) and learned.loss < 1e-6


@pytest.mark.parametrize("steps", [0, 10_001])
def test_so_many_steps_as_the_command_line_takes(steps):
    with pytest.raises(UsageError, match="`steps` must lie between 1 and 10,000"):
        cnnkit.learn_filter(("a.png", "b.png"), steps=steps)
