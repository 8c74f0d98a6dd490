"""`cnnkit.shapes`: what `shapes` does, from Python."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import cnnkit
from cnnkit.cli.shapes import command
from cnnkit.errors import UsageError

CHAIN = ["conv 10 3x3", "conv 20 5x5/2", "conv 40 5x5/2", "flatten", "dense 10"]


def test_a_chain_is_followed_as_the_command_does() -> None:
    found = cnnkit.shapes(CHAIN, (39, 39, 3))
    assert [row.output for row in found.rows[:3]] == [(37, 37, 10), (17, 17, 20), (7, 7, 40)]
    assert found.rows[1].field is not None and found.rows[1].field.size == (7, 7)
    assert found.totals["parameters"] == 280 + 5020 + 20_040 + 19_610
    done = CliRunner().invoke(command, ["--input", "39x39x3", *CHAIN, "--json"])
    assert json.loads(done.stdout) == found.to_dict()
    assert cnnkit.shapes(tuple(CHAIN), "39x39x3").to_dict() == found.to_dict()


def test_one_layer_may_be_a_single_text() -> None:
    assert cnnkit.shapes("max 2x2", (8, 8, 3)).rows[0].output == (4, 4, 3)


@pytest.mark.parametrize(
    ("layers", "shape", "told"),
    [
        (["conv 3 9x9"], (8, 8, 3), "layer 1 .*conv 3 9x9"),
        (["flatten"], "8x8", "`input_shape` must be HEIGHTxWIDTHxCHANNELS"),
    ],
)
def test_what_does_not_fit_is_refused(layers: list[str], shape: object, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        cnnkit.shapes(layers, shape)
