from __future__ import annotations

from pathlib import Path

import keras
import pytest

from cnnkit.architectures import inception
from cnnkit.architectures.inception import googlenet
from cnnkit.lab.networks.reading import read_network
from cnnkit.runtime import variables_without_memory
from tests.architectures import builder_checks as checks


def test_counts_are_the_papers_layout() -> None:
    """torchvision counts 6,624,904, because it has 3x3 where the paper has 5x5."""
    checks.check_counts(googlenet, 6_998_552, 1.583e9)


def test_the_first_5x5_branch_costs_what_the_course_says() -> None:
    with variables_without_memory():
        rows = {row.name: row for row in read_network(googlenet())}
    reduce, five = rows["inception3a_5x5_reduce"], rows["inception3a_5x5"]
    assert (reduce.multiplies, five.multiplies) == (2_408_448, 10_035_200)


STAGES = {
    "conv1": (112, 112, 64),
    "pool1": (56, 56, 64),
    "conv2": (56, 56, 192),
    "pool2": (28, 28, 192),
    "inception3a_join": (28, 28, 256),
    "inception3b_join": (28, 28, 480),
    "inception4a_join": (14, 14, 512),
    "inception4d_join": (14, 14, 528),
    "inception4e_join": (14, 14, 832),
    "inception5a_join": (7, 7, 832),
    "inception5b_join": (7, 7, 1024),
    "features": (1024,),
    "logits": (1000,),
}


def test_stages_have_the_papers_sizes() -> None:
    with variables_without_memory():
        checks.check_stages(googlenet(), STAGES)


def test_shapes() -> None:
    checks.check_shapes(googlenet, 224, features=1024)


def test_an_inception_block_joins_four_branches() -> None:
    image = keras.Input((28, 28, 192))
    block = inception.inception_block(image, inception.STAGES[3]["a"], "block")
    assert block.shape == (None, 28, 28, 64 + 128 + 32 + 32)


def test_input_is_rgb_from_0_to_255() -> None:
    checks.check_input_is_rgb_to_255(googlenet)


def test_logits_are_finite_and_varied() -> None:
    checks.check_finite_and_varied(googlenet)


@pytest.mark.slow
def test_dropout_works_in_training_only() -> None:
    checks.check_training_mode(googlenet)


@pytest.mark.slow
def test_saves_and_loads(tmp_path: Path) -> None:
    checks.check_saves_and_loads(googlenet, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)]
)
def test_mixed_precision(policy: str, tolerance: float) -> None:
    checks.check_mixed_precision(googlenet, policy, tolerance)


@pytest.mark.slow
def test_eager_equals_compiled() -> None:
    checks.check_eager_equals_compiled(googlenet)


def test_layer_names_are_stable() -> None:
    checks.check_layer_names(googlenet)
