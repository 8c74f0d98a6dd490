from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnkit.data.box_files import read_image_boxes
from cnnkit.errors import UsageError

COCO = {
    "images": [{"id": 7, "file_name": "sub/a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
    "categories": [{"id": 3, "name": "dog"}],
    "annotations": [
        {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40]},
        {"image_id": 8, "category_id": 3, "bbox": [1, 2, 3, 4]},
        {"image_id": 7, "category_id": 5, "bbox": [0.5, 0, 2, 2]},
    ],
}


def test_coco_and_csv_give_the_same_corners(tmp_path: Path) -> None:
    coco, table = tmp_path / "boxes.json", tmp_path / "boxes.csv"
    coco.write_text(json.dumps(COCO))
    table.write_text(
        "file,label,x1,y1,x2,y2\na.jpg,dog,10,20,40,60\nb.jpg,dog,1,2,4,6\na.jpg,5,0.5,0,2.5,2\n"
    )
    for path in (coco, table):
        boxes = read_image_boxes(str(path), ["photos/a.jpg", "none.jpg"])
        assert boxes["photos/a.jpg"].corners.tolist() == [[10, 20, 40, 60], [0.5, 0, 2.5, 2]]
        assert boxes["photos/a.jpg"].labels == ("dog", "5")
        assert boxes["none.jpg"].corners.shape == (0, 4)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{}", "must be COCO's JSON.*no list images"),
        ("a.json", "[1]", "must be COCO's JSON"),
        ("a.json", '{"images": ', "must be COCO's JSON"),
        ("a.json", "[" * 100_000, "must be COCO's JSON"),
        ("a.csv", "file,label\na.jpg,dog\n", "must be a CSV with the columns.*KeyError"),
        ("a.csv", "file,label,x1,y1,x2,y2\na.jpg,dog,1,2,3,x\n", "must be a CSV"),
        ("a.csv", "file,label,x1,y1,x2,y2\na.jpg,dog,9,2,3,4\n", "a width and a height"),
        ("a.csv", "file,label,x1,y1,x2,y2\na.jpg,dog,1,2,3,nan\n", "a width and a height"),
    ],
)
def test_another_form_is_refused_in_one_line(tmp_path, name, text, message) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_image_boxes(str(path), ["a.jpg"])
    assert "\n" not in str(caught.value)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """Both images got the boxes of the last one in a COCO file, and of both in a CSV."""
    names = ("train/a.jpg", "val/a.jpg")
    coco, table = tmp_path / "boxes.json", tmp_path / "boxes.csv"
    content = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [
            {"image_id": n, "category_id": 3, "bbox": [10 * n, 0, 5, 5]} for n in range(2)
        ],
    }
    coco.write_text(json.dumps(content))
    lines = [f"{name},dog,{10 * n},0,{10 * n + 5},5" for n, name in enumerate(names)]
    table.write_text("\n".join(["file,label,x1,y1,x2,y2", *lines]))
    images = [str(tmp_path / name) for name in names]
    for path in (coco, table):
        boxes = read_image_boxes(str(path), images)
        assert [boxes[image].corners.tolist() for image in images] == [
            [[0, 0, 5, 5]],
            [[10, 0, 15, 5]],
        ]
        with pytest.raises(UsageError, match=r"have one file that other/a.jpg can be.*2 of that"):
            read_image_boxes(str(path), ["other/a.jpg"])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_image_boxes(str(tmp_path / "none.json"), ["a.jpg"])


def test_a_csv_of_a_spreadsheet_on_windows(tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    text = "file;label;x1;y1;x2;y2\r\nphotos\\a.jpg;cafe\u0301;1;2;3;4\r\n;;;;;\r\n"
    table.write_bytes(text.encode("utf-16"))
    boxes = read_image_boxes(str(table), ["a.jpg"])["a.jpg"]
    assert boxes.corners.tolist() == [[1, 2, 3, 4]] and boxes.labels == ("caf\u00e9",)
