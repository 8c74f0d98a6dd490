"""The functions of `cnnkit visualize`: files, paths of any kind, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cnnkit.commands.visualize import (
    visualize_activations,
    visualize_dream,
    visualize_filters,
    visualize_patches,
)
from cnnkit.errors import UsageError
from tests.explanation.small import saved, some_images


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(saved(tmp_path_factory.mktemp("model"), "pooled"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(some_images(3)):
        Image.fromarray(image).save(folder / f"{number}.png")
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes()[:100])
    return folder


def test_filters_and_dreams_are_one_image_each(model: Path, tmp_path: Path) -> None:
    visualize_filters(model=model, layer="first", output=tmp_path / "filters.png")
    visualize_dream(model=model, layer="first", units="0", steps=1, output=tmp_path / "dream.png")
    for name in ("filters.png", "dream.png"):
        with Image.open(tmp_path / name) as image:
            assert image.mode == "RGB" and min(image.size) >= 16
    with pytest.raises(UsageError, match="Use `overwrite=True` to"):
        visualize_filters(model=model, output=tmp_path / "filters.png")


def test_activations_have_a_sheet_for_each_layer_and_image(model: Path, photos: Path) -> None:
    output = photos.parent / "sheets"
    done = visualize_activations(photos, model=model, layers="first", output=output)
    assert (done.ok, done.failed) == (3, 1)
    names = sorted(path.name for path in output.iterdir())
    assert [(name[0], name[-12:]) for name in names] == [(n, "-1-first.png") for n in "012"]
    with pytest.raises(UsageError, match="`channels` must lie between 1 and 256"):
        visualize_activations(photos, model=model, channels=0, report=photos.parent / "a.html")


def test_progress_of_patches_counts_every_input(model: Path, photos: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = visualize_patches(
        [photos],
        model=model,
        layer="first",
        units="0",
        runtime="tensorflow",
        output=photos.parent / "patches.csv",
        progress=lambda *numbers: seen.append(numbers),
    )
    assert (done.ok, done.failed, seen[0], seen[-1]) == (3, 1, (0, 4), (4, 4))


def test_what_goes_together_is_named_by_its_parameters(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`output` or `report` is required"):
        visualize_filters()
    with pytest.raises(UsageError, match="`units` requires `layer`"):
        visualize_dream(units="0", output=tmp_path / "a.png")


def test_images_that_cannot_be_read_are_named_where_none_can(
    model: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torn, output = photos / "torn.png", photos.parent / "patches.csv"
    with pytest.raises(UsageError, match="None of the images could be read"):
        visualize_patches(torn, model=model, layer="first", units="0", output=output)
    assert any(str(torn) in record.message for record in caplog.records)
    assert not output.exists()


def test_every_unit_is_checked_before_the_first_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images of those before a wrong one took their minutes and were lost."""
    monkeypatch.setattr("cnnkit.commands.visualize.dream", None)
    with pytest.raises(UsageError, match="`units` must be from 0 to 63 for conv1"):
        visualize_dream(
            model="squeezenet-1.1", layer="conv1", units="0,999", output=tmp_path / "a.png"
        )
