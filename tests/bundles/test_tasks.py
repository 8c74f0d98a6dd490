from __future__ import annotations

import pytest

from cnnkit.bundles import open_model
from cnnkit.bundles.tasks import require_task
from cnnkit.errors import UsageError


@pytest.mark.parametrize(
    ("model", "task", "option", "told"),
    [
        ("mtcnn", "classify", "`model`", "must be a classifier. Received: a model for find-face."),
        ("mtcnn", "detect", "`model`", "must be a detector. Received: a model for find-face."),
        (
            "mtcnn",
            "embed-face",
            "`embedder`",
            "must be a model for embed-face. Received: one for find-face.",
        ),
    ],
)
def test_another_task_is_refused_in_words(model: str, task: str, option: str, told: str) -> None:
    bundle = open_model(model)
    require_task(bundle, bundle.card.task, option)  # its own passes
    with pytest.raises(UsageError) as refused:
        require_task(bundle, task, option)
    assert str(refused.value).startswith(f"{option} {told}")
