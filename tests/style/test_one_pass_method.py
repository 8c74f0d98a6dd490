"""The folder job's method in one pass: sizes, strengths, masks, and what its settings say."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnkit.bundles import open_model
from cnnkit.errors import UsageError
from cnnkit.runtime import RuntimeOptions
from cnnkit.style.images import Content
from cnnkit.style.job import Workspace
from cnnkit.style.one_pass import OnePassPainter
from cnnkit.style.one_pass_method import InOnePass, OnePassChoices
from cnnkit.style.targets import Style
from tests.style.painters import drawn, write_painter

CPU = RuntimeOptions("cpu", "tensorflow")
NOWHERE = Workspace()


@pytest.fixture(scope="module")
def painter(tmp_path_factory) -> OnePassPainter:
    folder = write_painter(tmp_path_factory.mktemp("painters") / "small")
    return OnePassPainter(open_model(str(folder)), CPU)


@pytest.fixture(scope="module")
def any_style() -> OnePassPainter:
    return OnePassPainter(open_model("magenta-style"), CPU)


def content(height: int, width: int, alpha: np.ndarray | None = None) -> Content:
    return Content("photo.png", drawn(height, width), alpha, "sha")


def painted(painter: OnePassPainter, image: Content, **chosen) -> np.ndarray:
    return InOnePass(painter, [], OnePassChoices(**chosen)).paint(image, NOWHERE).pixels


@pytest.mark.parametrize(
    ("size", "given", "expected"),
    [
        (None, (300, 400), (300, 400)),
        (None, (3000, 1500), (1024, 512)),
        (0, (3000, 1500), (3000, 1500)),
        (200, (300, 400), (150, 200)),
        (800, (300, 400), (600, 800)),
    ],
)
def test_sizes(painter, size, given, expected) -> None:
    assert InOnePass(painter, [], OnePassChoices(size=size)).size_of(*given) == expected


def test_a_result_has_the_size_that_was_asked_for(painter) -> None:
    assert painted(painter, content(60, 90), size=45).shape == (30, 45, 3)


def test_strength_0_of_a_trained_model_is_the_photo(painter) -> None:
    image = content(40, 56)
    np.testing.assert_array_equal(painted(painter, image, strength=0.0), image.pixels)
    full = painted(painter, image).astype(int)
    half = painted(painter, image, strength=0.5).astype(int)
    np.testing.assert_allclose(half, (full + image.pixels) / 2, atol=1)


def test_tiles_do_not_change_what_masks_do(painter, tmp_path) -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[:, 64:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    image = content(96, 128)
    for tile in ("none", "128"):
        made = painted(painter, image, mask=str(tmp_path / "mask.png"), tile=tile)
        np.testing.assert_array_equal(made[:, :60], image.pixels[:, :60])
        assert np.abs(made[:, 70:].astype(int) - image.pixels[:, 70:]).mean() > 5


def test_what_is_transparent_gets_no_style(painter) -> None:
    alpha = np.zeros((40, 56, 1), np.uint8)
    alpha[:20] = 255
    image = content(40, 56, alpha)
    made = painted(painter, image)
    np.testing.assert_array_equal(made[22:], image.pixels[22:])


def test_colors_are_kept(painter) -> None:
    gray = np.repeat(drawn(40, 56)[..., :1], 3, axis=2)
    made = painted(painter, Content("gray.png", gray, None, "sha"), preserve_color=True).astype(int)
    assert np.abs(made - made.mean(axis=2, keepdims=True)).max() <= 3


def test_strength_moves_from_the_photos_own_style(any_style) -> None:
    style = [Style("style.png", drawn(120, 160, seed=7)[..., ::-1])]
    image = content(48, 64)

    def at(strength: float) -> np.ndarray:
        method = InOnePass(any_style, style, OnePassChoices(strength=strength))
        return method.paint(image, NOWHERE).pixels.astype(int)

    none, half, full = (at(strength) for strength in (0.0, 0.5, 1.0))
    assert 0 < np.abs(half - none).mean() < np.abs(full - none).mean()


def test_styles_go_with_a_model_that_reads_them(painter, any_style) -> None:
    with pytest.raises(UsageError, match="`styles` is required"):
        InOnePass(any_style, [], OnePassChoices())
    with pytest.raises(UsageError, match="`styles` requires a model that reads styles"):
        InOnePass(painter, [Style("s.png", drawn(20, 20))], OnePassChoices())


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"strength": 1.5}, "`strength` must lie between 0 and 1"),
        ({"style_scale": 50}, "`style_scale` must lie between 0.1 and 10"),
        ({"size": 5}, "`size` must lie between 16 and"),
    ],
)
def test_values_have_rules(chosen, told) -> None:
    with pytest.raises(UsageError, match=told):
        OnePassChoices(**chosen)


def test_the_settings_say_all_that_the_result_depends_on(any_style) -> None:
    style = Style("style.png", drawn(64, 64), 2.0)
    settings = InOnePass(any_style, [style], OnePassChoices(size=99), "the model").settings
    assert settings["model_identity"] == "the model" and settings["size"] == 99
    assert settings["styles"][0]["weight"] == 2.0 and len(settings["styles"][0]["sha256"]) == 64
    assert "max_pixels" not in settings


def test_a_mask_is_known_by_its_content(any_style, tmp_path) -> None:
    style, seen = Style("style.png", drawn(64, 64), 1.0), set()
    for gray in (0, 255):
        Image.new("L", (4, 4), gray).save(tmp_path / "mask.png")
        choices = OnePassChoices(mask=str(tmp_path / "mask.png"))
        seen.add(InOnePass(any_style, [style], choices).settings["mask_sha256"])
    assert len(seen) == 2 and None not in seen
    assert InOnePass(any_style, [style], OnePassChoices()).settings["mask_sha256"] is None


def test_an_estimate_grows_with_the_image_until_it_is_tiled(painter) -> None:
    method = InOnePass(painter, [], OnePassChoices(size=0))
    small, large, huge = (
        method.estimate(*size) for size in ((100, 100), (1500, 2000), (9000, 9000))
    )
    assert small.memory < large.memory and small.seconds < large.seconds < huge.seconds
    assert (small.tile, large.tile, huge.tile) == (None, None, 1024)
    assert huge.memory < large.memory + 16 * 9000 * 9000
