"""Face models exported: the embedder, and the three networks of the finder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cnnkit.architectures import builder
from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.card import parse_card
from cnnkit.errors import UsageError
from cnnkit.exporting import FORMATS, CheckFailedError, Request, export_model, writing
from cnnkit.faces import FaceDetector, exporting
from cnnkit.images import decode, read_bytes
from cnnkit.runtime import RuntimeOptions, building_defaults
from tests.architectures.builder_checks import spread_weights
from tests.exporting.running import EVERY_FORM, left_in, only_fast, outputs

IN_PROCESS = RuntimeOptions(runtime="tensorflow", device="cpu", precision="float32")
PARTS = ("output", "proposal", "refinement")


def small_embedder(alignment: str) -> Bundle:
    """Return an embedder of random weights, 30 x 30 pixels to 4 numbers."""
    arguments = {"input_shape": [30, 30, 3], "dimensions": 4}
    content = {
        "schema_version": 1,
        "name": "small",
        "task": "embed-face",
        "architecture": {"builder": "embedding-small", "arguments": arguments},
        "input": {"height": 30, "width": 30, "fit": "stretch", "interpolation": "bilinear"},
        "outputs": {"embedding": {"layer": "embedding"}},
        "classes": 0,
        "verification": {"alignment": alignment, "threshold": 0.7, "steepness": 9.0},
    }
    with building_defaults():
        network = spread_weights(builder("embedding-small")((30, 30, 3), 4))
    return Bundle(parse_card(content), (), "identity", lambda name: network, {})


@pytest.fixture(scope="module")
def images(examples):
    return [decode(read_bytes(str(examples / "astronaut.jpg")))[:240, 100:340]]


@pytest.mark.parametrize("alignment", ["five-points", "none"])
def test_the_embedder_and_how_a_face_gets_into_it(alignment, tmp_path, images):
    bundle = small_embedder(alignment)
    networks = exporting.embedder_networks(bundle, Request("keras", images=images))
    done = export_model(bundle, networks, "keras", tmp_path / "small.keras")
    assert done.images == 1 and done.difference < 1e-5
    image = np.random.default_rng(0).integers(0, 256, (2, 30, 30, 3), np.uint8)
    given = outputs("keras", done.path, image=image)["embedding"]
    expected = bundle.build()(image.astype(np.float32), training=False)["embedding"]
    np.testing.assert_allclose(given, expected, atol=1e-5)
    content = json.loads(done.description.read_text("utf-8"))
    (entry,) = content["inputs"]
    assert content["verification"] == {"metric": "euclidean", "threshold": 0.7, "steepness": 9.0}
    if alignment == "none":
        assert entry["fit"] == "stretch" and "landmarks" not in entry
    else:  # a chip of 150 made five times smaller
        assert entry["landmarks"]["x_y"][0] == pytest.approx((9.5132, 9.3198), abs=1e-3)


def test_an_embedder_is_not_checked_on_images_without_a_face(tmp_path):
    bundle, blank = small_embedder("five-points"), np.zeros((80, 80, 3), np.uint8)
    networks = exporting.embedder_networks(bundle, Request("keras", images=[blank]))
    with pytest.raises(UsageError, match="show a face"):
        export_model(bundle, networks, "keras", tmp_path / "small.keras")
    assert left_in(tmp_path) == []


def finder(form, folder, overwrite=False, **asked):
    bundle = open_model("mtcnn")
    networks = exporting.finder_networks(bundle, Request(form, **asked))
    return export_model(bundle, networks, form, folder / "finder", overwrite=overwrite)


def swapped(form, folder, batch: int | None = None) -> FaceDetector:
    """Return the finder with the exported networks in the place of its own."""

    class Exported:
        def __init__(self, name):
            self.path = folder / f"{name}{FORMATS[form].suffix}"

        def predict(self, images):
            step = batch or len(images)
            given = [self.call(images[at : at + step]) for at in range(0, len(images), step)]
            return {name: np.concatenate([one[name] for one in given]) for name in given[0]}

        def call(self, images):
            missing = (batch or len(images)) - len(images)
            filled = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
            given = outputs(form, self.path, image=filled)
            return {name: values[: len(images)] for name, values in given.items()}

    detector = FaceDetector(open_model("mtcnn"), options=IN_PROCESS)
    for name in PARTS:
        setattr(detector._finder, f"_{name}", Exported(name))
    return detector


@pytest.mark.parametrize("form", only_fast())
def test_the_three_networks_find_the_astronauts_face(form, tmp_path, images):
    done = finder(form, tmp_path, images=images)
    assert left_in(tmp_path) == ["finder"] and len(done.descriptions) == 3
    (found,) = swapped(form, done.path).find(images[0])
    (own,) = FaceDetector(open_model("mtcnn"), options=IN_PROCESS).find(images[0])
    np.testing.assert_allclose(found.xyxy, own.xyxy, atol=0.01)
    np.testing.assert_allclose(found.landmarks, own.landmarks, atol=0.01)
    content = json.loads((done.path / f"proposal{FORMATS[form].suffix}.json").read_text())
    assert content["inputs"][0]["shape"] == [None, None, None, 3]
    assert content["model"]["network"] == "proposal"
    assert content["cascade"]["order"] == ["proposal", "refinement", "output"]


@pytest.mark.parametrize("form", only_fast())
def test_in_batches_that_are_filled_up_they_find_it_too(form, tmp_path, images):
    networks = exporting.finder_networks(open_model("mtcnn"), Request(form, batch=4))
    [note] = [note for network in networks for note in network.notes]
    assert "With `batch=4` the proposal network takes 4 images of one size a call" in note
    done = finder(form, tmp_path, images=images, batch=4)
    (found,) = swapped(form, done.path, batch=4).find(images[0])
    (own,) = FaceDetector(open_model("mtcnn"), options=IN_PROCESS).find(images[0])
    np.testing.assert_allclose(found.xyxy, own.xyxy, atol=0.01)


@pytest.mark.slow
def test_a_folder_of_networks_is_replaced_only_by_its_like(tmp_path, images):
    done = finder("keras", tmp_path, size=(60, 80), images=images)
    names = left_in(done.path)
    assert names == sorted(f"{part}.keras{end}" for part in PARTS for end in ("", ".json"))
    content = json.loads((done.path / "proposal.keras.json").read_text())
    assert content["inputs"][0]["shape"] == [None, 60, 80, 3]
    bundle = open_model("mtcnn")
    networks = exporting.finder_networks(bundle, Request("openvino"))
    with pytest.raises(UsageError, match="exists already"):
        export_model(bundle, networks, "openvino", done.path)
    (done.path / "holiday.jpg").write_text("dear")
    with pytest.raises(UsageError, match="free, or to an earlier export"):
        export_model(bundle, networks, "openvino", done.path, overwrite=True)
    assert left_in(done.path) == sorted([*names, "holiday.jpg"])


@pytest.mark.slow
def test_a_fault_in_the_last_network_leaves_no_file_of_any(tmp_path, monkeypatch):
    """An earlier export stays as it was."""

    def faulty(model, form, path):
        if path.stem == "output":
            last = model.weights[-1]
            last.assign(last + 0.1 * np.arange(last.shape[0], dtype=np.float32))
        convert(model, form, path)

    convert = writing.convert
    monkeypatch.setattr(writing, "convert", faulty)
    with pytest.raises(CheckFailedError, match=r"output\.keras: \w+ must differ by at most"):
        finder("keras", tmp_path)
    assert left_in(tmp_path) == []
    (tmp_path / "finder").mkdir()
    (tmp_path / "finder" / "output.onnx").write_text("earlier")
    with pytest.raises(CheckFailedError):
        finder("keras", tmp_path, overwrite=True)
    assert (tmp_path / "finder" / "output.onnx").read_text() == "earlier"
    monkeypatch.setattr(writing, "convert", convert)
    finder("keras", tmp_path, overwrite=True)
    assert left_in(tmp_path / "finder")[0] == "output.keras"


def test_a_model_of_several_networks_is_no_file(tmp_path):
    bundle = open_model("mtcnn")
    networks = exporting.finder_networks(bundle, Request("onnx"))
    with pytest.raises(UsageError, match=r"model of 3 networks.*`format='onnx'`"):
        export_model(bundle, networks, "onnx", tmp_path / "mtcnn.onnx")
    with pytest.raises(UsageError, match="at least 12"):
        exporting.finder_networks(bundle, Request("onnx", size=(8, 40)))


@pytest.mark.parametrize("form", only_fast("keras"))
def test_the_one_network_of_yunet_is_one_file(form, tmp_path, images):
    bundle = open_model("yunet")
    path = tmp_path / f"finder{FORMATS[form].suffix}"
    networks = exporting.finder_networks(bundle, Request(form, images=images))
    done = export_model(bundle, networks, form, path)
    assert done.difference < 1e-3
    content = json.loads(done.descriptions[0].read_text())
    assert content["inputs"][0]["shape"] == [None, None, None, 3]
    assert [output["name"] for output in content["outputs"]] == ["stride8", "stride16", "stride32"]
    assert (
        content["finder"]["min_score"] == FaceDetector(bundle, options=IN_PROCESS).search.min_score
    )
    sizes = [sample["image"].shape for sample in exporting._frames(Request(form, images=images))]
    assert sizes == [(1, 256, 256, 3)]
    with pytest.raises(UsageError, match=r"multiples of 32\. Received: 60x64"):
        exporting.finder_networks(bundle, Request(form, size=(60, 64)))


@pytest.mark.slow
@pytest.mark.parametrize("form", EVERY_FORM)
def test_the_embedded_embedder_in_every_form(form, tmp_path, images):
    bundle = open_model("dlib-face")
    networks = exporting.embedder_networks(bundle, Request(form, images=images))
    done = export_model(bundle, networks, form, tmp_path / f"face{FORMATS[form].suffix}")
    assert done.difference < 1e-4
