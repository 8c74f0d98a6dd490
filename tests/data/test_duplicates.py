from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cnnkit.data.duplicates import correlations, find_copies
from cnnkit.data.fingerprints import Fingerprints, read_fingerprints
from tests.data.pictures import save, scene


def copies_of(paths: list[Path]):
    return find_copies(read_fingerprints([str(path) for path in paths]))


EDITS = {
    "half": lambda p: cv2.resize(p, (64, 48), interpolation=cv2.INTER_AREA)[:, :],
    "double": lambda p: cv2.resize(p, (256, 192), interpolation=cv2.INTER_CUBIC),
    "stretched": lambda p: cv2.resize(p, (128, 128)),
    "brighter": lambda p: np.clip(p * 1.15, 0, 255).astype(np.uint8),
    "softer": lambda p: (p * 0.8 + 25).astype(np.uint8),
    "mirrored": lambda p: p[:, ::-1],
    "grey": lambda p: np.repeat(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[..., None], 3, 2),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_is_near_and_not_exact(tmp_path: Path, edit: str) -> None:
    paths = [save(tmp_path / f"{n}.jpg", scene(n, 192, 256), quality=95) for n in range(5)]
    edited = EDITS[edit](scene(3, 192, 256))
    if edited.shape[0] < 64:
        edited = cv2.resize(edited, (86, 64))
    paths.append(save(tmp_path / "edited.jpg", np.ascontiguousarray(edited), quality=70))
    found = copies_of(paths)
    assert found.near.tolist() == [0, 1, 2, 3, 4, 3]
    assert found.exact.tolist() == [0, 1, 2, 3, 4, 5]


def test_equal_files_are_exact_whatever_their_size_and_chains_are_one_group(tmp_path: Path) -> None:
    small = save(tmp_path / "a.png", scene(1, 20, 20))
    large = save(tmp_path / "b.png", scene(2))
    other = save(tmp_path / "c.jpg", scene(2), quality=80)
    again = save(tmp_path / "d.jpg", scene(2), quality=60)
    for path in (small, large):
        (tmp_path / f"copy of {path.name}").write_bytes(path.read_bytes())
    found = copies_of(
        [small, large, tmp_path / "copy of a.png", other, tmp_path / "copy of b.png", again]
    )
    assert found.exact.tolist() == [0, 1, 0, 3, 1, 5]
    assert found.near.tolist() == [0, 1, 0, 1, 1, 1]


def test_small_blank_and_unreadable_pictures_are_no_near_copies(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / "1.jpg", scene(1, 40, 40), quality=90),
        save(tmp_path / "2.jpg", scene(1, 40, 40), quality=50),
        save(tmp_path / "3.png", np.full((90, 90, 3), 200, np.uint8)),
        save(tmp_path / "4.png", np.full((80, 80, 3), 200, np.uint8)),
    ]
    for name in ("5.jpg", "6.jpg"):
        (tmp_path / name).write_text("no picture")
        paths.append(tmp_path / name)
    assert copies_of(paths).near.tolist() == [0, 1, 2, 3, 4, 5]


def test_different_photos_are_no_copies(test_data: Path) -> None:
    folder = test_data / "catdog"
    if not folder.is_dir():
        pytest.skip("needs the folder catdog")
    paths = sorted(folder.glob("*/*.jpg"))[::4]
    assert len(set(copies_of(paths).near)) == len(paths) > 100


def random_prints(count: int, seed: int) -> Fingerprints:
    generator = np.random.default_rng(seed)
    prints = Fingerprints.empty(count)
    prints.sha256[:] = generator.integers(0, 256, (count, 32))
    prints.sizes[:], prints.formats[:], prints.deviations[:] = 100, 0, 50
    prints.hashes[:] = generator.integers(0, 2**64, count, dtype=np.uint64)
    prints.mirrored_hashes[:] = generator.integers(0, 2**64, count, dtype=np.uint64)
    prints.thumbnails[:] = generator.integers(0, 256, (count, 256))
    return prints


def test_every_pair_within_six_bits_is_found_and_none_of_seven() -> None:
    prints = random_prints(1500, seed=5)
    # In other blocks of rows than their originals.
    for original, place, bits in ((10, 700, 6), (20, 1400, 7)):
        flips = sum(1 << (9 * bit) for bit in range(bits))
        prints.hashes[place] = prints.hashes[original] ^ np.uint64(flips)
        prints.mirrored_hashes[place] = prints.mirrored_hashes[original]
        prints.thumbnails[place] = prints.thumbnails[original]
    near = find_copies(prints).near
    assert near[700] == 10
    assert np.flatnonzero(near != np.arange(1500)).tolist() == [700]


def test_equal_hashes_of_unlike_thumbnails_are_no_copies() -> None:
    prints = random_prints(50, seed=6)
    prints.hashes[:] = 7
    assert len(set(find_copies(prints).near)) == 50


def test_a_set_of_nothing_but_copies_is_one_group_in_bounded_work() -> None:
    prints = random_prints(3000, seed=7)
    prints.hashes[:] = 7
    prints.thumbnails[:] = prints.thumbnails[0]
    assert set(find_copies(prints).near) == {0}


def test_correlation_is_pearson_s() -> None:
    one, other = np.random.default_rng(1).normal(size=(2, 4, 30)).astype(np.float32)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(correlations(one, other), expected, atol=1e-6)


def test_an_orientation_tag_makes_the_same_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    upright = save(tmp_path / "1.jpg", scene(1), quality=90)
    turned = tmp_path / "2.jpg"
    Image.fromarray(np.ascontiguousarray(scene(1)[::-1, ::-1])).save(turned, exif=exif, quality=90)
    assert copies_of([upright, turned]).near.tolist() == [0, 0]
