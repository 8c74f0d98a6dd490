from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cnnkit.diagnosis.duplicates import (
    Copies,
    correlations,
    find_copies,
    find_originals,
    groups_for_split,
    stars,
)
from cnnkit.diagnosis.fingerprints import Fingerprints, read_fingerprints
from tests.data.images import save, scene


def copies_of(paths: list[Path]):
    return find_copies(read_fingerprints([str(path) for path in paths]))


EDITS = {
    "half": lambda p: cv2.resize(p, (64, 48), interpolation=cv2.INTER_AREA)[:, :],
    "double": lambda p: cv2.resize(p, (256, 192), interpolation=cv2.INTER_CUBIC),
    "stretched": lambda p: cv2.resize(p, (128, 128)),
    "brighter": lambda p: np.clip(p * 1.15, 0, 255).astype(np.uint8),
    "softer": lambda p: (p * 0.8 + 25).astype(np.uint8),
    "mirrored": lambda p: p[:, ::-1],
    "gray": lambda p: np.repeat(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[..., None], 3, 2),
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


def test_small_blank_and_unreadable_images_are_no_near_copies(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / "1.jpg", scene(1, 40, 40), quality=90),
        save(tmp_path / "2.jpg", scene(1, 40, 40), quality=50),
        save(tmp_path / "3.png", np.full((90, 90, 3), 200, np.uint8)),
        save(tmp_path / "4.png", np.full((80, 80, 3), 200, np.uint8)),
    ]
    for name in ("5.jpg", "6.jpg"):
        (tmp_path / name).write_text("no image")
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


def test_an_orientation_tag_makes_the_same_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    upright = save(tmp_path / "1.jpg", scene(1), quality=90)
    turned = tmp_path / "2.jpg"
    Image.fromarray(np.ascontiguousarray(scene(1)[::-1, ::-1])).save(turned, exif=exif, quality=90)
    assert copies_of([upright, turned]).near.tolist() == [0, 0]


def chain(links: int) -> Fingerprints:
    """Prints of which each differs from the one before in 6 bits, and from the others in more."""
    prints = random_prints(links, seed=8)
    prints.thumbnails[:] = prints.thumbnails[0]
    bits = np.uint64(0)
    for place in range(links):
        prints.hashes[place] = bits
        bits ^= np.uint64(0b111111 << (6 * place))
    return prints


def test_a_chain_is_no_group_for_a_split() -> None:
    found = find_copies(chain(9))
    assert set(found.chained) == {0}
    for number in np.unique(found.near):
        members = np.flatnonzero(found.near == number)
        # All look like one of them: in a chain that is three at most, side by side.
        assert len(members) <= 3 and np.ptp(members) == len(members) - 1


def test_groups_do_not_depend_on_the_order() -> None:
    prints = chain(9)
    prints.mirrored_hashes[:] = prints.mirrored_hashes[0]
    order = np.random.default_rng(1).permutation(9)
    turned = random_prints(9, seed=8)
    for name in ("sha256", "hashes", "mirrored_hashes", "thumbnails"):
        getattr(turned, name)[:] = getattr(prints, name)[order]
    near, again = find_copies(prints).near, find_copies(turned).near
    as_sets = {frozenset(np.flatnonzero(near == n).tolist()) for n in near}
    assert as_sets == {frozenset(order[again == n].tolist()) for n in again}


def alike(near: list[int], labels: list[int], parts: int = 2, rule: str | None = None):
    numbers = np.array(near)
    copies = Copies(np.arange(len(near)), numbers, numbers)
    return groups_for_split(copies, np.array(labels), parts, rule)


def test_grouping_steps_back_where_most_of_a_class_is_alike() -> None:
    near = [*[0] * 8, *range(8, 12), *[12] * 4, *range(16, 24)]
    labels = [0] * 12 + [1] * 12
    found = alike(near, labels)
    assert found.alike == (0,)
    assert len(set(found.groups[:12])) == 12 and found.groups[12:].tolist().count(12) == 4
    assert not set(found.groups[:12]) & set(found.groups[12:])


def test_a_small_class_steps_back_only_where_it_cannot_be_divided_else() -> None:
    assert alike([0, 0, 0, 3], [0] * 4).alike == ()
    assert alike([0, 0, 0, 3], [0] * 4, parts=3).alike == (0,)
    assert alike([0, 0], [0] * 2).alike == (0,)
    assert alike([0, 0], [0] * 2, parts=3).alike == ()


def test_the_user_has_the_last_word_on_near_copies() -> None:
    near = [0] * 12
    assert set(alike(near, [0] * 12, rule="together").groups) == {0}
    assert len(set(alike([0, 0, 2], [0] * 3, rule="apart").groups)) == 3


def test_the_same_file_twice_stays_together_whatever_the_rule() -> None:
    exact = np.array([0, 0, 2, 2, 4])
    copies = Copies(exact, np.zeros(5, int), np.zeros(5, int))
    for rule in ("apart", None):
        groups = groups_for_split(copies, np.zeros(5, int), 2, rule).groups
        assert groups[0] == groups[1] and groups[2] == groups[3] and len(set(groups)) == 3


def test_the_preferred_image_is_kept_and_every_copy_is_like_it() -> None:
    # a is like b, b like c, a and c are not: whichever comes first decides.
    prints = chain(3)
    assert find_originals(prints, np.array([0, 1, 2])).tolist() == [0, 0, 2]
    assert find_originals(prints, np.array([1, 0, 2])).tolist() == [1, 1, 1]
    assert find_originals(prints, np.array([2, 1, 0])).tolist() == [0, 2, 2]


def test_of_equal_files_the_preferred_one_is_kept() -> None:
    prints = chain(3)
    prints.sha256[2] = prints.sha256[0]
    prints.sizes[:] = 8  # too small to be compared by their looks
    assert find_originals(prints, np.array([2, 1, 0])).tolist() == [2, 1, 2]


@pytest.mark.parametrize("rows_at_once", [1, 3, 50])
def test_stars_follow_the_order_whatever_the_blocks(rows_at_once):
    random = np.random.default_rng(4)
    near = random.random((20, 20)) < 0.15
    near |= near.T

    def alike(rows, columns):
        places = np.nonzero(near[np.ix_(rows, columns)])
        return rows[places[0]], columns[places[1]]

    expected: list[int] = []
    for item in range(20):
        middles = [m for m in range(item) if expected[m] == m and near[item, m]]
        expected.append(middles[0] if middles else item)
    assert stars(20, alike, rows_at_once).tolist() == expected
