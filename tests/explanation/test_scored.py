"""Any score is explained by occlusion: the question comes from outside."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.bundles import open_model
from cnnkit.errors import UsageError
from cnnkit.explanation.heat import Region
from cnnkit.explanation.scored import Engine, Question, ScoredExplainer, nothing_to_ask
from cnnkit.images import Found
from cnnkit.results import Failure

BRIGHT = (slice(40, 60), slice(100, 140))


def ask(pixels):
    """Ask how bright one place is, in the right half of the image."""
    if pixels.max() == 0:
        raise nothing_to_ask("it is dark")
    part = Region(80, 0, 160, 120)
    cut = pixels[:, 80:]

    def score_of(batch):
        return batch[:, 40:60, 20:60].mean(axis=(1, 2, 3)) / 255

    return Question("bright", 3, "dark", 0.5, (100.0, 40.0, 140.0, 60.0), part, cut, score_of)


@pytest.fixture(scope="module")
def explainer():
    bundle = open_model("squeezenet-1.1")
    return ScoredExplainer(bundle, ask, bundle.card.input, Engine("none", "float32"))


def test_the_heat_lies_where_the_score_comes_from(explainer):
    image = np.zeros((120, 160, 3), np.uint8)
    image[BRIGHT] = 255
    found, dark = explainer.predict([image, np.zeros_like(image)])
    assert (found.label, found.predicted, found.score) == ("bright", "dark", 0.5)
    assert found.region == (80, 0, 160, 120) == found.seen
    left, top, right, bottom = found.xyxy
    assert abs((left + right) / 2 - 120) < 8 and abs((top + bottom) / 2 - 50) < 8
    assert found.to_dict()["target"] == [100, 40, 40, 20]
    shown = found.over(image)
    assert tuple(shown[40, 120]) == (0, 194, 255) and (shown[5, 5] == 0).all()
    assert dark == Failure("failed", "it is dark")
    assert found.over(image[::7, ::7]).shape == (18, 23, 3)
    with pytest.raises(UsageError, match="proportions of the explained image, 160 x 120 pixels"):
        found.over(image.transpose(1, 0, 2))  # heat lay beside what it was of


def test_places_are_those_of_the_full_image(explainer):
    """An image is looked at with at most 640 pixels a side; what is told is in its own."""
    explainer = ScoredExplainer(
        explainer.bundle,
        lambda pixels: ask(pixels)._replace(part=Region(0, 0, 640, 320), target=(64, 32, 128, 64)),
        explainer.spec,
        Engine("none", "float32"),
    )
    (found,) = explainer.predict([np.full((640, 1280, 3), 200, np.uint8)])
    assert found.region == (0, 0, 1280, 640) and found.target == (128, 64, 256, 128)


def test_a_stream_gives_what_finish_makes(explainer, examples):
    paths = [str(examples / "cat.jpg"), "missing.jpg"]
    kept = list(
        explainer.stream_finished(
            [Found(path) for path in paths], lambda path, result, seen: (path, result, seen), 1
        )
    )
    assert [path for path, _, _ in kept] == paths
    assert kept[0][2].image is not None and kept[1][1].kind == "missing"


def test_a_share_of_nothing_is_refused(explainer):
    with pytest.raises(UsageError, match="`box_share` must be over 0"):
        ScoredExplainer(
            explainer.bundle, ask, explainer.spec, Engine("none", "float32"), box_share=0.0
        )
