from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from cnnkit.boxes import complete_iou, cxcywh_to_xyxy
from cnnkit.losses.localization import BOX_GAIN, localization_loss
from cnnkit.losses.yolo import Truth


def test_the_largest_box_counts_and_a_background_costs_nothing() -> None:
    boxes = np.array([[[0.5, 0.5, 0.1, 0.1], [0.4, 0.6, 0.5, 0.4]], [[0, 0, 0, 0]] * 2], np.float32)
    truth = Truth(
        boxes, np.array([[0, 2], [0, 0]], np.int32), np.array([[1, 1], [0, 0]], np.float32)
    )
    logits = np.array([[0.1, 0.2, 1.5], [3, 0, 0]], np.float32)
    box = np.array([[0.0, 0.4, 0.1, -0.3]] * 2, np.float32)
    parts = localization_loss(*map(keras.ops.convert_to_tensor, (logits, box)), truth)
    guess = cxcywh_to_xyxy(1 / (1 + np.exp(-box[0].astype(float))))
    wanted = cxcywh_to_xyxy(boxes[0, 1].astype(float))
    expected = BOX_GAIN * (1 - complete_iou(guess, wanted))
    assert float(parts.box[0]) == pytest.approx(expected, rel=1e-4)
    share = math.exp(1.5) / sum(map(math.exp, (0.1, 0.2, 1.5)))
    assert float(parts.classes[0]) == pytest.approx(-math.log(share), rel=1e-4)
    assert [float(part[1]) for part in parts] == [0, 0, 0]
