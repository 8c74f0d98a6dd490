"""Every kind of bad data is planted in a set of its own and found; a clean set raises no alarm."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cnnkit.data import read_dataset
from cnnkit.diagnosis.classes import Examination, examine
from tests.data.images import class_folders, save, scene


def examined(data: Path) -> Examination:
    return examine(read_dataset(str(data)))


def found(data: Path) -> dict[str, list[str]]:
    """Return severity and code to the names of the files of each finding."""
    return {
        f"{f.severity} {f.code}": [Path(place.path).name for group in f.groups for place in group]
        for f in examined(data).findings
    }


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "set", {"cat": 21, "dog": 24})


@pytest.fixture
def clean_splits(tmp_path: Path) -> Path:
    class_folders(tmp_path / "set/train", {"cat": 21, "dog": 24}, first_seed=100)
    class_folders(tmp_path / "set/val", {"cat": 5, "dog": 4}, first_seed=200)
    return tmp_path / "set"


def test_a_clean_set_raises_no_alarm(clean: Path) -> None:
    one = examined(clean)
    assert one.findings == ()
    assert not one.hurts


def test_clean_splits_raise_no_alarm(clean_splits: Path) -> None:
    assert examined(clean_splits).findings == ()


def test_real_photos_raise_no_alarm(test_data: Path) -> None:
    if not (test_data / "catdog").is_dir():
        pytest.skip("needs the folder catdog")
    assert examined(test_data / "catdog").findings == ()


def plant_unreadable(root: Path) -> None:
    whole = (root / "cat/000.jpg").read_bytes()
    (root / "cat/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "dog/empty.jpg").write_bytes(b"")
    (root / "dog/page.jpg").write_text("<html>")


def plant_exact_copy(root: Path) -> None:
    shutil.copy(root / "cat/003.jpg", root / "cat/again.jpg")


def plant_near_copy(root: Path) -> None:
    smaller = cv2.resize(scene(4), (100, 75), interpolation=cv2.INTER_AREA)
    save(root / "cat/smaller.jpg", smaller, quality=60)


def plant_mirrored_copy(root: Path) -> None:
    save(root / "dog/mirrored.jpg", np.ascontiguousarray(scene(30)[:, ::-1]), quality=80)


def plant_conflict(root: Path) -> None:
    shutil.copy(root / "cat/003.jpg", root / "dog/cat.jpg")


def plant_near_conflict(root: Path) -> None:
    save(root / "dog/cat.jpg", scene(3), quality=60)


def plant_wrong_ending(root: Path) -> None:
    shutil.move(root / "cat/000.jpg", root / "cat/000.png")


def plant_rotated(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "dog/turned.jpg", scene(900), exif=exif)


def plant_tiny(root: Path) -> None:
    save(root / "dog/tiny.png", scene(901, 31, 200))


def plant_blank(root: Path) -> None:
    save(root / "dog/blank.jpg", np.full((80, 80, 3), 250, np.uint8))


def plant_stray(root: Path) -> None:
    (root / "list.txt").write_text("text")


def plant_small_class(root: Path) -> None:
    class_folders(root, {"fox": 9}, first_seed=300)


def plant_class_of_one(root: Path) -> None:
    class_folders(root, {"fox": 1}, first_seed=300)


def plant_empty_class(root: Path) -> None:
    (root / "fox").mkdir()


def plant_class_to_grow(root: Path) -> None:
    class_folders(root, {"fox": 19}, first_seed=300)


def plant_imbalance(root: Path) -> None:
    class_folders(root, {"fox": 20, "owl": 64}, first_seed=300)


PLANTED: list[tuple[Callable[[Path], None], dict[str, list[str]]]] = [
    (plant_unreadable, {"error unreadable": ["cut.jpg", "empty.jpg", "page.jpg"]}),
    (plant_exact_copy, {"warning exact-duplicates": ["003.jpg", "again.jpg"]}),
    (plant_near_copy, {"note near-duplicates": ["004.jpg", "smaller.jpg"]}),
    (plant_mirrored_copy, {"note near-duplicates": ["009.jpg", "mirrored.jpg"]}),
    (plant_conflict, {"error conflict": ["003.jpg", "cat.jpg"]}),
    (plant_near_conflict, {"warning near-conflict": ["003.jpg", "cat.jpg"]}),
    (plant_wrong_ending, {"note wrong-extension": ["000.png"]}),
    (plant_rotated, {"note exif-rotated": ["turned.jpg"]}),
    (plant_tiny, {"warning tiny": ["tiny.png"]}),
    (plant_blank, {"warning blank": ["blank.jpg"]}),
    (plant_stray, {"note stray-files": ["list.txt"]}),
    (plant_small_class, {"warning few-pictures": []}),
    (plant_class_to_grow, {"note few-pictures": []}),
    (plant_class_of_one, {"error few-pictures": [], "warning imbalance": []}),
    (plant_empty_class, {"error few-pictures": []}),
    (plant_imbalance, {"warning imbalance": []}),
]


@pytest.mark.parametrize(("plant", "expected"), PLANTED, ids=lambda v: getattr(v, "__name__", ""))
def test_what_was_planted_is_found_and_nothing_else(clean: Path, plant, expected) -> None:
    plant(clean)
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in clean.rglob("*")}
    one = examined(clean)
    result = {
        f"{f.severity} {f.code}": [Path(p.path).name for g in f.groups for p in g]
        for f in one.findings
    }
    if plant is plant_small_class:  # 9 against 24 is within three to one
        assert 24 / 9 < 3
    assert result == expected
    assert one.hurts == any(not name.startswith("note") for name in expected)
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in clean.rglob("*")} == before


def test_an_image_in_two_splits_is_a_leak(clean_splits: Path) -> None:
    shutil.copy(clean_splits / "train/cat/002.jpg", clean_splits / "val/cat/copy.jpg")
    save(clean_splits / "val/dog/near.jpg", scene(130), quality=50)
    result = found(clean_splits)
    assert result == {
        "error leak": ["002.jpg", "copy.jpg"],
        "warning near-leak": ["009.jpg", "near.jpg"],
    }


def test_classes_that_differ_between_splits(clean_splits: Path) -> None:
    class_folders(clean_splits / "val", {"Fox": 3}, first_seed=400)
    class_folders(clean_splits / "train", {"fox": 21}, first_seed=500)
    findings = examined(clean_splits).findings
    assert [(f.severity, f.code) for f in findings] == [
        ("error", "split-classes"),
        ("warning", "split-classes"),
    ]
    assert "val has the class 'Fox' that train lacks" in findings[0].message
    assert "Did you mean 'fox'?" in findings[0].fix
    assert "val lacks the class 'fox' of train" in findings[1].message


def test_one_class_is_an_error(tmp_path: Path) -> None:
    assert found(class_folders(tmp_path / "set", {"cat": 20})) == {"error one-class": []}


def test_a_set_that_is_small_by_nature_raises_no_alarm(tmp_path: Path) -> None:
    for number in range(44):
        save(tmp_path / f"set/{number % 2}/{number}.png", scene(number, 28, 28))
    one = examined(tmp_path / "set")
    assert [(f.severity, f.code) for f in one.findings] == [("note", "tiny")]
    assert not one.hurts


def test_a_file_named_by_a_csv_that_is_missing(clean: Path) -> None:
    rows = [f"{p.parent.name}/{p.name},{p.parent.name}" for p in sorted(clean.glob("*/*.jpg"))]
    table = clean / "set.csv"
    table.write_text("\n".join(["file,label", *rows, "dog/none.jpg,dog", "cat/000.jpg,dog"]))
    assert found(table) == {
        "error unreadable": ["none.jpg"],
        "error conflict": ["000.jpg", "000.jpg"],
    }


def test_the_dict_is_json_with_every_file_and_the_worst_first(clean: Path) -> None:
    plant_wrong_ending(clean)
    plant_conflict(clean)
    plant_blank(clean)
    one = examined(clean).to_dict()
    assert json.loads(json.dumps(one)) == one
    assert one["summary"] == {"error": 1, "warning": 1, "note": 1}
    assert [f["severity"] for f in one["findings"]] == ["error", "warning", "note"]
    assert one["hurts"]
    assert one["data"] == {"path": str(clean), "pictures": 47, "unreadable": 0}
    assert one["classes"] == [{"label": "cat", "pictures": 21}, {"label": "dog", "pictures": 26}]
    assert one["findings"][0]["groups"][0][0] == {
        "path": str(clean / "cat/003.jpg"),
        "label": "cat",
        "detail": "128 x 96",
    }
