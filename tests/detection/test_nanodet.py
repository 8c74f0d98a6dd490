"""The numpy decoder of NanoDet, by hand and against the differentiable one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnkit.architectures.nanodet import BINS, decode_head
from cnnkit.bundles.card import parse_card
from cnnkit.bundles.detector_card import NANODET_BINS, detector_spec
from cnnkit.detection import Detector
from cnnkit.detection.candidates import sigmoid
from cnnkit.detection.decoders import decoded, make_decoder
from cnnkit.errors import BundleError
from tests.detection.small import NEVER, SURE, nanodet_card_content

CHANNELS = 3 + 4 * BINS


def decode(raw: np.ndarray, least: np.ndarray):
    card = parse_card(nanodet_card_content())
    return make_decoder(detector_spec(card), card).decode({"stride32": raw}, least)


def test_boxes_by_hand() -> None:
    raw = np.full((2, 2, CHANNELS), NEVER, np.float32)
    sides = raw[1, 0, 3:].reshape(4, BINS)
    sides[[0, 1, 2, 3], [0, 1, 10, 2]] = SURE
    sides[3, 3] = SURE  # half of 2 and half of 3 cells
    raw[1, 0, [0, 2]] = np.log(3), -np.log(3)
    found = decode(raw, np.full(3, 0.2))
    middle_x, middle_y = 16, 48
    box = [middle_x, middle_y - 32, middle_x + 320, middle_y + 80]
    np.testing.assert_allclose(found.boxes, [box, box], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.75, 0.25], rtol=1e-6)
    assert found.classes.tolist() == [0, 2]
    assert decode(raw, np.array([0.8, 0.2, np.inf])).boxes.shape == (0, 4)
    assert decode(raw, np.full(3, np.inf)).boxes.shape == (0, 4)


def test_it_is_the_decoding_of_the_architecture() -> None:
    assert NANODET_BINS == BINS
    raw = np.random.default_rng(5).normal(0, 2, (3, 2, CHANNELS)).astype(np.float32)
    found = decode(raw, np.zeros(3))
    boxes, classes = (np.asarray(x)[0] for x in decode_head(raw[None], 32))
    np.testing.assert_allclose(found.scores, sigmoid(classes).ravel(), rtol=1e-5)
    np.testing.assert_allclose(found.boxes, np.repeat(boxes.reshape(-1, 4), 3, axis=0), rtol=1e-4)


def test_openvino_and_tensorflow_find_the_same(examples: Path) -> None:
    images = [str(examples / name) for name in ("photographer.jpg", "cat.jpg")]
    found = [
        Detector.load(runtime=runtime, device="cpu", precision="float32").predict(images)
        for runtime in ("openvino", "tensorflow")
    ]
    assert [one.labels for one in found[0]] == [("person",), ("cat",)]
    for one, other in zip(*found, strict=True):
        assert one.labels == other.labels
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=0.05)


def test_images_of_a_batch_have_the_candidates_that_they_have_alone() -> None:
    heads = [{"output": f"stride{stride}", "stride": stride} for stride in (8, 16, 32)]
    content = nanodet_card_content()
    content["detector"]["heads"] = heads
    content["outputs"] = {head["output"]: {"layer": head["output"]} for head in heads}
    card = parse_card(content)
    decoder = make_decoder(detector_spec(card), card)
    random = np.random.default_rng(0)
    outputs = {
        head["output"]: random.normal(
            -1, 2, (5, 64 // head["stride"], 96 // head["stride"], CHANNELS)
        )
        for head in heads
    }
    for values in outputs.values():
        values[2, ..., : card.classes] = NEVER  # an image without a candidate
        values[4] = np.nan
    least = np.linspace(0.4, 0.9, card.classes)
    together = decoded(decoder, outputs, least)
    assert [len(one.scores) > 0 for one in together] == [True, True, False, True, False]
    for position, found in enumerate(together):
        alone = decoder.decode({name: values[position] for name, values in outputs.items()}, least)
        for values, expected in zip(found, alone, strict=True):
            assert np.array_equal(values, expected)
    none = {name: values[:0] for name, values in outputs.items()}
    assert decoded(decoder, none, least) == []


def test_other_channels_are_refused() -> None:
    with pytest.raises(BundleError, match=f"stride32 must have {CHANNELS} channels"):
        decode(np.zeros((2, 2, CHANNELS + 1), np.float32), np.full(3, 0.3))
