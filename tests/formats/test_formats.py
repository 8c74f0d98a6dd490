"""The three formats: read, written, lossless, bounded; every wrong entry named, none fatal."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnnkit.errors import UsageError
from cnnkit.formats import (
    AnnotatedImage,
    BoxAnnotation,
    check_target,
    image_of_row,
    mend,
    read_boxes,
    with_form,
    write_boxes,
)
from cnnkit.formats.coco import write_coco
from cnnkit.formats.image_files import AnnotationNames, inside

SIZES = {"a.jpg": (64, 48), "sub/a.jpg": (50, 40), "sub/b.png": (33, 77), "empty.png": (20, 20)}
CLASSES = ("raccoon", "röd räv")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``images`` with images of known sizes."""
    folder = tmp_path_factory.mktemp("set") / "images"
    for name, (width, height) in SIZES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), "green").save(path)
    return folder


def images(photos: Path) -> list[AnnotatedImage]:
    boxes = {
        "a.jpg": (BoxAnnotation("raccoon", (3.0, 4.0, 10.0, 20.0)),),
        "sub/a.jpg": (
            BoxAnnotation("röd räv", (0.0, 0.0, 50.0, 40.0)),
            BoxAnnotation("raccoon", (1.0, 2.0, 3.0, 5.0)),
        ),
        "sub/b.png": (BoxAnnotation("raccoon", (12.0, 7.0, 21.0, 70.0)),),
        "empty.png": (),
    }
    return [AnnotatedImage(name, *SIZES[name], boxes[name], str(photos / name)) for name in SIZES]


def plain(found: list[AnnotatedImage] | tuple[AnnotatedImage, ...]) -> dict[str, object]:
    """What must survive: name, size, labels and boxes."""
    return {
        one.file: (
            one.width,
            one.height,
            [(b.label, [round(side, 4) for side in b.box]) for b in one.boxes],
        )
        for one in found
    }


@pytest.mark.parametrize("target", ["coco:boxes.json", "voc:Annotations", "yolo:labels"])
def test_every_form_gives_back_what_was_written(photos: Path, tmp_path: Path, target: str) -> None:
    form, _, name = target.partition(":")
    place = f"{form}:{tmp_path / name}"
    write_boxes(place, images(photos), CLASSES)
    found = read_boxes(place, str(photos))
    assert found.form == form
    assert not found.problems
    assert plain(found.images) == plain(images(photos))
    assert found.classes == CLASSES
    assert {Path(one.path) for one in found.images} == {photos / name for name in SIZES}
    assert read_boxes(str(tmp_path / name), str(photos)).form == form  # without the prefix


def test_coco_keeps_everything_to_the_last_digit(tmp_path: Path) -> None:
    content = {
        "info": {"year": 2017},
        "categories": [
            {"id": 7, "name": "dog", "supercategory": "animal"},
            {"id": 3, "name": "a"},
        ],
        "images": [
            {"id": 9, "file_name": "x.jpg", "width": 640, "height": 427, "license": 3},
            {"id": "text", "file_name": "y.jpg", "width": 5, "height": 6},
        ],
        "annotations": [
            {
                "id": 901,
                "image_id": 9,
                "category_id": 7,
                "bbox": [1.07, 187.69, 612.13, 285.3],
                "area": 120.5,
                "iscrowd": 1,
                "segmentation": {"size": [1, 2], "counts": [1]},
            },
            {"id": 44, "image_id": "text", "category_id": 3, "bbox": [1, 2, 3, 4], "area": 7},
        ],
    }
    path, again = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text(json.dumps(content))
    found = read_boxes(str(path))
    write_boxes(
        f"coco:{again}",
        found.images,
        found.classes,
        category_ids=found.category_ids,
        extra=found.extra,
    )
    written = json.loads(again.read_text())
    for one in content["annotations"]:
        one.setdefault("iscrowd", 0)
    assert written == content


def written_voc(folder: Path, filename: str) -> None:
    document = f"<annotation><filename>{filename}</filename></annotation>"
    (folder / "x.xml").write_text(document)


@pytest.mark.parametrize(
    ("filename", "files", "expected"),
    [
        ("a.jpg ", ["a.jpg"], "a.jpg"),
        ("a.jpg ", ["a.jpg ", "a.jpg"], "a.jpg "),
        ("a.jpg ", ["a.jpg "], "a.jpg "),
        ("\n  a.jpg\n", ["a.jpg"], "a.jpg"),
        (" a.jpg", ["a.jpg", " a.jpg"], " a.jpg"),
        ("a.jpg ", ["a.jpg", "a.png"], "a.jpg"),
        ("a.jpg ", ["a.png"], "a.png"),
        ("a ", ["a.jpg", "a .jpg"], "a .jpg"),
        ("  ", ["x.jpg"], "x.jpg"),
        ("a.jpg ", [], "a.jpg"),
    ],
)
def test_spaces_around_a_file_name_of_voc_are_its_own_if_such_a_file_exists(
    tmp_path: Path, filename: str, files: list[str], expected: str
) -> None:
    written_voc(tmp_path, filename)
    for name in files:
        (tmp_path / name).write_bytes(b"")
    [image] = read_boxes(f"voc:{tmp_path}").images
    assert image.file == expected
    assert image.path == (str(tmp_path / expected) if files else None)


def test_a_stem_that_ends_in_a_space_keeps_its_split(tmp_path: Path) -> None:
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for stem in ("a", "a ", "b", "c"):
        (tmp_path / f"{stem}.xml").write_text("<annotation></annotation>")
    (lists / "train.txt").write_text("a \nb 1 \n")
    (lists / "val.txt").write_text("a\r\nc\n")
    found = read_boxes(f"voc:{tmp_path}").images
    expected = {"a": "val", "a ": "train", "b": "train", "c": "val"}
    assert {image.file: image.split for image in found} == expected


def test_voc_counts_from_one_with_both_ends_included(tmp_path: Path) -> None:
    box = BoxAnnotation("raccoon", (0.0, 4.0, 10.0, 1.5), difficult=True, truncated=True)
    write_boxes(f"voc:{tmp_path / 'x'}", [AnnotatedImage("a.jpg", 20, 30, (box,))], ["raccoon"])
    text = (tmp_path / "x" / "a.xml").read_text()
    for part in ("<xmin>1<", "<ymin>5<", "<xmax>10<", "<ymax>5.5<", "<difficult>1<"):
        assert part in text
    [read] = read_boxes(f"voc:{tmp_path / 'x'}").images
    assert read.boxes[0].box == box.box
    assert read.boxes[0].difficult
    assert read.boxes[0].truncated


VOC = """<annotation>{before}<filename>f.jpg</filename><size><width>9</width>
<height>8</height></size><object><name>dog</name><bndbox><xmin>{xmin}</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax>
</bndbox></object></annotation>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]>' + VOC.format(before="", xmin=1), "document type"),
        (
            '<!DOCTYPE a SYSTEM "file:///etc/passwd">' + VOC.format(before="", xmin=1),
            "document type",
        ),
        ("<a>" * 100 + "</a>" * 100, "nested deeper"),
        ("<annotation>", "no XML"),
        ("", "no XML"),
        ("\0\1\2", "no XML"),
    ],
)
def test_dangerous_and_broken_xml_is_one_problem_and_the_rest_is_read(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "bad.xml").write_text(text)
    (tmp_path / "good.xml").write_text(VOC.format(before="", xmin=1))
    found = read_boxes(str(tmp_path))
    assert len(found.images) == 1
    [problem] = found.problems
    assert problem.code == "malformed"
    assert message in problem.detail
    assert problem.path.endswith("bad.xml")


def test_a_broken_object_costs_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(VOC.format(before="", xmin="x"))
    found = read_boxes(str(tmp_path))
    assert [one.boxes for one in found.images] == [()]
    assert "object 1" in found.problems[0].detail


def test_names_out_of_files_never_leave_their_folder(tmp_path: Path) -> None:
    assert inside("../../etc/passwd") == "etc/passwd"
    assert inside("C:\\photos\\a.jpg") == "photos/a.jpg"
    assert inside("/") == "unnamed"
    evil = [AnnotatedImage("../../up.jpg", 5, 5), AnnotatedImage("/abs.jpg", 5, 5)]
    for form in ("voc", "yolo"):
        write_boxes(f"{form}:{tmp_path / form / 'deep'}", evil, [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["voc", "yolo"]
    assert sorted(p.name for p in (tmp_path / "yolo").rglob("*.txt")) == [
        "abs.txt",
        "classes.txt",
        "up.txt",
    ]


def test_images_of_one_stem_keep_files_of_their_own(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    names = ("a.jpg", "a.png", "classes.png")
    found = []
    for number, name in enumerate(names):
        Image.new("RGB", (10, 10)).save(images / name)
        box = BoxAnnotation("dog", (0.0, 0.0, 1.0 + number, 1.0))
        found.append(AnnotatedImage(name, 10, 10, (box,)))
    write_boxes(f"yolo:{tmp_path / 'labels'}", found, ["dog"])
    again = read_boxes(str(tmp_path))
    assert plain(again.images) == plain(found)
    assert again.classes == ("dog",)


def test_annotation_names_never_come_twice() -> None:
    names = AnnotationNames(".txt")
    given = ["a.jpg", "A.png", "a.jpg", "a.jpg", "b/a.jpg"]
    written = [names.name(name) for name in given]
    assert len({name.lower() for name in written}) == len(given)


def test_yolo_reads_polygons_scores_and_names_bad_lines(photos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.txt").write_text(
        "0 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.25 0.5 0.75\n0 0.1 0.1 0.3 0.1 0.3 0.6\n"
        "0 0.5 0.5\nx 1 1 1 1\n7 0.5 0.5 0.5 0.5\n"
    )
    (labels / "classes.txt").write_text("raccoon\nfox\n")
    found = read_boxes(f"yolo:{labels}", str(photos))
    boxes = next(one for one in found.images if one.file == "a.jpg").boxes
    assert boxes[0].box == (24, 12, 16, 24)
    assert boxes[1].score == 0.75
    np.testing.assert_allclose(boxes[2].box, (6.4, 4.8, 12.8, 24))
    assert boxes[3].label == "7"
    assert [problem.detail[:6] for problem in found.problems] == ["line 4", "line 5"]
    assert len(found.images) == len(SIZES)


def test_a_data_yaml_names_classes_and_splits(photos: Path) -> None:
    folder = photos.parent
    (folder / "data.yaml").write_text(
        "names: {0: raccoon, 1: fox}\ntrain: images/sub\nval: images\n"
    )
    try:
        found = read_boxes(str(folder))
        assert found.classes == ("raccoon", "fox")
        assert found.splits == ("train", "val")
        (folder / "data.yaml").write_text("names: [a, a]\n")
        with pytest.raises(UsageError, match="'a' twice"):
            read_boxes(str(folder))
    finally:
        (folder / "data.yaml").unlink()


def test_coco_takes_wrong_entries_as_problems(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "x.jpg", "width": 9, "height": 9}, {"id": 1}, 5],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"image_id": 1, "category_id": 2, "bbox": [1, 1, 2, 2]},
            {"image_id": 1, "category_id": 9, "bbox": [1, 1, 2, 2]},
            {"image_id": 5, "category_id": 1, "bbox": [1, 1, 2, 2]},
            {"image_id": 1, "category_id": 1, "bbox": [1, 1, 2]},
            {"image_id": 1, "category_id": [1], "bbox": [1, 1, 2, 2]},
            "text",
        ],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    found = read_boxes(str(path))
    assert found.classes == ("dog",)
    assert [one.label for one in found.images[0].boxes] == ["dog", "9"]
    codes = [problem.code for problem in found.problems]
    assert sorted(codes) == ["malformed"] * 5 + ["missing-picture"]


def test_ids_of_pandas_and_of_texts_find_each_other(tmp_path: Path) -> None:
    content = {
        "images": [
            {"id": 1.0, "file_name": "x.jpg", "width": 9, "height": 9},
            {"id": "7", "file_name": "y.jpg", "width": 9, "height": 9},
        ],
        "categories": [{"id": 3.0, "name": "dog"}],
        "annotations": [
            {"image_id": 1.0, "category_id": 3.0, "bbox": [1, 1, 2, 2], "iscrowd": "0"},
            {"image_id": "1", "category_id": "3", "bbox": [2, 2, 2, 2], "iscrowd": 1.0},
            {"image_id": 7, "category_id": 3, "bbox": [3, 3, 2, 2]},
        ],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    found = read_boxes(str(path))
    assert not found.problems
    assert found.category_ids == (3,)
    assert [one.crowd for one in found.images[0].boxes] == [False, True]
    assert [[(b.label, b.box[0]) for b in one.boxes] for one in found.images] == [
        [("dog", 1), ("dog", 2)],
        [("dog", 3)],
    ]


@pytest.mark.parametrize(
    ("box", "codes", "mended"),
    [
        ((1, 2, 3, 4), [], (1, 2, 3, 4)),
        ((5, 2, -3, 4), ["swapped-corners"], (2, 2, 3, 4)),
        ((-2, 2, 6, 4), ["outside"], (0, 2, 4, 4)),
        ((8, 8, 2.3, 2), [], (8, 8, 2, 2)),
        ((30, 30, 5, 5), ["outside"], None),
        ((3, 3, 0, 5), ["empty"], None),
        ((float("nan"), 3, 2, 5), ["not-finite"], None),
        ((1, 2, float("inf"), 4), ["not-finite"], None),
    ],
)
def test_a_wrong_box_is_named_and_mended_and_its_image_stays(box, codes, mended) -> None:
    good = BoxAnnotation("dog", (0.0, 0.0, 9.0, 9.0))
    image = AnnotatedImage("a.jpg", 10, 10, (BoxAnnotation("dog", box), good))
    sound, problems = mend(image, ["dog"])
    assert [problem.code for problem in problems] == codes
    assert [one.box for one in sound.boxes] == ([mended] if mended else []) + [good.box]


def test_duplicates_and_unknown_classes_are_left_out() -> None:
    dog, cat = (BoxAnnotation(name, (1.0, 2.0, 3.0, 4.0)) for name in ("dog", "cat"))
    image = AnnotatedImage("a.jpg", 10, 10, (dog, cat, dog))
    sound, problems = mend(image, ["dog"])
    assert sound.boxes == (dog,)
    assert [(problem.code, problem.index) for problem in problems] == [
        ("unknown-class", 1),
        ("duplicate", 2),
    ]


def test_a_row_of_detect_becomes_predictions() -> None:
    row = {
        "path": "x/a.jpg",
        "width": 10,
        "height": 20,
        "detections": [{"label": "dog", "class_id": 16, "score": 0.5, "box": [1, 2, 3, 4]}],
    }
    image = image_of_row(row)
    assert (image.file, image.width, image.height) == ("x/a.jpg", 10, 20)
    assert image.boxes == (BoxAnnotation("dog", (1, 2, 3, 4), 0.5),)


def test_targets_are_checked_before_the_work(tmp_path: Path) -> None:
    assert with_form("coco:a.json") == ("coco", "a.json")
    assert with_form("C:/a") == (None, "C:/a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for target, message in (
        ("a.json", "begin with coco:"),
        ("coco:", "followed by a path"),
        (f"coco:{tmp_path}/a.txt", "a .json file"),
        (f"coco:{tmp_path}/none/a.json", "existing folder"),
        (f"voc:{tmp_path}/full", "has files already"),
        (f"yolo:{tmp_path}/full/x", "name a folder"),
    ):
        with pytest.raises(UsageError, match=message):
            check_target(target)


@pytest.mark.parametrize("name", ["none", "empty", "text.txt"])
def test_what_is_no_set_of_boxes_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(UsageError) as caught:
        read_boxes(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_failing_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def broken():
        yield AnnotatedImage("a.jpg", 1, 1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_coco(path, broken(), ["dog"])
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


sides = st.floats(-50, 150, allow_nan=False).map(lambda value: round(value, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(sides, sides, sides, sides), max_size=6))
def test_mended_boxes_lie_in_the_image_and_need_no_mending(boxes) -> None:
    image = AnnotatedImage("a.jpg", 100, 80, tuple(BoxAnnotation("dog", box) for box in boxes))
    sound, _ = mend(image, ["dog"])
    for one in sound.boxes:
        left, top, width, height = one.box
        assert left >= 0
        assert top >= 0
        assert width > 0
        assert height > 0
        assert left + width <= 100 + 1e-9
        assert top + height <= 80 + 1e-9
    again, problems = mend(sound, ["dog"])
    assert dataclasses.replace(again) == sound
    assert not problems


def test_a_set_keeps_the_splits_of_coco_files_in_folders(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / split / "a.jpg")
        image = AnnotatedImage("a.jpg", 8, 8, (BoxAnnotation("dog", (1.0, 1.0, 2.0, 2.0)),))
        write_coco(tmp_path / split / "_annotations.coco.json", [image], ["dog"])
    found = read_boxes(str(tmp_path))
    assert found.splits == ("train", "val")
    assert [one.path for one in found.images] == [
        str(tmp_path / "train" / "a.jpg"),
        str(tmp_path / "valid" / "a.jpg"),
    ]


def coco_file(folder: Path, files: list[str], boxes: list[tuple[int, list[float]]]) -> str:
    """Write a COCO file with a photo for each name."""
    for name in set(files):
        Image.new("RGB", (40, 30)).save(folder / name)
    content = {
        "images": [
            {"id": n, "file_name": f, "width": 40, "height": 30} for n, f in enumerate(files)
        ],
        "annotations": [
            {"id": n, "image_id": image, "category_id": 1, "bbox": box}
            for n, (image, box) in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "set.json").write_text(json.dumps(content))
    return str(folder / "set.json")


def test_entries_of_one_image_are_joined_and_told(tmp_path: Path) -> None:
    """Each alone would make the detections of the other's boxes mistakes."""
    boxes = [(0, [1, 1, 9.5, 9]), (1, [2, 2, 5, 5]), (2, [20, 9, 9, 9])]
    found = read_boxes(coco_file(tmp_path, ["a.png", "b.png", "./a.png"], boxes))
    assert [(one.file, [box.box[0] for box in one.boxes]) for one in found.images] == [
        ("a.png", [1, 20]),
        ("b.png", [2]),
    ]
    assert [(p.code, p.detail) for p in found.problems] == [("repeated-picture", "2 entries")]


def test_an_image_that_a_list_names_twice_has_its_boxes_once(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "train.txt").write_text("images/a.png\nimages/a.png\n")
    (tmp_path / "data.yaml").write_text("train: train.txt\nnames: [cat]\n")
    found = read_boxes(str(tmp_path / "data.yaml"))
    assert [len(one.boxes) for one in found.images] == [1]
    assert [p.code for p in found.problems] == ["repeated-picture"]


def test_relative_boxes_where_pixels_belong_are_refused(tmp_path: Path) -> None:
    relative = coco_file(tmp_path, ["a.png"], [(0, [0.1, 0.2, 0.5, 0.8]), (0, [0, 0, 1, 1])])
    with pytest.raises(UsageError, match=r"have boxes in pixels[.] Received: .* from 0 to 1"):
        read_boxes(relative)
    for box in ([0, 0, 1, 1], [0.5, 0.5, 0.5, 9]):  # a single pixel, and one that is not relative
        assert read_boxes(coco_file(tmp_path, ["a.png"], [(0, box)])).images[0].boxes


def test_a_box_larger_than_numbers_is_a_problem(tmp_path: Path) -> None:
    found = read_boxes(coco_file(tmp_path, ["a.png"], [(0, [1, 1, 1e308, 1e308])]))
    mended, problems = mend(found.images[0], clip=False)
    assert mended.boxes == () and [p.code for p in problems] == ["not-finite"]
