from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from cnnkit.data.decoded import DecodedImages, MaxBad
from cnnkit.errors import UsageError
from cnnkit.images import InputSpec, prepare
from cnnkit.results import Failure
from tests.data.images import save, scene

SPEC = InputSpec(24, 32, "stretch")


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return [str(save(tmp_path / f"{n:02}.png", scene(n))) for n in range(9)]


def test_images_are_prepared_in_order(paths: list[str]) -> None:
    calls = []
    with DecodedImages(paths, range(9), SPEC, progress=lambda: calls.append(1)) as decoded:
        assert len(decoded) == len(calls) == 9
        assert (decoded.pixels.dtype, decoded.pixels.shape) == (np.uint8, (9, 24, 32, 3))
        assert decoded.labels.dtype == np.int32
        assert decoded.labels.tolist() == decoded.indices.tolist() == list(range(9))
        for path, pixels in zip(paths, decoded.pixels, strict=True):
            np.testing.assert_array_equal(pixels, prepare(path, SPEC))


def test_what_exceeds_the_memory_goes_into_a_file_that_is_removed(paths, tmp_path) -> None:
    folder = tmp_path / "cache"
    with DecodedImages(paths, range(9), SPEC) as decoded:
        expected = decoded.pixels.copy()
    with DecodedImages(paths, range(9), SPEC, memory_bytes=1000, folder=folder) as decoded:
        assert isinstance(decoded.pixels, np.memmap)
        assert len(list(folder.iterdir())) == 1
        np.testing.assert_array_equal(decoded.pixels, expected)
        kept = decoded.pixels
    assert list(folder.iterdir()) == []
    np.testing.assert_array_equal(kept, expected)


def test_bad_images_are_left_out_by_name(paths: list[str], tmp_path: Path, caplog) -> None:
    (tmp_path / "03.png").write_bytes(b"")
    (tmp_path / "05.png").write_text("text")
    with (
        caplog.at_level(logging.WARNING, logger="cnnkit"),
        DecodedImages(paths, range(9), SPEC, max_bad=MaxBad(count=2)) as decoded,
    ):
        assert decoded.indices.tolist() == decoded.labels.tolist() == [0, 1, 2, 4, 6, 7, 8]
        assert [(Path(p).name, f.kind) for p, f in decoded.failures] == [
            ("03.png", "empty"),
            ("05.png", "not-an-image"),
        ]
        np.testing.assert_array_equal(decoded.pixels[3], prepare(paths[4], SPEC))
    assert "03.png: the file has no content" in caplog.text


def test_too_many_bad_images_stop_the_run_and_leave_no_file(paths, tmp_path) -> None:
    folder = tmp_path / "cache"
    (tmp_path / "03.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"at most `max_bad='5%'`. Received: 1 of 9, .*03.png"):
        DecodedImages(paths, range(9), SPEC, memory_bytes=0, folder=folder)
    assert list(folder.iterdir()) == []


def test_a_disk_without_room_is_refused_before_the_work(paths, tmp_path) -> None:
    huge = InputSpec(4096, 4096)
    many = paths * 100_000
    with pytest.raises(UsageError, match=r"must have room for 45298.* GB of decoded images"):
        DecodedImages(many, np.zeros(len(many)), huge, folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", MaxBad(None, 0)),
        ("12", MaxBad(None, 12)),
        ("5%", MaxBad(0.05)),
        ("0.5%", MaxBad(0.005)),
    ],
)
def test_a_limit_is_a_count_or_a_share(text: str, expected: MaxBad) -> None:
    assert MaxBad.parse(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "101%", "5.5", "nan%", "all", "%"])
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`max_bad` must be a number of images or a share"):
        MaxBad.parse(text)


@pytest.mark.parametrize(
    ("limit", "bad", "total", "stops"),
    [
        (MaxBad(0.29), 29, 100, False),
        (MaxBad(0.29), 30, 100, True),
        (MaxBad(0.05), 5, 100, False),
        (MaxBad(0.05), 6, 100, True),
        (MaxBad(0.05), 1, 19, True),
        (MaxBad(None, 0), 1, 100, True),
        (MaxBad(None, 3), 3, 3, False),
    ],
)
def test_the_limit_counts(limit: MaxBad, bad: int, total: int, stops: bool) -> None:
    failures = [(f"{n}.jpg", Failure("empty", "no content")) for n in range(bad)]
    if stops:
        with pytest.raises(UsageError, match="unreadable images"):
            limit.check(failures, total)
    else:
        limit.check(failures, total)
