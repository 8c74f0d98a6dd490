"""Training a network for one style: it learns, it can be killed, and its bundle paints."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cnnkit.architectures.style_transformer import LARGEST
from cnnkit.bundles import open_model
from cnnkit.errors import OutputError, UsageError
from cnnkit.runtime import RuntimeOptions
from cnnkit.style.one_pass import OnePassPainter
from cnnkit.style.training import learning as training
from cnnkit.style.training.learning import PainterSettings, learn_style
from cnnkit.style.training.photos import Photos
from tests.eagerly import eagerly
from tests.style.painters import drawn

SMALL = {"size": 64, "batch_size": 2, "filters": 2, "residual_blocks": 1, "style_size": 96}
STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Photos, a style, and a file that is no image."""
    folder = tmp_path_factory.mktemp("train-style")
    (folder / "photos").mkdir()
    for number in range(6):
        image = Image.fromarray(drawn(80, 110, seed=number))
        image.save(folder / "photos" / f"{number}.png")
    Image.fromarray(drawn(90, 120, seed=50)[..., ::-1]).save(folder / "style.png")
    return folder


def settings(folder: Path, name: str, **changes) -> PainterSettings:
    given = {"steps": STEPS, **SMALL, **changes}
    paths = [str(folder / "photos")], [str(folder / "style.png")]
    return PainterSettings(*paths, folder / name, **given)


def weights_of(bundle: Path) -> np.ndarray:
    from safetensors.numpy import load_file

    arrays = load_file(bundle / "weights.safetensors")
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


@pytest.fixture(scope="module")
def trained(folder: Path):
    """An undisturbed run, with all that it told."""
    told = []
    with eagerly():
        return learn_style(settings(folder, "undisturbed"), told.append), told


def test_it_learns(trained) -> None:
    made, told = trained
    assert [progress.step for progress in told] == list(range(1, STEPS + 1))
    assert told[-1].seconds_left == 0
    assert made.steps == STEPS
    assert made.after[1] < made.before[1]  # the style is nearer, on photos not learned from


def test_the_bundle_says_how_it_was_made_and_paints(trained) -> None:
    made, _ = trained
    card = json.loads((made.bundle / "card.json").read_text(encoding="utf-8"))
    record = card["training"]
    assert (record["steps"], record["photos"]) == (STEPS, 3)
    assert record["settings"]["network"] == "squeezenet-1.1"
    assert record["curve"]["columns"][0] == "step" and len(record["curve"]["rows"]) == STEPS
    report = (made.bundle / "report.html").read_text(encoding="utf-8")
    assert report.count("<img ") == 1 + 2 * 3 and "Style loss" in report
    assert not made.bundle.with_name("undisturbed.part").exists()
    painter = OnePassPainter(open_model(str(made.bundle)), RuntimeOptions("cpu", "tensorflow"))
    assert np.ptp(painter.painted(drawn(40, 52))) > 0


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_killed_run_goes_on_to_the_same_end(trained, folder, monkeypatch) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)

    def interrupt(progress) -> None:
        if progress.step == STEPS // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_style(settings(folder, "killed"), interrupt)
    assert not (folder / "killed").exists()
    unfinished = r"killed\.part holds an unfinished run\. Use `resume=True"
    with pytest.raises(UsageError, match=unfinished):
        learn_style(settings(folder, "killed"))
    with pytest.raises(UsageError, match="must be used with the same settings"):
        learn_style(settings(folder, "killed", resume=True, strength=0.5))
    told = []
    made = learn_style(settings(folder, "killed", resume=True), told.append)
    assert [progress.step for progress in told] == list(range(STEPS // 2 + 1, STEPS + 1))
    again = weights_of(made.bundle)
    np.testing.assert_allclose(again, weights_of(trained[0].bundle), rtol=0, atol=2e-3)


def test_what_exists_is_not_replaced(trained, folder) -> None:
    for resume in (False, True):  # finished: there is nothing to go on with
        with pytest.raises(OutputError, match="undisturbed exists already"):
            learn_style(settings(folder, "undisturbed", resume=resume))


def test_photos_are_known_by_what_is_in_them(folder, tmp_path) -> None:
    """They were known by their sorted paths: changed, or in another order, they passed."""
    paths = [str(folder / "photos" / f"{number}.png") for number in range(4)]
    Image.fromarray(drawn(80, 110, seed=9)).save(tmp_path / "3.png")

    def identity(paths: list[str]) -> str:
        with Photos(paths, 64, held_out=1) as photos:
            return training._identity(SimpleNamespace(identity="network"), [], photos)

    assert identity(paths) == identity(paths)
    others = paths[::-1], [*paths[:3], str(tmp_path / "3.png")]
    assert len({identity(some) for some in (paths, *others)}) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": 0}, "`steps` must lie between 1 and"),
        ({"size": 66}, "`size` must be a multiple of 4"),
        ({"size": 1024}, "`size` must lie between 64 and 512"),
        ({"filters": 0}, "`filters` must lie between 1 and 128"),
        ({"filters": LARGEST["filters"] + 1}, "`filters` must lie between 1 and 128"),
        ({"strength": 1.5}, "`strength` must lie between 0 and 1"),
        ({"learning_rate": float("nan")}, "`learning_rate` must lie between"),
        ({"resume": True, "overwrite": True}, "`resume` and `overwrite` are mutually"),
    ],
)
def test_values_have_rules(tmp_path, change, told) -> None:
    with pytest.raises(UsageError, match=told):
        settings(tmp_path, "x", **change)


def test_a_style_that_is_no_image_is_named(folder, tmp_path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff no image")
    wrong = PainterSettings([str(folder / "photos")], [str(bad)], tmp_path / "x", **SMALL)
    with pytest.raises(UsageError, match=r"`styles` .*bad\.jpg cannot be read"):
        learn_style(wrong)


def test_cuts_depend_on_the_seed_and_the_step_alone(folder) -> None:
    paths = sorted(str(path) for path in (folder / "photos").iterdir())
    with Photos(paths, 64, held_out=2, seed=3) as one, Photos(paths, 64, held_out=2, seed=3) as two:
        assert len(one) == 4 and one.held_out.shape == (2, 64, 64, 3)
        np.testing.assert_array_equal(one.batch(7, 3), two.batch(7, 3))
        assert not np.array_equal(one.batch(7, 3), one.batch(8, 3))
