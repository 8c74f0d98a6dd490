from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cnnkit.data import read_dataset
from cnnkit.errors import UsageError


def put(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png"):
            Image.new("RGB", (8, 8)).save(path)
        else:
            path.write_text("text")
    return folder


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    put(tmp_path, "dog/1.jpg", "cat/b/2.png", "cat/1.jpg", "cat/notes.txt", "readme.txt")
    put(tmp_path, ".git/1.jpg", "cat/.hidden.jpg", "__MACOSX/1.jpg")
    (tmp_path / "empty").mkdir()
    dataset = read_dataset(str(tmp_path))
    assert dataset.classes == ("cat", "dog", "empty")
    assert [(f.name, f.label, f.split) for f in dataset.files] == [
        ("cat/1.jpg", 0, None),
        ("cat/b/2.png", 0, None),
        ("dog/1.jpg", 1, None),
    ]
    assert dataset.strays == (str(tmp_path / "readme.txt"),)
    assert dataset.counts().tolist() == [2, 1, 0]
    assert dataset.labels.tolist() == [0, 0, 1]
    assert dataset.split_classes == {}


def test_what_sorting_leaves_without_a_class_is_no_class(tmp_path: Path, caplog) -> None:
    put(tmp_path, "a/1.png", "b/2.png", "_unknown/3.png", "_errors/4.png", "_other/5.png")
    assert read_dataset(str(tmp_path)).classes == ("_other", "a", "b")
    skipped = [f"{tmp_path}/{name} is skipped" for name in ("_errors", "_unknown")]
    assert [message.split(":")[0] for message in caplog.messages] == skipped


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_split_folders_are_compared_by_class_name(tmp_path: Path, validation: str) -> None:
    put(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "train/stray.jpg")
    put(tmp_path, f"{validation}/dog/2.jpg", f"{validation}/fox/2.jpg", "test/cat/3.jpg")
    dataset = read_dataset(str(tmp_path))
    assert dataset.classes == ("cat", "dog", "fox")
    assert [(f.label, f.split) for f in dataset.files] == [
        (0, "train"),
        (1, "train"),
        (1, "val"),
        (2, "val"),
        (0, "test"),
    ]
    assert dataset.counts("val").tolist() == [0, 1, 1]
    assert dataset.split_classes == {
        "train": ("cat", "dog"),
        "val": ("dog", "fox"),
        "test": ("cat",),
    }
    assert dataset.strays == (str(tmp_path / "train/stray.jpg"),)


def test_train_alone_is_a_split_and_beside_other_classes_a_class(tmp_path: Path) -> None:
    put(tmp_path, "one/train/cat/1.jpg", "one/train/dog/1.jpg", "two/train/1.jpg", "two/bus/1.jpg")
    assert read_dataset(str(tmp_path / "one")).classes == ("cat", "dog")
    assert read_dataset(str(tmp_path / "two")).classes == ("bus", "train")


def test_a_csv_with_files_beside_it(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    table = tmp_path / "set.csv"
    text = "Label,split,file\ncat,train,a.jpg\n dog ,Validation,sub/b.jpg\ncat,train,./a.jpg\n"
    table.write_text(text, encoding="utf-8-sig")
    dataset = read_dataset(str(table))
    assert dataset.classes == ("cat", "dog")
    assert [(f.path, f.name, f.label, f.split) for f in dataset.files] == [
        (str(tmp_path / "a.jpg"), "a.jpg", 0, "train"),
        (str(tmp_path / "sub/b.jpg"), "sub/b.jpg", 1, "val"),
    ]
    assert dataset.split_classes == {"train": ("cat",), "val": ("dog",)}
    elsewhere = read_dataset(str(table), root="pictures")
    assert elsewhere.files[0].path == "pictures/a.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n", "must hold labeled images"),
        ("", "must have a column named one of file"),
        ("file\na.jpg\n", "must have a column named one of class"),
        ("file,label\na.jpg,\n", "line 2 must have a file and a class"),
        ("file,label\na.jpg\n", "line 2 must have a file and a class"),
        ("file,label,split\na.jpg,cat,trian\n", "line 2 must say train, val or test.*'train'"),
        ('file,label\na.jpg,"c\nat"\n', "must name a class in at most 255 printable"),
        ('file,label\n"a.jpg,cat\n', "must be a CSV"),
        ("file,label\na\0.jpg,cat\n", "null byte"),
    ],
)
def test_a_csv_of_another_form_is_refused_with_its_line(tmp_path, text, message) -> None:
    table = tmp_path / "set.csv"
    table.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_dataset(str(table))


def test_an_image_with_several_classes_or_splits_is_told(tmp_path: Path, caplog) -> None:
    table = tmp_path / "set.csv"
    table.write_text("file,class\na.jpg,cat\nb.jpg,dog\n./a.jpg,cat\n")
    assert len(read_dataset(str(table)).files) == 2 and not caplog.messages
    table.write_text("file,class\na.jpg,cat\nb.jpg,dog\n./a.jpg,dog\n")
    assert len(read_dataset(str(table)).files) == 3
    told = f"{table} lists an image with several classes or splits, such as {tmp_path}/a.jpg"
    assert caplog.messages == [f"{told}: cat, dog. Each entry counts."]
    table.write_text("file,class,split\na.jpg,cat,train\na.jpg,cat,val\n")
    read_dataset(str(table))
    assert caplog.messages[1].endswith("a.jpg: cat (train), cat (val). Each entry counts.")


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(UsageError, match=r"a folder for each class[.] Received: 2 files and no"):
        read_dataset(str(tmp_path))


def test_classes_beside_split_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.jpg", "val/cat/2.jpg", "dog/1.jpg")
    with pytest.raises(UsageError, match=r"only split folders or only class folders.*dog/"):
        read_dataset(str(tmp_path))


def test_classes_beside_split_folders_without_train_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "test/cat/1.jpg", "val/cat/2.jpg", "dog/1.jpg")
    with pytest.raises(UsageError, match=r"only split folders.*Received: test/ and dog/"):
        read_dataset(str(tmp_path))


def test_another_column_of_a_class_is_not_passed_over_silently(tmp_path: Path, caplog) -> None:
    table = tmp_path / "set.csv"
    table.write_text("file,label,class\na.jpg,cat,dog\n")
    with caplog.at_level("INFO", "cnnkit"):
        assert read_dataset(str(table)).classes == ("dog",)
    assert "the column class is read, not label" in caplog.text


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="It does not exist"):
        read_dataset(str(tmp_path / "none"))


def test_a_root_goes_with_a_csv_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`root` requires a CSV"):
        read_dataset(str(tmp_path), root="pictures")


def test_a_folder_that_cannot_be_written_as_a_label_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "cat\nfish/1.jpg")
    with pytest.raises(UsageError, match=r"printable characters.*'cat\\nfish'"):
        read_dataset(str(tmp_path))


def test_names_that_are_the_same_in_unicode_are_one_class(tmp_path: Path) -> None:
    put(tmp_path, "train/cafe\u0301/1.jpg", "train/caf\u00e9/2.jpg", "train/tea/1.jpg")
    put(tmp_path, "val/cafe\u0301/3.jpg", "val/tea /4.jpg")
    dataset = read_dataset(str(tmp_path))
    assert dataset.classes == ("caf\u00e9", "tea")
    assert dataset.split_classes == {"train": ("caf\u00e9", "tea"), "val": ("caf\u00e9", "tea")}
    # Paths stay as they are: no file has another name.
    assert all(Path(file.path).is_file() for file in dataset.files)
    assert dataset.counts().tolist() == [3, 2]


@pytest.mark.parametrize("label", ["می‌خواهم", "ක්‍රියා", "👩‍🔬", "हिन्‍दी"])
def test_joiners_are_parts_of_names(tmp_path: Path, label: str) -> None:
    put(tmp_path, f"{label}/1.jpg", "other/1.jpg")
    assert label in read_dataset(str(tmp_path)).classes


@pytest.mark.parametrize("label", ["gpj\u202eexe", "\u200d", "a\u2066b"])
def test_direction_controls_and_invisible_names_are_refused(tmp_path: Path, label: str) -> None:
    put(tmp_path, f"{label}/1.jpg", "other/1.jpg")
    with pytest.raises(UsageError, match="printable characters"):
        read_dataset(str(tmp_path))


def test_a_csv_of_excel_on_windows(tmp_path: Path) -> None:
    put(tmp_path, "cats/1.jpg", "dogs/2.jpg")
    table = tmp_path / "set.csv"
    text = "file;label\r\ncats\\1.jpg ;cafe\u0301\r\n;\r\n dogs/2.jpg; dog \r\n"
    table.write_bytes(text.encode("utf-16"))
    dataset = read_dataset(str(table))
    assert dataset.classes == ("caf\u00e9", "dog")
    assert [f.path for f in dataset.files] == [
        str(tmp_path / "cats/1.jpg"),
        str(tmp_path / "dogs/2.jpg"),
    ]


def test_a_backslash_or_space_of_a_real_name_stays(tmp_path: Path) -> None:
    put(tmp_path, "a\\1.jpg", "a/1.jpg", "b.jpg ", "b.jpg")
    table = tmp_path / "set.csv"
    table.write_text("file,label\na\\1.jpg,x\nb.jpg ,y\n")
    assert [f.name for f in read_dataset(str(table)).files] == ["a\\1.jpg", "b.jpg "]


def test_a_label_of_another_encoding_is_told_of(tmp_path: Path) -> None:
    table = tmp_path / "set.csv"
    table.write_bytes("file,label\na.jpg,Käse\n".encode("cp1252"))
    with pytest.raises(UsageError, match=r"line 2 must.*save the CSV as UTF-8"):
        read_dataset(str(table))
