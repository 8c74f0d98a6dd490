"""What a folder of people holds besides people is told of, and nobody is made of it."""

from __future__ import annotations

import logging
import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from cnnkit.data import Shares
from cnnkit.errors import UsageError
from cnnkit.faces.training import EmbedderSettings
from cnnkit.faces.training.people import read_people
from tests.faces.training.digits import write_digits


@contextmanager
def no_stage(name, count):
    yield lambda: None


@pytest.fixture
def settings(tmp_path):
    return EmbedderSettings(
        str(write_digits(tmp_path / "digits", each=3)),
        tmp_path / "bundle",
        network="embedding-small",
        loss="semi-hard",
        crop="none",
        size=16,
        augment="none",
        shares=Shares(0.2, 0.2),
        workers=1,
    )


def test_an_empty_folder_is_no_person(settings, tmp_path, caplog):
    whole = read_people(settings, no_stage, None)
    first = whole.dataset.classes[0]
    (tmp_path / "digits" / f"{first}a empty").mkdir()  # in the middle of the order
    (tmp_path / "digits" / "zz" / "empty below").mkdir(parents=True)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cnnkit"):
        again = read_people(settings, no_stage, None)
    assert again.dataset.classes == whole.dataset.classes
    assert np.array_equal(again.images.labels, whole.images.labels)
    assert again.sha256() == whole.sha256()
    [line] = caplog.messages
    assert line == f"2 people without a photo, skipped: {first}a empty, zz"


def test_photos_beside_the_folders_are_told_of(settings, tmp_path, caplog):
    photo = next((tmp_path / "digits").glob("*/*"))
    shutil.copy(photo, tmp_path / "digits" / f"ann{photo.suffix}")
    (tmp_path / "digits" / "notes.txt").write_text("no photo")
    with caplog.at_level(logging.WARNING, "cnnkit"):
        read_people(settings, no_stage, None)
    [line] = caplog.messages
    assert "1 photo lies beside the folders, skipped: " in line and f"ann{photo.suffix}" in line


def test_one_photo_under_two_people_is_told_of(settings, tmp_path, caplog):
    folders = sorted(path for path in (tmp_path / "digits").iterdir() if path.is_dir())
    photo = sorted(folders[0].iterdir())[0]
    shutil.copy(photo, folders[1] / f"copy{photo.suffix}")
    shutil.copy(photo, folders[0] / f"copy{photo.suffix}")  # of the same person: no word
    with caplog.at_level(logging.WARNING, "cnnkit"):
        read_people(settings, no_stage, None)
    [line] = caplog.messages
    assert line.startswith("1 photo is there under two people: ")
    assert f"{folders[0].name}/" in line and f"{folders[1].name}/copy" in line


def test_copies_of_a_photo_stay_in_one_split(settings, tmp_path):
    by_image = replace(settings, split_by="pictures")
    for folder in (tmp_path / "digits").iterdir():
        first, second, *_ = sorted(folder.iterdir())
        for number in range(3):
            shutil.copy(first, folder / f"copy{number}{first.suffix}")
        shutil.copy(second, folder / f"twin{second.suffix}")
    whole = read_people(by_image, no_stage, None)
    splits: dict[bytes, set[int]] = {}
    for pixels, split in zip(whole.images.pixels, whole.splits, strict=True):
        splits.setdefault(pixels.tobytes(), set()).add(int(split))
    assert {len(found) for found in splits.values()} == {1}
    assert set(whole.splits) == {0, 1, 2}


def test_a_person_with_copies_of_one_photo_only_is_divided_all_the_same(settings, tmp_path):
    data = write_digits(tmp_path / "more", each=6)
    first, *others = sorted(min(data.iterdir()).iterdir())
    for other in others:
        shutil.copy(first, other)
    settings = replace(settings, data=str(data), split_by="pictures", shares=Shares(0.34))
    whole = read_people(settings, no_stage, None)
    assert sorted(whole.splits[whole.images.labels == 0]) == [0, 0, 0, 0, 1, 1]


def test_whether_people_are_new_is_told_by_the_splits(settings, tmp_path):
    """It was told by what was asked for, which the data's own splits need not follow."""
    rows = ["file,label,split"]
    data = write_digits(tmp_path / "more", each=4)
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        for place, photo in enumerate(sorted(folder.iterdir())):
            rows.append(f"{photo},{folder.name},{'train' if place % 2 else 'val'}")
    table = tmp_path / "people.csv"
    table.write_text("\n".join(rows))
    whole = read_people(replace(settings, data=str(table), shares=Shares()), no_stage, None)
    assert whole.split_by("val") == "pictures"
    assert read_people(settings, no_stage, None).split_by("val") == "people"
    with pytest.raises(UsageError, match="`test` must be left out where the data has splits"):
        read_people(replace(settings, data=str(table), shares=Shares(0.2, 0.2)), no_stage, None)
