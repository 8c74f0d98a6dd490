"""What the four training functions share: the trained model that they return."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    """A model that a training has written, and how well it does.

    Attributes:
        path: The bundle's folder.
        task: ``classify``, ``detect``, ``embed-face`` or ``stylize``.
        metrics: The main figures on images that were not learned from, such as ``top_1``,
            ``AP50`` or ``auc``.
        judged_on: The split of `metrics`: ``test`` where there is one, else ``val``.
        history: The epochs, or steps, in order: for each its figures by name.
    """

    path: Path
    task: str
    metrics: dict[str, Any]
    judged_on: str
    history: tuple[dict[str, Any], ...]

    @property
    def card(self) -> dict[str, Any]:
        """The model card: how the model was made (``training``), and how it is to be used."""
        content: dict[str, Any] = json.loads((self.path / CARD).read_text("utf-8"))
        return content

    def load(self) -> Classifier | Detector | FaceEmbedder | Stylizer:
        """Open the model for prediction.

        Returns:
            What its task is done with. For a device or other options, give `path` to that
            class's own ``load``.
        """
        model = str(self.path.absolute())  # as a path: an embedded model of that name would win
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
    """Return how many images may be unreadable: a number, or a share such as ``5%``.

    Raises:
        UsageError: It is neither.
    """
    return MaxBad.parse(str(max_bad))
