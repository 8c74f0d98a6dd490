"""Decodes videos frame by frame in a process of its own, which may die of one.

    python -m cnnkit.isolation.frame_decoding

`cnnkit.isolation.video_trials` starts it. Nothing of what it decodes is kept.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from cnnkit.isolation.answering import answer_all
from cnnkit.isolation.messages import send, take
from cnnkit.video.animations import ANIMATED, stepped_animation
from cnnkit.video.opening import decode_carefully
from cnnkit.video.reading import OPENING, stepped_video


def main() -> None:
    """Decode frames until the job ends."""
    with contextlib.ExitStack() as opened:
        answer_all(_Videos(opened).answer_one)


class _Videos:
    """The video that is open."""

    def __init__(self, opened: contextlib.ExitStack) -> None:
        self._opened = opened
        self._video: dict[str, Any] = {}
        self._step: Callable[[int], None] | None = None

    def answer_one(self, connection: socket.socket) -> None:
        """Decode up to one frame, and say that this process is still alive.

        Raises:
            EOFError: The job has ended.
            OSError: Likewise.
        """
        header, _ = take(connection)
        frame, video = header.pop("frame"), header
        # What cannot be decoded is told by the job, which tries it next.
        with contextlib.suppress(Exception):
            if frame == OPENING or video != self._video:
                self._open(video)
            if frame != OPENING and self._step is not None:
                self._step(frame)
        send(connection, {"frame": frame})

    def _open(self, video: dict[str, Any]) -> None:
        self._opened.close()
        self._video, self._step = video, None
        if not video:  # only to see that this process works
            return
        decode_carefully(video["path"])
        named = {name: value for name, value in video.items() if name != "is_key_only"}
        is_animation = video["form"] in ANIMATED
        step = stepped_animation(**named) if is_animation else stepped_video(**video)
        self._step = self._opened.enter_context(step)


if __name__ == "__main__":
    main()
