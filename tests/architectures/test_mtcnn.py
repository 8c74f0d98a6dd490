from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.architectures.mtcnn import mtcnn_output, mtcnn_proposal, mtcnn_refinement
from tests.architectures import builder_checks as checks

# Builder, published parameters, side of the input, and the shape of each output.
NETWORKS = [
    (mtcnn_proposal, 6_632, 12, {"scores": (1, 1, 2), "offsets": (1, 1, 4)}),
    (mtcnn_refinement, 100_178, 24, {"scores": (2,), "offsets": (4,)}),
    (mtcnn_output, 389_040, 48, {"scores": (2,), "offsets": (4,), "landmarks": (10,)}),
]
each_network = pytest.mark.parametrize(
    ("build", "parameters", "side", "outputs"), NETWORKS, ids=[n[0].__name__ for n in NETWORKS]
)


@each_network
def test_parameters_and_outputs(
    build: checks.Builder, parameters: int, side: int, outputs: dict
) -> None:
    model = checks.spread_weights(build())
    assert model.count_params() == parameters
    found = model(checks.images(2, side), training=False)
    assert {name: tuple(value.shape[1:]) for name, value in found.items()} == outputs
    scores = np.asarray(found["scores"])
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-6)


@each_network
def test_layer_names_are_stable(
    build: checks.Builder, parameters: int, side: int, outputs: dict
) -> None:
    checks_names = [layer.name for layer in build().layers]
    assert checks_names == [layer.name for layer in build().layers]
    assert {"image", "normalise", "conv1", "slope1", "scores", "offsets"} <= set(checks_names)


def test_a_proposal_is_what_its_own_window_gives() -> None:
    """Cell (row, column) sees the 12x12 pixels from (2 row, 2 column) on, and nothing else."""
    model = checks.spread_weights(mtcnn_proposal())
    image = checks.images(1, 30)
    everywhere = np.asarray(model(image, training=False)["scores"])
    assert everywhere.shape == (1, 10, 10, 2)
    for row, column in ((0, 0), (3, 7), (9, 9)):
        window = image[:, 2 * row : 2 * row + 12, 2 * column : 2 * column + 12]
        alone = np.asarray(model(window, training=False)["scores"])
        np.testing.assert_allclose(alone[0, 0, 0], everywhere[0, row, column], atol=1e-5)


def test_the_dense_layer_counts_columns_before_rows() -> None:
    model = mtcnn_refinement()
    flat = keras.Model(model.input, model.get_layer("flatten").output)
    before = keras.Model(model.input, model.get_layer("slope3").output)
    image = checks.images(1, 24)
    expected = np.asarray(before(image)).transpose(0, 2, 1, 3).reshape(1, -1)
    np.testing.assert_array_equal(np.asarray(flat(image)), expected)


def test_saves_and_loads(tmp_path: Path) -> None:
    model = checks.spread_weights(mtcnn_output())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    image = checks.images(1, 48)
    np.testing.assert_allclose(loaded(image)["landmarks"], model(image)["landmarks"], atol=1e-6)
