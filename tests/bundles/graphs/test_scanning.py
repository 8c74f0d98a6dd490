"""Files of graphs as bytes: recognized by content, bounded, and refused where they are hostile."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.scanning import form_of, scan
from cnnkit.bundles.graphs.wire import WireError, fields
from cnnkit.bundles.importing import Import
from cnnkit.errors import BundleError, UsageError
from tests.bundles.graphs.making import (
    onnx_classifier,
    onnx_of_nodes,
    openvino_classifier,
    tflite_classifier,
    tflite_metadata,
)

WEIGHTS_ALONE = struct.pack("<Q", 40) + b'{"a":{"dtype":"F32"'


def test_a_form_is_known_by_its_content(tmp_path: Path) -> None:
    assert form_of(onnx_classifier(tmp_path / "a.keras")) == "onnx"
    assert form_of(tflite_classifier(tmp_path / "b.onnx")) == "tflite"
    openvino_classifier(tmp_path / "c.xml").rename(tmp_path / "c.txt")
    assert form_of(tmp_path / "c.txt") == "openvino"
    (tmp_path / "saved").mkdir()
    assert form_of(tmp_path / "saved") is None
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    assert form_of(tmp_path / "saved") == "saved-model"
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" * 10)
    assert form_of(tmp_path / "photo.jpg") is None


@pytest.mark.parametrize(
    ("name", "content", "received"),
    [
        ("a.onnx", b"", "an empty file"),
        ("a.onnx", b"\x80\x04\x95rest", "a pickle, which can hold code"),
        ("a.tflite", b"PK\x03\x04rest", "a zip archive"),
        ("a.onnx", b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (
            "a.xml",
            b"<svg></svg>",
            "other bytes, beginning with 3c 73 76 67. Export the model",
        ),
        ("a.pt", b"PK\x03\x04rest", "a checkpoint of PyTorch, which can hold code. Export it to"),
        ("a.bin", b"PK\x03\x04" + b"\0" * 26 + b"archive/data.pkl", "a checkpoint of PyTorch"),
        ("a.safetensors", WEIGHTS_ALONE, "weights in safetensors, without a network. Export it"),
        ("a.safetensors", b"rest", "other bytes, .* Export it to ONNX where it was made: yolo"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "a JPEG image. Export the model to ONNX"),
        ("a.hdf5", b"\x89HDF", "an HDF5 file. Save it again"),
        ("a.weights", b"rest", "other bytes, .* A Darknet model needs no import"),
    ],
)
def test_what_is_not_its_suffix_is_refused(
    tmp_path: Path, name: str, content: bytes, received: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refused = pytest.raises(BundleError, match=rf"{name} must be an? .*Received: {received}")
    with refused:
        open_model(tmp_path / name)
    with refused:
        scan(tmp_path / name)


def test_a_keras_file_needs_no_import(tmp_path: Path) -> None:
    (tmp_path / "a.keras").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(BundleError, match=r"a zip archive\. A \.keras file needs no import"):
        scan(tmp_path / "a.keras")


@pytest.mark.parametrize("prefix", ["timm:resnet18", "hf:google/vit", "keras-hub:resnet_18"])
def test_a_model_elsewhere_is_to_be_exported(prefix: str) -> None:
    with pytest.raises(UsageError, match="Export it to ONNX"):
        open_model(prefix)
    with pytest.raises(UsageError, match="Export it to ONNX"):
        Import(Path(prefix), GraphWish())


# --- ONNX ----------------------------------------------------------------------------------


def test_metadata_are_read(tmp_path: Path) -> None:
    path = onnx_classifier(tmp_path / "m.onnx", metadata={"names": "{0: 'a'}", "task": "classify"})
    assert scan(path).metadata == {"names": "{0: 'a'}", "task": "classify"}


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_torn_file_is_refused(tmp_path: Path, share: float) -> None:
    path = onnx_classifier(tmp_path / "m.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match=r"m\.onnx must be an ONNX file.*truncated or broken"):
        scan(path)


def external(path: Path, location: str, inside: bool = False) -> Path:
    """Write a network whose weights lie in another file, perhaps inside an attribute."""
    import onnx
    from onnx import helper

    tensor = onnx.TensorProto(name="w", data_type=1, dims=[8], data_location=1)
    tensor.external_data.add(key="location", value=location)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    if not inside:
        return onnx_of_nodes(path, [add], [tensor])
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    return onnx_of_nodes(path, [constant, add], [])


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "a/b", "..", "", "a\\b", "link", "missing"]
)
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str, inside: bool) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    path = external(tmp_path / "m.onnx", location, inside)
    with pytest.raises(BundleError, match=r"must (keep its weights in its|have its weights)"):
        scan(path)


def test_weights_in_the_same_folder_belong_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "w.data").write_bytes(np.arange(8, dtype=np.float32).tobytes())
    path = external(tmp_path / "m.onnx", "w.data")
    first = scan(path)
    assert [part.name for part in first.parts] == ["m.onnx", "w.data"]
    (tmp_path / "w.data").write_bytes(np.zeros(8, np.float32).tobytes())
    assert scan(path).sha256 != first.sha256


def test_messages_without_end_are_refused(tmp_path: Path) -> None:
    def field(number: int, content: bytes) -> bytes:
        return _varint(number << 3 | 2) + _varint(len(content)) + content

    graph = b""
    for _ in range(40):  # graphs inside attributes of nodes inside graphs
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "deep.onnx").write_bytes(b"\x08\x08" + field(7, graph))
    with pytest.raises(BundleError, match="must nest at most"):
        scan(tmp_path / "deep.onnx")


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


@pytest.mark.parametrize(
    "content", [b"\x0a\x7f", b"\xff" * 11, b"\x00\x01", b"\x0b", b"\x09\x00", b"\x0a"]
)
def test_bytes_that_are_no_message_are_refused(content: bytes) -> None:
    with pytest.raises(WireError):
        list(fields(memoryview(content)))


# --- TFLite --------------------------------------------------------------------------------


def packed(path: Path, **members: bytes) -> Path:
    """Append an archive, as TFLite's metadata writer does."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name.replace("_txt", ".txt"), content)
    with path.open("ab") as file:
        file.write(archive.getvalue())
    return path


def test_metadata_and_labels_of_a_tflite_file_are_read(tmp_path: Path) -> None:
    said = tflite_metadata([127.5], [128.0], "labels.txt")
    path = packed(
        tflite_classifier(tmp_path / "m.tflite", metadata=said),
        labels_txt=b"cat\ndog\nbird\n",
        other_txt=b"no labels\n",
    )
    found = scan(path)
    assert found.labels == ("cat", "dog", "bird")
    assert found.metadata == {
        "tflite.mean": "127.5",
        "tflite.std": "128",
        "tflite.colors": "RGB",
    }


def test_a_custom_operation_of_tflite_is_refused(tmp_path: Path) -> None:
    path = tflite_classifier(tmp_path / "m.tflite", custom="FlexEvil")
    with pytest.raises(BundleError, match=r"own operations\. Received: the .*'FlexEvil'"):
        scan(path)


def test_an_archive_that_unpacks_without_bound_is_refused(tmp_path: Path) -> None:
    path = packed(tflite_classifier(tmp_path / "m.tflite"), labels_txt=b"\n" * (17 << 20))
    with pytest.raises(BundleError, match="must pack files of at most"):
        scan(path)
    many = {f"l{number}_txt": b"x" for number in range(70)}
    path = packed(tflite_classifier(tmp_path / "n.tflite"), **many)
    with pytest.raises(BundleError, match="must pack at most 64 files"):
        scan(path)


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    path = packed(tflite_classifier(tmp_path / "m.tflite"), labels_txt=b"cat\ndog\n" * 9)
    content = bytearray(path.read_bytes())
    content[content.index(b"labels.txt") + len("labels.txt")] = 0xFF
    path.write_bytes(content)
    with pytest.raises(BundleError, match="must pack its labels in a whole archive"):
        scan(path)


def test_labels_that_turn_the_text_are_refused(tmp_path: Path) -> None:
    path = packed(tflite_classifier(tmp_path / "m.tflite"), labels_txt="a\n\u202eb\nc\n".encode())
    with pytest.raises(BundleError, match=r"U\+202E"):
        scan(path)


@pytest.mark.parametrize("position", range(0, 200, 4))
def test_offsets_that_lead_anywhere_are_refused_or_harmless(tmp_path: Path, position: int) -> None:
    path = tflite_classifier(tmp_path / "m.tflite", metadata=tflite_metadata([0], [1], "l.txt"))
    content = bytearray(path.read_bytes())
    if content[4:8] == content[position : position + 4]:
        return
    struct.pack_into("<I", content, position, 0x7FFFFFF0)
    path.write_bytes(content)
    try:
        scan(path)
    except BundleError as error:
        assert "must be a TFLite file" in str(error)


# --- OpenVINO ------------------------------------------------------------------------------


def test_what_an_openvino_model_says_is_read(tmp_path: Path) -> None:
    path = openvino_classifier(tmp_path / "m.xml", {"labels": "a b", "mean_values": "1 2 3"})
    found = scan(path).metadata
    assert (found["model_info/labels"], found["model_info/mean_values"]) == ("a b", "1 2 3")


BOMB = """<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<net name="&b;"><layers></layers></net>"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('type="ReduceMean" version="opset1"', 'type="Evil" version="extension"', "'Evil' of 'ext"),
        ('offset="0" size="', 'offset="999999" size="', "take its weights from the"),
        ('offset="0" size="', 'offset="-9" size="', "take its weights from the"),
        ('offset="0"', 'offset="x"', "say where its weights are"),
        ("</layers>", "", "must be an OpenVINO model"),
    ],
)
def test_a_hostile_openvino_model_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = openvino_classifier(tmp_path / "m.xml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BundleError, match=message):
        scan(path)


def test_entities_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text(BOMB)
    with pytest.raises(BundleError, match="must hold no document type"):
        scan(tmp_path / "m.xml")


def test_layers_nested_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<net >" + "<a>" * 100 + "</a>" * 100 + "</net>")
    with pytest.raises(BundleError, match="must nest at most"):
        scan(tmp_path / "m.xml")


# --- SavedModel ----------------------------------------------------------------------------


def test_links_out_of_a_saved_model_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    scan(folder)
    (folder / "variables" / "variables.index").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="must keep its files in its own folder"):
        scan(folder)


def test_a_saved_model_of_other_bytes_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"\x0a\xff\xff\xff\xff\x0f")
    with pytest.raises(BundleError, match="must be a SavedModel's graph"):
        scan(folder)
