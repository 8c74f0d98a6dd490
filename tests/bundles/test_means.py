"""Mean activations and rounding bits: what is written is read, what is foreign is refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save

from cnnkit.bundles import embedded_folder, embedded_names, means, open_model
from cnnkit.bundles.card import file_sha256
from cnnkit.bundles.means import read_bits, read_means, write_means
from cnnkit.errors import BundleError

MEANS = {"one/a/kernel": np.float32([1, -2]), "two/b/kernel": np.float32([3])}


def test_the_means_of_a_network_come_back_by_its_own_names(tmp_path):
    entry = write_means(MEANS, tmp_path)
    found = read_means(tmp_path / entry["file"], entry["sha256"], "one/")
    assert {name: list(values) for name, values in found.items()} == {"a/kernel": [1, -2]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (save({"a/kernel": np.ones((2, 2), np.float32)}), "must have one mean for each channel"),
        (save({"a/kernel": np.float32([np.nan])}), "must be finite"),
        (b"no tensors", "must be a safetensors file"),
    ],
)
def test_a_file_of_something_else_is_refused(content, message, tmp_path):
    path = tmp_path / "int8.safetensors"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=message):
        read_means(path, file_sha256(path))


def test_another_file_and_a_large_one_are_refused_before_they_are_read(tmp_path, monkeypatch):
    entry = write_means(MEANS, tmp_path)
    path = tmp_path / entry["file"]
    with pytest.raises(BundleError, match="must have the sha256 of its card"):
        read_means(path, "0" * 64)
    monkeypatch.setattr(means, "MAX_BYTES", 10)
    with pytest.raises(BundleError, match="must have at most 10 bytes"):
        read_means(path, entry["sha256"])


@pytest.mark.parametrize("name", [n for n in embedded_names() if open_model(n).card.ranges])
def test_an_embedded_model_with_ranges_has_the_means_of_the_same_layers(name):
    card = open_model(name).card
    path = embedded_folder(name) / card.means["file"]
    assert set(read_means(path, card.means["sha256"])) == set(card.ranges)


WEIGHTS = {"one/a/kernel": np.ones((3, 1, 1, 4), np.float32), "two/b/kernel": np.ones((1, 1))}
BITS = {"one/a/kernel": np.uint8([0b10000001, 0b01000000])}


def weights_file(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(save(WEIGHTS))
    return path, {"sha256": file_sha256(path)}


def test_the_bits_of_a_network_come_back_by_its_own_names_beside_its_means(tmp_path):
    weights, entry = weights_file(tmp_path)
    written = write_means(MEANS, tmp_path, BITS, entry["sha256"])
    path, sha256 = tmp_path / written["file"], written["sha256"]
    found = read_bits(path, sha256, weights, entry, "one/")
    assert {name: list(values) for name, values in found.items()} == {"a/kernel": [129, 64]}
    assert read_bits(path, sha256, weights, entry, "two/") == {}
    assert set(read_means(path, sha256)) == set(MEANS)


def test_a_file_of_means_alone_has_no_bits(tmp_path):
    weights, entry = weights_file(tmp_path)
    written = write_means(MEANS, tmp_path)
    assert read_bits(tmp_path / written["file"], written["sha256"], weights, entry) == {}


@pytest.mark.parametrize(
    ("name", "bits", "message"),
    [
        ("one/a/kernel", np.zeros(1, np.uint8), r"must be uint8 \(2,\), a bit for each weight"),
        ("one/a/kernel", np.zeros(3, np.uint8), r"Received: uint8 \(3,\)"),
        ("one/a/kernel", np.zeros((2, 1), np.uint8), r"Received: uint8 \(2, 1\)"),
        ("one/a/kernel", np.zeros(2, np.float32), r"Received: float32 \(2,\)"),
        ("one/a/kernel", np.zeros(0, np.uint8), r"Received: uint8 \(0,\)"),
        ("no/kernel", np.zeros(2, np.uint8), r"must be uint8 \(1,\)"),
    ],
)
def test_bits_that_are_not_one_for_each_weight_are_refused(name, bits, message, tmp_path):
    weights, entry = weights_file(tmp_path)
    written = write_means(MEANS, tmp_path, {name: bits}, entry["sha256"])
    with pytest.raises(BundleError, match=message) as at:
        read_bits(tmp_path / written["file"], written["sha256"], weights, entry)
    assert "\n" not in str(at.value)


@pytest.mark.parametrize("of", ["0" * 64, ""])
def test_the_bits_of_other_weights_are_refused(of, tmp_path):
    weights, entry = weights_file(tmp_path)
    written = write_means(MEANS, tmp_path, BITS, of)
    with pytest.raises(BundleError, match=r"must hold the rounding bits of weights\.safetensors"):
        read_bits(tmp_path / written["file"], written["sha256"], weights, entry)


def test_the_bits_of_a_file_without_their_origin_are_refused(tmp_path):
    weights, entry = weights_file(tmp_path)
    path = tmp_path / "int8.safetensors"
    path.write_bytes(save({f"one/a/kernel{means.BITS}": BITS["one/a/kernel"]}))
    with pytest.raises(BundleError, match="Received: those of another, 'none'"):
        read_bits(path, file_sha256(path), weights, entry)
    with pytest.raises(BundleError, match="must have the sha256 of its card"):
        read_bits(path, "0" * 64, weights, entry)
    assert read_means(path, file_sha256(path)) == {}


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite3"])
def test_an_efficientnet_has_a_bit_for_each_weight_of_the_same_layers(name):
    source = open_model(name).source()
    assert set(source.quantization.bits()) == set(source.quantization.ranges)
