"""Videos that another process decodes before this one does, frame by frame.

Both decode the same packets, each by one thread, so that the other one dies of what this one would
die of next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cnnkit.errors import RuntimeUnavailableError
from cnnkit.isolation.decoders import START_SECONDS, start_answering
from cnnkit.isolation.messages import ask, receive_header
from cnnkit.runtime.children import Helper
from cnnkit.video.opening import decode_carefully, decode_freely, is_fragile
from cnnkit.video.reading import OPENING, Survives, untried

log = logging.getLogger(__name__)

# A frame that takes longer ends no process, and nobody waits for it.
SECONDS = 120.0


def start_frame_decoder() -> Helper:
    """Start a process that decodes frames; see `start_answering`."""
    return start_answering("cnnkit.isolation.frame_decoding")


class VideoTrials:
    """The process that decodes before this one, for one video after the other."""

    def __init__(
        self, is_over: Callable[[], bool], start: Callable[[], Helper] = start_frame_decoder
    ) -> None:
        """Start nothing yet.

        Args:
            is_over: Whether nothing is to be tried any more.
            start: Starts the process.
        """
        self._is_over, self._start = is_over, start
        self._helper: Helper | None = None
        self._works = True

    @contextmanager
    def of(self, path: str, form: str, *, is_key_only: bool, max_pixels: int) -> Iterator[Survives]:
        """Yield whether the process survives decoding a video up to a frame; see `read_video`.

        Until nothing is tried any more, the video is decoded carefully here, too.
        """
        if self._is_over():
            yield untried
            return
        is_own = not is_fragile(path)
        decode_carefully(path)
        video = {
            "path": path,
            "form": form,
            "is_key_only": is_key_only,
            "max_pixels": max_pixels,
        }

        def survives(frame: int) -> bool:
            """Return whether the process survives, as long as anything is tried."""
            nonlocal is_own
            is_alive = self._survives(video | {"frame": frame})
            if self._is_over() and is_own:
                decode_freely(path)
                is_own = False
            return is_alive

        yield survives

    def _survives(self, question: dict[str, object]) -> bool:
        """Return whether the process is alive after a question, or cannot be asked any more."""
        if self._is_over():
            self.close()
            return True
        helper = self._helper or self._started()
        if helper is None:
            return True
        try:
            _ask(helper, question, SECONDS)
        except TimeoutError:
            self._works = False
            self.close()
        except (EOFError, OSError, ValueError):
            log.debug("no answer", exc_info=True)
            self.close()
            return False
        return True

    def _started(self) -> Helper | None:
        """Return a new process, None if it does not answer."""
        if not self._works:
            return None
        try:
            self._helper = self._start()
            _ask(self._helper, {"frame": OPENING}, START_SECONDS)
        except (RuntimeUnavailableError, TimeoutError, EOFError, OSError, ValueError):
            log.debug("no process that decodes frames", exc_info=True)
            self._works = False
            self.close()
        return self._helper

    def close(self) -> None:
        """End the process."""
        if self._helper is not None:
            self._helper.end()
            self._helper = None


def _ask(helper: Helper, question: dict[str, object], seconds: float) -> None:
    """Return when a process has decoded a frame, or tried to.

    Raises:
        EOFError: It has ended; or OSError.
        TimeoutError: It takes too long.
        ValueError: It answers something else.
    """
    connection, deadline = helper.connection, time.monotonic() + seconds
    connection.settimeout(seconds)
    ask(connection, question, deadline=deadline)
    answer, size = receive_header(connection, deadline)
    if answer != {"frame": question["frame"]} or size:
        raise ValueError("a process must answer what it was asked for")
