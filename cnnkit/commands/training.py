"""The result that the four training functions share."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.bundles.card import CARD
from cnnkit.data.decoded import MaxBad

if TYPE_CHECKING:
    from cnnkit.classification import Classifier
    from cnnkit.detection import Detector
    from cnnkit.faces import FaceEmbedder
    from cnnkit.style.stylizer import Stylizer


@dataclass(frozen=True)
class TrainedModel:
    """A trained model: its bundle and its metrics.

    Attributes:
        path: The folder of the bundle.
        task: ``classify``, ``detect``, ``embed-face`` or ``stylize``.
        metrics: Main metrics on held-out images, such as ``top_1``,
            ``AP50`` or ``auc``.
        judged_on: The split that `metrics` are from: ``test`` if there is one, otherwise ``val``.
        history: One dictionary of metrics per epoch or step, in order.
    """

    path: Path
    task: str
    metrics: dict[str, Any]
    judged_on: str
    history: tuple[dict[str, Any], ...]
    # Of the folder that was the current one: in another, there may be a model of the same name.
    _folder: Path = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_folder", self.path.absolute())

    @property
    def card(self) -> dict[str, Any]:
        """The model card: how the model was trained (``training``) and how to use it."""
        content: dict[str, Any] = json.loads((self._folder / CARD).read_text("utf-8"))
        return content

    def load(self) -> Classifier | Detector | FaceEmbedder | Stylizer:
        """Open the model for prediction.

        Returns:
            The class for its task. For a device or other options, pass `path` to that
            class's ``load``.
        """
        model = str(self._folder)  # as a path: an embedded model of that name would win
        if self.task == "classify":
            from cnnkit.classification import Classifier

            return Classifier.load(model)
        if self.task == "detect":
            from cnnkit.detection import Detector

            return Detector.load(model)
        if self.task == "embed-face":
            from cnnkit.faces import FaceEmbedder

            return FaceEmbedder.load(embedder=model)
        from cnnkit.style.stylizer import Stylizer

        return Stylizer.load(model)


def bad_limit(max_bad: int | str) -> MaxBad:
    """Return the limit of unreadable images: a number, or a share such as ``5%``.

    Raises:
        UsageError: It is neither.
    """
    return MaxBad.parse(str(max_bad))
