"""Commands that write several files into a folder: one run at a time, and nothing is mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cnnkit
from cnnkit.errors import UsageError
from cnnkit.writers.locking import locked_folder

WRITERS = {
    "convolve": lambda out: cnnkit.convolve("photos", out, kernel="blur"),
    "convert_boxes": lambda out: cnnkit.convert_boxes("coco:boxes.json", f"voc:{out}"),
    "visualize_activations": lambda out: cnnkit.visualize_activations(
        "photos/cat.jpg", model="squeezenet-1.1", layers="conv1", channels=1, output=out
    ),
    "visualize_patches": lambda out: cnnkit.visualize_patches(
        "photos", model="squeezenet-1.1", layer="conv1", units="0-3", sheets=out
    ),
}
BOXES = {
    "images": [{"id": 1, "file_name": "cat.jpg", "width": 451, "height": 300}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
    "categories": [{"id": 1, "name": "cat"}],
}


@pytest.fixture
def photos(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(examples / "cat.jpg", tmp_path / "photos")
    (tmp_path / "boxes.json").write_text(json.dumps(BOXES))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_folder_that_another_run_writes_into_is_refused(photos, write) -> None:
    out = Path("out")
    out.mkdir()
    with locked_folder(out), pytest.raises(UsageError, match="out is being written by another run"):
        write("out")
    assert list(out.iterdir()) == []
    write("out")
    assert list(out.iterdir())


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_folder_of_the_run_itself_is_claimed_while_it_writes(photos, write, monkeypatch) -> None:
    """Another run that starts in the midst of it is the one that is refused."""
    from cnnkit.writers import replacing

    refused = []
    real = replacing.os.replace

    def replace(part: Path, path: Path) -> None:
        try:
            with locked_folder(Path("out")):
                pass
        except UsageError as error:
            refused.append(error)
        real(part, path)

    monkeypatch.setattr(replacing.os, "replace", replace)
    write("out")
    assert refused


def test_the_sheets_of_an_earlier_run_are_no_inputs(photos) -> None:
    options = {"model": "squeezenet-1.1", "layers": "conv1", "channels": 1}
    for _ in range(2):
        done = cnnkit.visualize_activations(
            "photos", output="photos/sheets", overwrite=True, **options
        )
        assert done.ok == 1
