"""What --model may name, and what is refused: tampered, truncated, oversized, foreign."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest

from cnnkit.bundles import embedded_folder, embedded_names, open_model
from cnnkit.errors import BundleError, UsageError


@pytest.fixture
def squeezenet(tmp_path):
    """A copy of an embedded bundle to tamper with."""
    return shutil.copytree(embedded_folder("squeezenet-1.1"), tmp_path / "own")


def edit(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    card.update(changes)
    (folder / "card.json").write_text(json.dumps(card))


def test_an_embedded_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "squeezenet-1.1").mkdir()
    assert open_model("squeezenet-1.1").card.name == "squeezenet-1.1"
    with pytest.raises(BundleError, match=r"must be a bundle with a card\.json"):
        open_model("./squeezenet-1.1")


def test_a_copied_bundle_answers_like_the_embedded_one(squeezenet):
    assert open_model(str(squeezenet)).identity == open_model("squeezenet-1.1").identity


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("eficientnet-lite0", "Did you mean 'efficientnet-lite0'"),
        ("nowhere/at/all", "Own bundles: give the folder's path"),
        ("keras:MobileNetV9", "Did you mean"),
    ],
)
def test_an_unknown_name_is_helped(model, message):
    with pytest.raises(UsageError, match=message):
        open_model(model)


def test_the_message_has_the_callers_own_name_and_words():
    with pytest.raises(UsageError, match=r"^`backbone` must name .*Did you mean 'auto'"):
        open_model("aut", parameter="backbone", words=("auto",))
    with pytest.raises(UsageError, match=r"^`detector` must be a file on this machine"):
        open_model("hf:a/b", parameter="detector")


def test_weights_go_with_keras_names_only():
    with pytest.raises(UsageError, match="`weights` requires `model='keras:NAME'`"):
        open_model("squeezenet-1.1", weights="w.h5")


def test_changed_weights_are_refused(squeezenet):
    path = squeezenet / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="must have the sha256 of its card"):
        open_model(str(squeezenet))


def test_changed_labels_are_refused(squeezenet):
    path = squeezenet / "labels.txt"
    path.write_text(path.read_text().replace("goldfish", "silverfish", 1))
    with pytest.raises(BundleError, match="sha256"):
        open_model(str(squeezenet))


def without_hash(folder, **changes):
    weights = {"file": "weights.safetensors"}
    edit(folder, weights=weights, **changes)
    return open_model(str(folder))


def test_truncated_weights_are_refused(squeezenet):
    path = squeezenet / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BundleError, match=r"weights\.safetensors.*truncated"):
        without_hash(squeezenet).build()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 4, b"\xff" * 100, b"PK\x03\x04" + b"\x00" * 100, b"\x80\x04." + b"\x00" * 50],
)
def test_what_is_no_safetensors_file_is_refused(squeezenet, content):
    (squeezenet / "weights.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match="must be a safetensors file"):
        without_hash(squeezenet).build()


def test_a_header_that_claims_terabytes_is_refused(squeezenet):
    header = json.dumps(
        {"conv1/kernel": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    ).encode()
    (squeezenet / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(BundleError, match="truncated"):
        without_hash(squeezenet).build()


def test_weights_of_another_network_are_refused(squeezenet):
    other = embedded_folder("efficientnet-lite0") / "weights.safetensors"
    shutil.copy(other, squeezenet / "weights.safetensors")
    with pytest.raises(BundleError, match="must hold the weight"):
        without_hash(squeezenet).build()


def test_weights_that_are_not_finite_are_refused(squeezenet):
    from safetensors.numpy import load_file, save_file

    path = squeezenet / "weights.safetensors"
    tensors = load_file(path)
    tensors["conv1/kernel"][0] = np.nan
    save_file(tensors, path)
    with pytest.raises(BundleError, match="must be finite"):
        without_hash(squeezenet).build()


def test_an_unknown_architecture_is_refused(squeezenet):
    edit(squeezenet, architecture={"builder": "os.system", "arguments": {}})
    with pytest.raises(UsageError, match="architecture must be a known name"):
        open_model(str(squeezenet)).build()


def test_an_argument_that_the_builder_has_not_is_refused(squeezenet):
    edit(squeezenet, architecture={"builder": "squeezenet-1.1", "arguments": {"width": 3}})
    with pytest.raises(BundleError, match="architecture is refused"):
        open_model(str(squeezenet)).build()


CLASSIFIERS = [n for n in embedded_names() if open_model(n).card.task == "classify"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "efficientnet-lite3" else ())
        for name in CLASSIFIERS
    ],
)
def test_features_stand_beside_the_scores(name):
    bundle = open_model(name)
    model = bundle.build(features=True)
    image = np.full((1, bundle.card.input.height, bundle.card.input.width, 3), 100, np.float32)
    outputs = model(image)
    assert set(outputs) == {"scores", "features"}
    assert outputs["scores"].shape == (1, 1000)
    assert outputs["features"].shape == (1, 512 if name == "squeezenet-1.1" else 1280)


def test_the_identity_depends_on_what_the_answers_depend_on(squeezenet):
    before = open_model(str(squeezenet)).identity
    edit(squeezenet, description="Another text.")
    assert open_model(str(squeezenet)).identity == before
    edit(squeezenet, outputs={"scores": {"layer": "pool10", "kind": "logits"}})
    assert open_model(str(squeezenet)).identity != before


def test_a_legacy_file_is_refused(tmp_path):
    path = tmp_path / "old.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(BundleError, match=r"Received: a legacy \.h5 file"):
        open_model(str(path))


def test_a_zip_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(BundleError, match=r"without config\.json"):
        open_model(str(path))


def test_an_embedded_name_is_found_in_another_spelling() -> None:
    assert open_model("SqueezeNet1_1").card.name == "squeezenet-1.1"
