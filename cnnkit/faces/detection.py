"""Finding faces: what a bundle for ``find-face`` holds decides how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.bundles.tasks import require_task
from cnnkit.errors import BundleError, broken_rule
from cnnkit.faces.alignment import CASCADE_ALIGNMENT, YUNET_ALIGNMENT
from cnnkit.faces.cascade import OUTPUT_THRESHOLD, Cascade
from cnnkit.faces.searching import Search
from cnnkit.faces.yunet import YuNetFinder
from cnnkit.images import ImageArgument, image_pixels
from cnnkit.results import Face
from cnnkit.runtime import RuntimeOptions

CASCADE, YUNET = "cascade", "yunet"
# The score of a face that lets a photo stand as it does, and that turns one, of a cascade.
# Measured on mtcnn: 13 photos of people have their right faces at 0.994 and more. Laid on their
# sides and on their heads 10 of the 39 have a wrong face at up to 0.981, and so have 3 of 103
# photos without anybody when they are turned.
CASCADE_SURE = 0.99


class FinderNetworks(Protocol):
    """The networks that find faces, compiled."""

    def find_all(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each image, RGB uint8 (height, width, 3), the largest first."""


class FinderRule(NamedTuple):
    """What a card says of the networks that find faces.

    Attributes:
        kind: `CASCADE` or `YUNET`.
        min_score: The lowest score of a face, unless another is requested.
        sure: The score of a face that lets a photo stand as it is; see
            `cnnkit.faces.turning.find_in_any_orientation`.
    """

    kind: str
    min_score: float
    sure: float

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> FinderRule:
        """Return what a card says under ``finder``; one that says nothing is of a cascade.

        Raises:
            BundleError: A value is missing or breaks its rule.
        """
        entry: Any = bundle.card.content.get("finder")
        if entry is None:
            return cls(CASCADE, OUTPUT_THRESHOLD, CASCADE_SURE)
        try:
            rule = cls(str(entry["kind"]), float(entry["min_score"]), float(entry["sure"]))
        except (LookupError, TypeError, ValueError) as error:
            told = "have a finder with a kind, a min_score and a sure"
            raise BundleError(broken_rule(bundle.card.name, told, repr(entry)[:100])) from error
        if rule.kind not in FINDERS or not 0 <= rule.min_score <= rule.sure <= 1:
            told = f"have a finder of kind {' or '.join(FINDERS)} with 0 <= min_score <= sure <= 1"
            raise BundleError(broken_rule(bundle.card.name, told, repr(entry)[:100]))
        return rule


ALIGNMENTS = {CASCADE: CASCADE_ALIGNMENT, YUNET: YUNET_ALIGNMENT}
FINDERS: dict[str, Callable[[Bundle, int, float, RuntimeOptions], FinderNetworks]] = {
    CASCADE: Cascade,
    YUNET: YuNetFinder,
}


class FaceDetector:
    """Finds faces and five landmarks of each; safe to use from several threads.

    Attributes:
        bundle: The bundle of the networks.
        search: Which faces are looked for; its minimum score is never None.
        sure: The score of a sure face; see `cnnkit.faces.turning`.
        alignment: Name and version of what turns its faces into an embedder's input.
    """

    def __init__(
        self, bundle: Bundle, search: Search | None = None, options: RuntimeOptions | None = None
    ) -> None:
        """Compile the networks of a bundle for ``find-face``.

        Raises:
            UsageError: The bundle is for another task.
            BundleError: The bundle has other networks.
        """
        require_task(bundle, "find-face", "`detector`")
        search = search or Search()
        rule = FinderRule.of_bundle(bundle)
        min_score = rule.min_score if search.min_score is None else search.min_score
        self.bundle = bundle
        self.search = Search(search.min_face, min_score)
        self.sure = rule.sure
        self.alignment = ALIGNMENTS[rule.kind]
        build = FINDERS[rule.kind]
        self._finder = build(bundle, search.min_face, min_score, options or RuntimeOptions())

    def find(self, image: ImageArgument) -> list[Face]:
        """Return the faces of one image; see `find_all`."""
        return self.find_all([image])[0]

    def find_all(self, images: Sequence[ImageArgument]) -> list[list[Face]]:
        """Find the faces of some images.

        Args:
            images: Images of any size, see `cnnkit.images.ImageArgument`.

        Returns:
            For each image its faces, the largest first.

        Raises:
            ImageError: One is no image, or cannot be read.
        """
        return self._finder.find_all([image_pixels(image) for image in images])
