"""LeNet-5 learns to read scikit-learn's handwritten digits from scratch."""

from __future__ import annotations

import numpy as np
import pytest

from cnnkit.architectures import builder
from cnnkit.runtime import seed_everything
from cnnkit.training import TrainingPlan, train
from tests.training.digits import digits, makers


@pytest.mark.slow
def test_lenet_reads_digits() -> None:
    seed_everything(42)
    model = builder("lenet-5")()
    result = train(model, *makers(), TrainingPlan.from_scratch(10))
    assert result.best.val_accuracy >= 0.98
    held_out = digits()[1]
    assert len(held_out.labels) == 360
    read = np.asarray(model(held_out.images)).argmax(axis=1)
    assert np.mean(read == held_out.labels) == pytest.approx(result.best.val_accuracy)
