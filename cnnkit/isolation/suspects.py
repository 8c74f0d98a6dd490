"""Finds the image or video that ended an earlier run: a decoder can crash its process.

The inputs that the run had in hand when it died are decoded in another process first. One that
ends it becomes a failure instead of ending the resumed run as well.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import replace
from typing import Any

from cnnkit.errors import ImageError, RuntimeUnavailableError
from cnnkit.images import Found, InputSpec
from cnnkit.images.decode import DEFAULT_MAX_PIXELS
from cnnkit.images.encoded import OPENED, PREPARED, DecodingWork
from cnnkit.images.files import read_bytes
from cnnkit.isolation.decoders import CRASHED, Decoders, start_decoder
from cnnkit.isolation.video_trials import VideoTrials
from cnnkit.results import Failure, FramePlace
from cnnkit.writers.journal import ROWS_UNSAVED

log = logging.getLogger(__name__)

# At least so many inputs are suspected, whatever the resumed run has in hand.
LEAST_SUSPECTS = 32
# Frames of a video that a run may have decoded, or have in several threads, before it died.
FRAMES_AHEAD = 64
# All pairs of images are taken before the first result, and each image is in hand for many of them.
MOST_IN_PAIRS = 512
# A decoder that takes longer than this many seconds does not crash, and nobody waits for it.
SECONDS = 30.0
# JPEG files have a faster way to a small image than to all pixels: both are tried.
WORKS = (
    DecodingWork(PREPARED, DEFAULT_MAX_PIXELS, InputSpec(64, 64, "stretch").to_dict()),
    DecodingWork(OPENED, DEFAULT_MAX_PIXELS),
)


class Suspects:
    """The first inputs of a run that resumes one whose process died.

    All are suspected that are taken before the first result, as many as the run has in hand at
    once, and as many after them as the other run may have had results of that were not saved; and
    at least `LEAST_SUSPECTS`.

    Attributes:
        trials: Tries the videos among them, which become failures from the frame on that ends a
            process.
    """

    def __init__(self) -> None:
        """Start the process: it gets ready while the run looks for its inputs."""
        self.trials = VideoTrials(lambda: self.are_cleared)
        self._taken = 0
        self._ahead = 0
        # Whether an image of a pair ends a process.
        self._in_pairs: dict[str, bool] = {}
        self._enough: float = math.inf
        self._decoders: Decoders | None = None
        with contextlib.suppress(RuntimeUnavailableError):  # it is tried again when it is needed
            self._decoders = Decoders(1, start_decoder)

    @property
    def are_cleared(self) -> bool:
        """Whether all of them have been tried."""
        return self._taken >= self._enough + self._ahead

    def note_result(self) -> None:
        """Note that the run has a result, perhaps its first."""
        if self._enough == math.inf:
            self._enough = max(LEAST_SUSPECTS, self._taken + ROWS_UNSAVED)

    def tried(self, item: Any) -> Any:
        """Return an input, as a failure if decoding it ends a process."""
        if self.are_cleared:
            self.close()
            return item
        self._taken += 1
        if isinstance(getattr(item, "path", None), FramePlace):  # `trials` has tried its video
            self._ahead = FRAMES_AHEAD
        # Frames are pixels already. What kind of input it is stays as it is.
        if (
            not isinstance(item, Found)
            or item.failure is not None
            or not isinstance(item.path, str)
        ):
            return item
        if "\0" in item.path:
            return self._tried_pair(item)
        crashes = self._crashes(item.path)
        return replace(item, failure=Failure("crashed", CRASHED)) if crashes else item

    def _tried_pair(self, item: Found) -> Found:
        """Return a pair of images, see `cnnkit.results.pair_key`, as a failure if one crashes."""
        for path in item.path.split("\0"):
            if path not in self._in_pairs and len(self._in_pairs) < MOST_IN_PAIRS:
                self._in_pairs[path] = self._crashes(path)
            if self._in_pairs.get(path):
                return replace(item, failure=Failure("crashed", f"{path}: {CRASHED}"))
        return item

    def _crashes(self, path: str) -> bool:
        """Return whether decoding an image ends a process."""
        try:
            return self._ends_a_process(read_bytes(path))
        except (ImageError, RuntimeUnavailableError):  # the run itself says why
            log.debug("%s: not tried", path, exc_info=True)
            return False

    def _ends_a_process(self, content: bytes) -> bool:
        if self._decoders is None:
            self._decoders = Decoders(1, start_decoder)
        for work in WORKS:
            try:
                self._decoders.decode(work, content, time.monotonic() + SECONDS)
            except ImageError as error:
                if error.message == CRASHED:
                    return True
        return False

    def close(self) -> None:
        """End the processes."""
        self.trials.close()
        if self._decoders is not None:
            self._decoders.close()
            self._decoders = None
