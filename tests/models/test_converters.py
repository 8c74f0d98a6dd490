"""The converters write what the cards and goldens say, and agree with the originals."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.convert import artifacts, conversion, golden
from models.convert.bundle_writer import read_card, write_bundle
from models.convert.conversion import SOURCES
from models.convert.images import prepared_image
from models.convert.measure import ROUNDING, MeasureError, labeled_photos, measured_figures
from models.convert.rounding import rounded_arrays
from models.convert.source import Source
from models.convert.variables import VariablesError, network_with, require_close

ROOT = Path(__file__).resolve().parents[2]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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


# === Goldens and images ===


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


def test_images_are_cropped_or_stretched(tmp_path: Path) -> None:
    from PIL import Image

    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255  # the middle third is white
    Image.fromarray(wide).save(tmp_path / "wide.png")
    rule = {"height": 40, "width": 40, "fit": "crop", "crop_fraction": 0.8}
    cropped = prepared_image(tmp_path / "wide.png", rule | {"interpolation": "bicubic"})
    assert cropped.shape == (40, 40, 3) and cropped.min() == 255
    stretch = rule | {"fit": "stretch", "interpolation": "lanczos"}
    stretched = prepared_image(tmp_path / "wide.png", stretch)
    assert stretched.shape == (40, 40, 3)
    assert stretched.mean() == pytest.approx(255 / 3, rel=0.02)


# === The command ===


@pytest.mark.slow
def test_a_failed_conversion_is_one_line_and_status_2(tmp_path: Path) -> None:
    source = SOURCES["squeezenet-1.1"]
    before = {path.name: sha256(path.read_bytes()) for path in source.bundle.iterdir()}
    (tmp_path / source.artifact.file).write_bytes(b"something else")
    done = subprocess.run(
        [sys.executable, "-m", "models.convert", source.name, "--cache", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{source.artifact.file} must have the sha256 a87c0bd2" in done.stderr.splitlines()[-1]
    after = {path.name: sha256(path.read_bytes()) for path in source.bundle.iterdir()}
    assert after == before


def test_measuring_needs_labeled_photos(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"--data must be a folder with labels\.csv"):
        labeled_photos(tmp_path, SOURCES["squeezenet-1.1"])


# === Against the originals ===


def fetched(source: Source, tmp_path: Path) -> tuple[Path, bytes]:
    """The artifact, from the folder of earlier downloads where it is there."""
    known = ROOT / ".artifacts"
    cache = known if (known / source.artifact.file).exists() else tmp_path
    path = artifacts.fetch(source.artifact, cache)
    return path, artifacts.read_member(source.artifact, path)


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
    write_bundle(source, source.stored(member))
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
    pixels = np.stack([prepared_image(photo, source.card["input"]) for photo in photos])
    original = source.original_logits(path, member, pixels)
    network = network_with(source.name, source.read_arrays(member))
    converted = network.predict(pixels.astype(np.float32), verbose=0)
    np.testing.assert_allclose(converted, original, rtol=0, atol=1e-4)


@pytest.mark.peer
@each_source
def test_the_card_tells_what_is_measured(source: Source, tmp_path: Path, test_data: Path) -> None:
    """Measuring fails where rounding changes the first class of a photo."""
    path, _ = fetched(source, tmp_path)
    pixels, classes = labeled_photos(test_data / "imagenet200", source)
    figures = measured_figures(source, pixels, classes, path.parent)
    card = {entry["what"]: entry["value"] for entry in read_card(source)["measured"]}
    one_photo = 1 / len(classes) + 1e-9
    for what in ("top-1", "top-5"):
        assert figures[what] == pytest.approx(card[what], abs=one_photo)
    if source.read_stored is None:
        assert figures[ROUNDING] == pytest.approx(card[ROUNDING], abs=1e-3)
