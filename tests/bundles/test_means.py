"""The file of mean activations: what is written is read, what is foreign is refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save

from cnnkit.bundles import embedded_folder, embedded_names, means, open_model
from cnnkit.bundles.card import file_sha256
from cnnkit.bundles.means import read_means, write_means
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
