"""Labels stand where YOLO's tools look for them, and data.yaml leads to every image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from cnnkit.cli.convert_boxes import command
from cnnkit.formats import AnnotatedImage, BoxAnnotation, read_boxes, write_boxes

BOX = [2, 4, 8, 8]


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 40)).save(path)
    return path


def coco(path: Path, *names: str, name: str = "dog", **more) -> Path:
    """Write a COCO file of images of 20 x 40 with one box each."""
    size = {"width": 20, "height": 40}
    content = {
        "images": [{"id": n, "file_name": file, **size} for n, file in enumerate(names)],
        "categories": [{"id": 1, "name": name}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": BOX, "segmentation": []}
            for n, _ in enumerate(names)
        ],
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def converted(*arguments: str | Path, status: int = 0) -> Result:
    done = CliRunner().invoke(command, [str(one) for one in arguments])
    assert done.exit_code == status, done.output
    return done


def yolo_label(image: Path) -> Path:
    """Where ultralytics looks: ``img2label_paths`` of its data/utils.py."""
    return Path("/labels/".join(str(image).rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")


@pytest.mark.parametrize(
    "noted", ["a.jpg", "images/a.jpg", "home/me/set/images/a.jpg", "C:\\set\\a.jpg", "/x/a.jpg"]
)
def test_labels_are_named_after_where_the_image_is_not_after_its_note(tmp_path, noted) -> None:
    image = photo(tmp_path / "images" / "a.jpg")
    source = coco(tmp_path / "a.json", noted)
    converted(source, f"yolo:{tmp_path}/labels")
    assert yolo_label(image).read_text() == "0 0.3 0.2 0.4 0.2\n"
    for again in (tmp_path, tmp_path / "labels", tmp_path / "labels" / "data.yaml"):
        [found] = read_boxes(f"yolo:{again}").images
        assert [one.box for one in found.boxes] == [tuple(BOX)]


def test_data_yaml_has_path_train_and_names(tmp_path) -> None:
    photo(tmp_path / "images" / "sub" / "a.jpg")
    photo(tmp_path / "images" / "b.jpg")
    converted(coco(tmp_path / "a.json", "sub/a.jpg", "b.jpg", name="no"), f"yolo:{tmp_path}/labels")
    content = yaml.safe_load((tmp_path / "labels" / "data.yaml").read_text())
    assert content == {"path": str(tmp_path), "train": "images", "names": {0: "no"}}


def test_images_elsewhere_are_found_again_and_that_other_tools_will_not_is_said(tmp_path) -> None:
    photo(tmp_path / "photos" / "a.jpg")
    source = coco(tmp_path / "photos" / "a.json", "a.jpg")
    done = converted(source, f"yolo:{tmp_path}/labels")
    assert "YOLO's tools look for the labels of a.jpg in" in done.output
    [found] = read_boxes(f"yolo:{tmp_path}/labels").images
    assert [one.box for one in found.boxes] == [tuple(BOX)]


def test_labels_beside_images_when_their_folder_is_the_target(tmp_path) -> None:
    photo(tmp_path / "a.jpg")
    converted(coco(tmp_path / "a.json", "a.jpg"), f"yolo:{tmp_path}", "--overwrite")
    assert (tmp_path / "a.txt").read_text() == "0 0.3 0.2 0.4 0.2\n"
    content = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert (content["path"], content["train"]) == (str(tmp_path), ".")


def test_a_set_within_a_larger_folder_lists_its_own_images_alone(tmp_path) -> None:
    image = photo(tmp_path / "images" / "a.jpg")
    photo(tmp_path / "images" / "other.jpg")
    converted(coco(tmp_path / "a.json", "a.jpg"), f"yolo:{tmp_path}/labels")
    content = yaml.safe_load((tmp_path / "labels" / "data.yaml").read_text())
    assert Path(content["train"]).read_text().splitlines() == [str(image)]
    found = read_boxes(f"yolo:{tmp_path}/labels/data.yaml")
    assert [len(one.boxes) for one in found.images] == [1]


def test_equal_stems_are_said_and_are_status_1(tmp_path) -> None:
    for name in ("a.jpg", "a.png"):
        photo(tmp_path / "images" / name)
    done = converted(
        coco(tmp_path / "a.json", "a.jpg", "a.png"), f"yolo:{tmp_path}/labels", status=1
    )
    assert "another image has the same name up to its ending" in done.output
    assert "a.png" in done.output


@pytest.fixture
def split_set(tmp_path) -> Path:
    """Roboflow's way: train/ and valid/ with a COCO file and images of the same names."""
    for split, license in (("train", 1), ("valid", 2)):
        photo(tmp_path / "set" / split / "1.jpg")
        coco(
            tmp_path / "set" / split / "_annotations.coco.json",
            "1.jpg",
            info={"year": 2024},
            licenses=[{"id": license, "name": "CC"}],
            categories=[{"id": 1, "name": "dog", "supercategory": "animal"}],
        )
    return tmp_path


@pytest.mark.parametrize("target", ["coco:set/all.json", "voc:xml", "yolo:labels"])
def test_splits_are_kept_and_equal_names_stay_apart(split_set, monkeypatch, target) -> None:
    monkeypatch.chdir(split_set)
    done = converted("coco:set", target)
    assert "outlines" not in done.output  # the lists of them are empty
    images = "set" if target.startswith("voc") else None
    found = read_boxes(target, images)
    assert [(one.file, one.split) for one in found.images] == [
        ("train/1.jpg", "train"),
        ("valid/1.jpg", "val"),
    ]
    assert all(Path(one.path).samefile(split_set / "set" / one.file) for one in found.images)
    assert [[one.box for one in image.boxes] for image in found.images] == [[tuple(BOX)]] * 2
    if target.startswith("coco"):
        content = json.loads(Path("set/all.json").read_text())
        assert content["info"] == {"year": 2024}
        assert [one["id"] for one in content["licenses"]] == [1, 2]
        assert content["categories"][0]["supercategory"] == "animal"
    else:
        assert "info, licenses, more of the categories dropped" in done.output


def test_splits_of_one_images_folder_are_folders_in_data_yaml(tmp_path) -> None:
    images = []
    for split in ("train", "val"):
        path = photo(tmp_path / "images" / split / "1.jpg")
        box = BoxAnnotation("dog", tuple(map(float, BOX)))
        file = f"{split}/1.jpg"
        images.append(AnnotatedImage(file, 20, 40, (box,), str(path), split=split))
    written = write_boxes(f"yolo:{tmp_path}/labels", images, ["dog"])
    assert (written.lost, written.notes) == ((), ())
    content = yaml.safe_load((tmp_path / "labels" / "data.yaml").read_text())
    assert content["train"] == "images/train"
    assert content["val"] == "images/val"
    assert yolo_label(Path(images[1].path)).is_file()
    assert read_boxes(str(tmp_path / "labels")).splits == ("train", "val")


def test_a_refused_image_is_left_out_by_name_and_status_1(tmp_path) -> None:
    photo(tmp_path / "images" / "a.jpg")
    Image.new("RGB", (40, 20)).save(tmp_path / "images" / "b.jpg")
    source = coco(tmp_path / "a.json", "a.jpg", "b.jpg")
    done = converted(source, f"yolo:{tmp_path}/labels", status=1)
    assert "1 images are left out: their boxes were made for other proportions." in done.output
    assert "b.jpg: 20 x 40 noted, 40 x 20 shown" in done.output
    assert not (tmp_path / "labels" / "b.txt").exists()


def test_an_image_that_exif_turns_has_its_own_shares(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.new("RGB", (20, 40)).save(tmp_path / "images" / "a.jpg", exif=exif)  # 40 x 20 shown
    done = converted(coco(tmp_path / "a.json", "a.jpg"), f"yolo:{tmp_path}/labels")
    assert "its boxes were turned along" in done.output
    # Left, top, width, height 2 4 8 8 become 40 - 4 - 8 = 28, 2, 8, 8.
    assert (tmp_path / "labels" / "a.txt").read_text() == "0 0.8 0.3 0.2 0.4\n"
