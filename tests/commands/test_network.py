"""`cnnkit.network` and `cnnkit.list_networks`: what `network` does, from Python and in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import cnnkit
from cnnkit.cli.network import command
from cnnkit.errors import UsageError


def test_a_network_is_described_as_the_command_does(tmp_path: Path, capfd) -> None:
    drawing, page = tmp_path / "lenet.svg", tmp_path / "lenet.html"
    (found,) = cnnkit.network(
        "LeNet5", input_shape=(28, 28, 1), classes=26, diagram=drawing, report=page
    )
    assert capfd.readouterr() == ("", "")
    assert (found.rows[0].output, found.rows[-1].output) == ((28, 28, 1), (26,))
    assert found.totals["parameters"] == 156 + 2416 + 30_840 + 10_164 + 85 * 26
    assert drawing.read_text("utf-8") in page.read_text("utf-8")
    arguments = ["lenet-5", "--input", "28x28x1", "--classes", "26", "--json"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert json.loads(done.stdout) == found.to_dict()
    assert cnnkit.network("lenet-5", input_shape="28x28x1", classes=26) == [found]


def test_a_model_of_several_networks_gives_all_and_numbers_their_drawings(tmp_path: Path) -> None:
    found = cnnkit.network("mtcnn", diagram=tmp_path / "net.svg")
    assert [one.name for one in found] == [
        f"mtcnn: {n}" for n in ("proposal", "refinement", "output")
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"net-{n}.svg" for n in (1, 2, 3)]


def test_every_architecture_is_listed() -> None:
    from cnnkit.architectures import BUILDERS

    networks = cnnkit.list_networks()
    assert list(networks) == list(BUILDERS)
    assert networks["vgg-16"].parameters == 138_357_544
    assert networks["vgg-16"].input == (224, 224, 3)


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"input_shape": (28, 28)}, "`input_shape` must be HEIGHTxWIDTHxCHANNELS"),
        ({"input_shape": (9000, 28, 1)}, "`input_shape` must be at most 8192x8192x4"),
        ({"diagram": "a.gif"}, r"`diagram` must end in \.svg or \.png"),
        ({"report": "a.pdf"}, r"`report` must end in \.html"),
    ],
)
def test_what_is_invalid_is_refused(keywords: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        cnnkit.network("lenet-5", **keywords)
