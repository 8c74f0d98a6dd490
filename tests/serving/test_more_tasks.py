"""Faces, explanations and styles over HTTP: the rows of the commands, and their images."""

from __future__ import annotations

import base64

import pytest
from starlette.testclient import TestClient

import cnnkit
from cnnkit.commands.serve import open_tasks
from cnnkit.errors import ImageError
from cnnkit.images import decode
from cnnkit.images.encoded import EncodedImage
from cnnkit.isolation.decoders import Decoders
from cnnkit.runtime import RuntimeOptions
from cnnkit.serving.app import Limits, make_app
from cnnkit.serving.guards import Access
from tests.bundles.graphs.making import onnx_classifier
from tests.faces.astronauts import write_astronauts

MODELS = ["dlib-face", "magenta-style"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, examples):
    made = tmp_path_factory.mktemp("photos")
    write_astronauts(made, examples)
    return made


@pytest.fixture(scope="module")
def gallery(folder):
    with cnnkit.Gallery.create(folder / "team.gallery") as opened:
        opened.enroll([str(folder / "passport.jpg")], name="Eileen")
        yield opened


@pytest.fixture(scope="module")
def tiny(folder):
    """A network of one layer: occlusion runs it hundreds of times."""
    onnx_classifier(folder / "tiny.onnx")
    cnnkit.import_model(folder / "tiny.onnx", folder / "tiny", like="0-1")
    return folder / "tiny"


@pytest.fixture(scope="module")
def tasks(gallery, tiny):
    return open_tasks([*MODELS, str(tiny)], RuntimeOptions(), 10**7, gallery)


@pytest.fixture(scope="module")
def client(tasks):
    with Decoders(1) as decoders:  # as `cnnkit serve` does
        app = make_app(tasks, Limits(workers=2), Access(), decoders)
        with TestClient(app, base_url="http://localhost") as opened:
            yield opened


def pair(a, b):
    return {"a": ("a", a.read_bytes()), "b": ("b", b.read_bytes())}


def test_two_faces_are_compared_as_by_the_command(client, folder, examples):
    a, b = folder / "passport.jpg", folder / "selfie.jpg"
    expected = cnnkit.verify_images((a, b), threshold=0.5).row | {"a": "a", "b": "b"}
    answer = client.post("/v1/verify?threshold=0.5", files=pair(a, b))
    assert (answer.status_code, answer.json()) == (200, expected)
    failed = client.post("/v1/verify", files=pair(a, examples / "cat.jpg"))
    row = failed.json()
    assert (failed.status_code, row["a"], row["error"]["kind"]) == (422, "a", "no-face")
    assert row["error"]["message"].startswith("b: ")


def test_one_image_alone_is_no_pair(client, examples):
    answer = client.post("/v1/verify", content=(examples / "cat.jpg").read_bytes())
    assert (answer.status_code, answer.json()["b"]) == (415, "b")


def test_people_are_recognized_as_by_the_command(client, gallery, folder):
    rows = []
    cnnkit.identify(gallery, folder / "selfie.jpg", emit=rows.append)
    content = (folder / "selfie.jpg").read_bytes()
    answer = client.post("/v1/identify", content=content)
    assert answer.json() == rows[0] | {"path": "image"}
    assert answer.json()["names"] == ["Eileen"]
    strict = client.post("/v1/identify?threshold=0.01", content=content).json()
    assert strict["names"] == ["unknown"]
    assert client.post("/v1/identify?threshold=-1", content=content).status_code == 400
    assert client.post("/v1/identify", content=content).json() == answer.json()


def test_an_explanation_is_the_row_of_the_command_and_its_overlay(client, examples, tiny, tmp_path):
    rows = []
    options = {"model": tiny, "method": "occlusion", "class_name": "class_1"}
    cnnkit.explain(examples / "cat.jpg", **options, overlays=tmp_path, size=64, emit=rows.append)
    overlay = rows[0].pop("overlay")
    content = (examples / "cat.jpg").read_bytes()
    address = "/v1/explain?method=occlusion&class=class_1&size=64"
    row = client.post(address, content=content).json()
    url = row.pop("overlay")
    assert row == rows[0] | {"path": "image"}
    with open(overlay, "rb") as file:
        assert base64.b64decode(url.removeprefix("data:image/jpeg;base64,")) == file.read()
    image = client.post(address, content=content, headers={"Accept": "image/jpeg"})
    assert image.headers["content-type"] == "image/jpeg"
    assert max(decode(image.content).shape) == 64
    for query, said in (
        ("method=gradients", "grad-cam or occlusion"),
        ("method=occlusion&class=clas_1", "class_1"),
    ):
        refused = client.post(f"/v1/explain?{query}", content=content)
        assert refused.status_code == 400 and said in refused.json()["error"]["message"]


def test_a_photo_is_stylized_as_by_the_command(client, examples, tmp_path):
    rows = []
    cat, coffee = examples / "cat.jpg", examples / "coffee.jpg"
    cnnkit.stylize(
        cat, styles=[coffee], fast=True, size=96, output=tmp_path / "x.jpg", emit=rows.append
    )
    files = {"image": ("a", cat.read_bytes()), "style": ("b", coffee.read_bytes())}
    row = client.post("/v1/stylize?size=96", files=files).json()
    assert list(row) == list(rows[0])
    assert (row["path"], row["width"], row["height"]) == ("image", 96, rows[0]["height"])
    content = base64.b64decode(row["output"].partition(",")[2])
    assert content == (tmp_path / "x.jpg").read_bytes()
    for form, query, said in (
        ({"image": files["image"]}, "", "the parts image, style"),
        (files, "?size=5000", "size must lie between 16 and 2048"),
        (files, "?strength=2", "strength must lie between 0 and 1"),
    ):
        refused = client.post(f"/v1/stylize{query}", files=form)
        assert refused.status_code == 400 and said in refused.json()["error"]["message"]
    for content, status, kind, said in (
        (b"no image", 415, "not-an-image", "style: the content is text, no image"),
        (coffee.read_bytes()[:900], 422, "truncated", "style: the JPEG file ends early"),
    ):
        refused = client.post("/v1/stylize", files=files | {"style": ("b", content)})
        assert refused.status_code == status
        assert refused.json()["error"] == {"kind": kind, "message": said}


class Deadly(EncodedImage):
    """An image whose decoder dies."""

    def decoded(self, work):
        raise ImageError("crashed", "it died")


def test_a_style_that_ends_its_decoder_is_no_mistake_of_the_request(tasks, examples):
    [task] = [task for task in tasks if task.name == "stylize"]
    images = {"image": (examples / "cat.jpg").read_bytes(), "style": Deadly()}
    error = task.models[0].answer(images, {}).row["error"]
    assert error == {"kind": "crashed", "message": "style: it died"}
