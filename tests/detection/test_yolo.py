"""The numpy decoder is the differentiable one of the architecture, and leaves out what is low."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.architectures.yolo import decode_head
from cnnkit.bundles.detector_card import detector_spec
from cnnkit.detection.candidates import logit, sigmoid
from cnnkit.detection.decoders import make_decoder
from cnnkit.errors import BundleError
from tests.detection.small import raw_head, small_card


def decoder(**section):
    card = small_card(**section)
    return make_decoder(detector_spec(card), card)


def test_a_box_by_hand() -> None:
    raw = raw_head((1, 0, {1: 0.75}))
    found = decoder().decode({"stride32": raw}, np.full(3, 0.5))
    np.testing.assert_allclose(found.boxes, [[8, 32, 24, 64]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.75], rtol=1e-5)
    assert found.classes.tolist() == [1]


def test_it_is_the_decoding_of_the_architecture() -> None:
    random = np.random.default_rng(5)
    raw = random.normal(0, 2, (3, 2, 24)).astype(np.float32)
    anchors = [[10, 14], [23, 27], [37, 58]]
    heads = [{"output": "stride32", "stride": 32, "anchors": anchors}]
    found = decoder(heads=heads).decode({"stride32": raw}, np.full(3, 0.0))
    boxes, objects, classes = (np.asarray(x)[0] for x in decode_head(raw[None], anchors, 32))
    scores = sigmoid(objects)[..., None] * sigmoid(classes)
    assert len(found.scores) == scores.size
    np.testing.assert_allclose(found.scores, scores.ravel(), rtol=1e-5)
    np.testing.assert_allclose(
        found.boxes, np.repeat(boxes.reshape(-1, 4), 3, axis=0), rtol=1e-4, atol=1e-3
    )


def test_each_class_has_its_own_lowest_score() -> None:
    raw = raw_head((0, 0, {0: 0.6, 1: 0.6, 2: 0.6}))
    found = decoder().decode({"stride32": raw}, np.array([0.7, 0.5, np.inf]))
    assert found.classes.tolist() == [1]
    assert decoder().decode({"stride32": raw}, np.full(3, np.inf)).boxes.shape == (0, 4)


def test_one_box_may_be_of_several_classes() -> None:
    found = decoder().decode({"stride32": raw_head((0, 0, {0: 0.6, 2: 0.5}))}, np.full(3, 0.3))
    assert found.classes.tolist() == [0, 2]
    np.testing.assert_array_equal(found.boxes[0], found.boxes[1])


def test_other_channels_or_outputs_are_refused() -> None:
    with pytest.raises(BundleError, match="stride32 must have 8 channels"):
        decoder().decode({"stride32": np.zeros((2, 2, 9), np.float32)}, np.full(3, 0.3))
    heads = [{"output": "other", "stride": 32, "anchors": [[1, 2]]}]
    with pytest.raises(BundleError, match=r"detector.heads.output must be one of the card's out"):
        decoder(heads=heads)


def test_logits_and_back() -> None:
    assert (logit(0.0), logit(1.0)) == (-np.inf, np.inf)
    assert logit(0.25) == pytest.approx(np.log(1 / 3))
    np.testing.assert_allclose(sigmoid(np.array([-1e4, 0, np.log(3), 1e4])), [0, 0.5, 0.75, 1])
