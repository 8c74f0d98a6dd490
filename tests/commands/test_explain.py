"""`cnnkit.explain`: what the command does, from Python and in silence."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cnnkit
from cnnkit.cli import _run


@pytest.fixture
def photos(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(examples / "cat.jpg", folder)
    (folder / "text.jpg").write_text("no image")
    return folder


def test_the_function_writes_what_the_command_writes(photos, capfd, monkeypatch) -> None:
    rows: list[dict] = []
    summary = cnnkit.explain(Path("photos"), maps=Path("heat"), output="p.csv", emit=rows.append)
    assert capfd.readouterr() == ("", "")
    assert (summary.ok, summary.failed) == (1, 1)
    made = {path.name: path.read_bytes() for path in Path("heat").iterdir()}
    assert len(made) == 1 and rows[0]["heat"].endswith(".npy")
    line = "cnnkit explain photos --maps heat -o p.csv --overwrite"
    before = Path("p.csv").read_bytes()
    monkeypatch.setattr("sys.argv", line.split())
    assert _run() == 1
    assert Path("p.csv").read_bytes() == before
    assert {path.name: path.read_bytes() for path in Path("heat").iterdir()} == made


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: 0."),
        ({"size": 8}, "at least 16"),
        ({"overlays": Path("photos"), "overwrite": True}, "differ from the folders"),
        ({"reference": "photos/cat.jpg"}, "embed-face"),
        ({"model": "yolov3-tiny", "layer": "a"}, "requires a model for classify"),
        ({"method": "guessing"}, "guessing"),
        ({"method": ""}, "method"),
        ({"layer": ""}, "layer"),
        ({"retry_errors": True}, "resume"),
    ],
)
def test_what_the_command_refuses_the_function_refuses(keywords, said, photos) -> None:
    with pytest.raises(cnnkit.CnnkitError) as caught:
        cnnkit.explain("photos", **keywords)
    assert said in str(caught.value)


def test_an_embedder_of_whole_images_is_asked_about_whole_images() -> None:
    """A face was looked for and aligned, which it was not made for."""
    from cnnkit.commands.explain_subjects import explainer_of_faces
    from cnnkit.runtime import RuntimeOptions
    from tests.faces.test_exporting import small_embedder

    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    options = RuntimeOptions(runtime="tensorflow")
    explainer = explainer_of_faces(small_embedder("none"), image, options, max_pixels=10**6)
    found = explainer.predict(image)
    assert found.target == (0, 0, 60, 40)
    assert tuple(found.region) == (0, 0, 60, 40)
    assert found.predicted == "same person"


def test_another_image_to_compare_with_is_another_run(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its path alone was compared, and the rows of both were one file."""
    from cnnkit.commands import explain as command

    seen = []
    monkeypatch.setattr(command, "_explainer_of", lambda *_: SimpleNamespace(**PARTS))
    monkeypatch.setattr(command, "explain_folders", lambda *_, options, **__: seen.append(options))
    for name in ("astronaut.jpg", "coffee.jpg"):
        shutil.copy(examples / name, tmp_path / "with.jpg")
        cnnkit.explain(tmp_path / "with.jpg", model="dlib-face", reference=tmp_path / "with.jpg")
    assert seen[0] != seen[1]
    assert {k: v for k, v in seen[0].items() if "sha256" not in k}.items() <= seen[1].items()


PARTS = {
    "method": "occlusion",
    "spec": SimpleNamespace(fit="stretch"),
    "predictor": SimpleNamespace(runtime="tensorflow", precision="float32"),
}
