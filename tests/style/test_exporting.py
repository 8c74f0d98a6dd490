"""Painters exported: images of any size, and a style beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.commands.export import export
from cnnkit.errors import UsageError
from cnnkit.exporting import FORMATS, Request, export_model
from cnnkit.style import exporting
from tests.exporting.running import EVERY_FORM, left_in, only_fast, outputs
from tests.style.painters import drawn, write_painter


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    return open_model(str(write_painter(tmp_path_factory.mktemp("models") / "painter")))


def exported(bundle, form, target, **asked):
    networks = exporting.painter_networks(bundle, Request(form, **asked))
    return export_model(bundle, networks, form, target)


@pytest.mark.parametrize("form", only_fast("openvino"))
def test_a_painter_of_one_style(painter, form, tmp_path):
    done = exported(painter, form, tmp_path / f"painter{FORMATS[form].suffix}")
    assert done.difference < 1e-4
    sizes = [(64, 64)] if form == "litert" else [(32, 48), (60, 20)]
    for height, width in sizes:
        image = drawn(height, width)[None]
        given = outputs(form, done.path, image=image)["picture"]
        expected = painter.build()(image.astype(np.float32), training=False)["picture"]
        assert given.shape == image.shape
        np.testing.assert_allclose(given, expected, atol=0.1)
    shape = json.loads(done.description.read_text())["inputs"][0]["shape"]
    assert shape == ([1, 64, 64, 3] if form == "litert" else [None, None, None, 3])


def test_a_size_is_fixed_on_wish_and_lies_on_the_grid(painter, tmp_path):
    done = exported(painter, "keras", tmp_path / "painter.keras", size=(40, 24), batch=2)
    content = json.loads(done.description.read_text())
    assert content["inputs"][0]["shape"] == content["outputs"][0]["shape"] == [2, 40, 24, 3]
    for size in ((40, 26), (8, 8)):
        with pytest.raises(UsageError, match="multiples of 4 from 16 up"):
            exported(painter, "keras", tmp_path / "other.keras", size=size)


@pytest.mark.parametrize(
    ("asked", "note"),
    [
        ({}, "1 image of 64x64 a call. For another use `size` and `batch`."),
        ({"batch": 2}, "2 images of 64x64 a call. For another use `size`."),
        ({"size": (32, 48)}, "1 image of 32x48 a call. For another use `batch`."),
        ({"size": (32, 48), "batch": 1}, None),
    ],
)
def test_what_litert_fixes_is_said(painter, asked, note):
    (network,) = exporting.painter_networks(painter, Request("litert", **asked))
    assert None not in (network.batch, *network.inputs[0].shape)
    assert [line.partition("takes ")[2] for line in network.notes] == [note] * bool(note)
    (network,) = exporting.painter_networks(painter, Request("onnx"))
    assert network.notes == ()


def test_images_of_ones_own_are_made_small_and_put_on_the_grid(painter, tmp_path):
    images = [drawn(701, 300), drawn(33, 18)]
    done = exported(painter, "keras", tmp_path / "painter.keras", images=images)
    assert done.images == 2
    shapes = [exporting._smaller(image).shape for image in images]
    assert shapes == [(256, 108, 3), (32, 16, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("form", EVERY_FORM)
def test_the_embedded_painter_reads_a_style_and_paints_in_it(form, tmp_path):
    bundle = open_model("magenta-style")
    asked = {"size": (96, 128)} if form == "litert" else {}
    done = exported(bundle, form, tmp_path / "magenta", **asked)
    suffix = FORMATS[form].suffix
    assert {"predict" + suffix, "transform" + suffix} <= set(left_in(done.path))
    image, look = drawn(96, 128), drawn(200, 256, seed=5)
    style = outputs(form, done.path / f"predict{suffix}", image=look[None])["style"]
    path = done.path / f"transform{suffix}"
    given = outputs(form, path, image=image[None], style=style)["picture"]
    read = np.asarray(bundle.build(network_name="predict")(look[None].astype(np.float32))["style"])
    itself = bundle.build(network_name="transform")
    expected = itself([image[None].astype(np.float32), read], training=False)["picture"]
    np.testing.assert_allclose(given, expected, atol=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_in_integers_the_painter_is_as_near_as_its_own_and_styles_are_read_in_float32(
    form, tmp_path
):
    done = export("magenta-style", tmp_path / "magenta", format=form, precision="int8")
    (found,) = done.int8
    assert 0 < found.export.mean < 1.3 * found.own.mean < 0.01
    said = {
        network: json.loads((done.path / f"{network}{FORMATS[form].suffix}.json").read_text())
        for network in ("predict", "transform")
    }
    assert [said[name]["precision"] for name in said] == ["float32", "int8"]
