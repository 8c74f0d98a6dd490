"""What YOLO's tools write beside plain boxes, and what YAML would make of class names."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cnnkit.errors import UsageError
from cnnkit.formats import AnnotatedImage, read_boxes, write_boxes


@pytest.fixture
def yolo_set(tmp_path: Path) -> Path:
    """A set of one image of 100 x 50 without labels."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (100, 50)).save(tmp_path / "images" / "a.png")
    return tmp_path


def read(folder: Path, lines: str, data: str = "names: [cat, dog]\n") -> AnnotatedImage:
    (folder / "labels" / "a.txt").write_text(lines)
    (folder / "data.yaml").write_text(data)
    found = read_boxes(f"yolo:{folder}")
    assert not found.problems
    return found.images[0]


def test_a_class_written_as_a_fraction_counts(yolo_set) -> None:
    [box] = read(yolo_set, "1.0 0.5 0.5 0.2 0.4\n").boxes
    assert (box.label, box.box) == ("dog", (40, 15, 20, 20))


@pytest.mark.parametrize(("numbers", "seen"), [("2", 0), ("3", 1)])
def test_a_pose_line_is_its_box_and_keypoints(yolo_set, numbers, seen) -> None:
    points = "0.1 0.2 2 0 0 0 0.3 0.4 1" if seen else "0.1 0.2 0 0 0.3 0.4"
    data = f"names: [cat]\nkpt_shape: [3, {numbers}]\n"
    [box] = read(yolo_set, f"0 0.5 0.5 0.2 0.4 {points}\n", data).boxes
    assert box.box == (40, 15, 20, 20)
    assert box.extra["keypoints"] == [10, 10, 2, 0, 0, 0, 30, 20, 1 if seen else 2]
    assert box.extra["num_keypoints"] == 2
    assert box.score is None
    [box] = read(yolo_set, f"0 0.5 0.5 0.2 0.4 {points} 0.75\n", data).boxes
    assert (box.box, box.score) == ((40, 15, 20, 20), 0.75)


def test_lines_of_another_length_than_kpt_shape_says_are_named(yolo_set) -> None:
    (yolo_set / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4 0.1 0.2 2\n")
    (yolo_set / "data.yaml").write_text("names: [cat]\nkpt_shape: [17, 3]\n")
    [problem] = read_boxes(str(yolo_set)).problems
    assert "8 numbers, where kpt_shape makes it 56" in problem.detail
    (yolo_set / "data.yaml").write_text("names: [cat]\n")
    [problem] = read_boxes(str(yolo_set)).problems
    assert "keypoints need kpt_shape" in problem.detail
    (yolo_set / "data.yaml").write_text("names: [cat]\nkpt_shape: [17, 5]\n")
    with pytest.raises(UsageError, match="kpt_shape must be a number of keypoints and 2 or 3"):
        read_boxes(str(yolo_set))


def test_a_turned_box_is_the_upright_one_around_it(yolo_set) -> None:
    corners = "0.2 0.1 0.4 0.3 0.3 0.5 0.1 0.3"
    for score in (None, 0.5):
        [box] = read(yolo_set, f"1 {corners} {score or ''}\n").boxes
        assert box.box == pytest.approx((10, 5, 30, 20))
        assert box.score == score


@pytest.mark.parametrize(
    "names", ["[yes, no, on, 1.0, 010, null, 2020-01-01]", '{0: yes, 1: "no", 2: on, 3: 1.0, '
              "4: 010, 5: null, 6: 2020-01-01}"]
)  # fmt: skip
def test_names_are_the_texts_that_are_written(yolo_set, names) -> None:
    expected = ("yes", "no", "on", "1.0", "010", "null", "2020-01-01")
    read(yolo_set, "", f"names: {names}\n")
    found = read_boxes(str(yolo_set))
    assert found.classes == expected
    write_boxes(f"yolo:{yolo_set}/again", found.images, found.classes)
    assert read_boxes(f"yolo:{yolo_set}/again").classes == expected


def test_a_missing_split_is_a_problem_unless_it_is_the_only_one(yolo_set) -> None:
    (yolo_set / "images" / "val").mkdir()
    Image.new("RGB", (8, 8)).save(yolo_set / "images" / "val" / "b.png")
    (yolo_set / "data.yaml").write_text(
        "names: [a]\ntrain: images\nval: images/val\ntest: none/x\n"
    )
    found = read_boxes(str(yolo_set))
    assert found.splits == ("train", "val")
    [problem] = found.problems
    assert (problem.code, problem.detail) == (
        "missing-split",
        "test: none/x: no such folder or file",
    )
    (yolo_set / "data.yaml").write_text("names: [a]\ntrain: images\nval: images/val\ntest:\n")
    assert not read_boxes(str(yolo_set)).problems
    (yolo_set / "other").mkdir()
    (yolo_set / "other" / "data.yaml").write_text("names: [a]\ntrain: gone\n")
    with pytest.raises(UsageError, match=r"existing images\. Received: train: gone"):
        read_boxes(str(yolo_set / "other" / "data.yaml"))


def test_lists_of_another_system_lead_to_their_images(yolo_set) -> None:
    (yolo_set / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    (yolo_set / "train.txt").write_text("images\\a.png\r\n")
    (yolo_set / "data.yaml").write_text("names: [a]\ntrain: train.txt\n")
    [image] = read_boxes(str(yolo_set)).images
    assert len(image.boxes) == 1


def test_spaces_around_a_name_in_a_list_are_its_own_if_such_a_file_exists(yolo_set) -> None:
    (yolo_set / "train.txt").write_text("images/a.png \r\n  images/a.png\n")
    (yolo_set / "data.yaml").write_text("names: [a]\ntrain: train.txt\n")
    assert [one.file for one in read_boxes(str(yolo_set)).images] == ["a.png"]
    (yolo_set / "images" / "a.png ").write_bytes((yolo_set / "images" / "a.png").read_bytes())
    assert [one.file for one in read_boxes(str(yolo_set)).images] == ["a.png ", "a.png"]


@pytest.mark.parametrize("key", ["names", "train", "kpt_shape"])
def test_a_laugh_in_data_yaml_ends_in_one_line(yolo_set, key) -> None:
    laugh = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    (yolo_set / "data.yaml").write_text(f"{laugh}{key}: *j\n")
    with pytest.raises(UsageError) as caught:
        read_boxes(str(yolo_set))
    assert len(str(caught.value)) < 500
