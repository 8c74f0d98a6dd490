"""Which frames of a video are wanted: ``every``, ``from_time``, ``to_time``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from cnnkit.errors import UsageError, broken_rule

_STEP = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(s|f)")
_CLOCK = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{1,9})?)s?")
KEY = "key"

Time = str | float | None


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of a video are wanted.

    Attributes:
        every: ``0.5s`` for one frame per half second, ``10f`` for every tenth frame, ``key`` for
            the key frames only; None: all.
        from_time: Start, in seconds or as ``1:30`` or ``1:02:03.5``; None: the first frame.
        to_time: End, likewise; frames at or after it are left out. None: the last frame.
        animations: Whether animated GIF, WebP, and PNG files and TIFF files of several pages
            give a row for each frame or page.

    Raises:
        UsageError: A value is invalid.
    """

    every: str | None = None
    from_time: Time = None
    to_time: Time = None
    animations: bool = False

    def __post_init__(self) -> None:
        _step_of(self.every)
        start, end = self.start, self.end
        if end is not None and end <= start:
            received = f"{self.to_time} with a start of {self.from_time or 0}"
            raise UsageError(broken_rule("`to_time`", "be after `from_time`", received))

    @property
    def start(self) -> Fraction:
        """Start in seconds."""
        return _seconds_of("`from_time`", self.from_time) or Fraction(0)

    @property
    def end(self) -> Fraction | None:
        """End in seconds, exclusive; None: the end of the video."""
        return _seconds_of("`to_time`", self.to_time)

    @property
    def is_key_only(self) -> bool:
        """Whether only key frames are wanted."""
        return self.every == KEY

    @property
    def is_timed(self) -> bool:
        """Whether a part of the video is asked for."""
        return self.from_time is not None or self.to_time is not None

    @property
    def is_given(self) -> bool:
        """Whether frames were asked for explicitly: then folders are searched for videos too."""
        return bool(self.every) or self.is_timed

    def to_dict(self) -> dict[str, object]:
        """Return what a resumed run must have in common with the first one."""
        return {
            "every": self.every,
            "from": None if self.from_time is None else float(self.start),
            "to": None if self.end is None else float(self.end),
            "frames": self.animations,
        }


class Chooser:
    """Decides frame by frame, in order of presentation, which ones a selection takes."""

    def __init__(self, selection: FrameSelection, tick: Fraction) -> None:
        """Express the selection in ticks.

        Args:
            selection: What is wanted.
            tick: Duration of a tick of the time stamps, in seconds.
        """
        step = _step_of(selection.every)
        self._is_key_only = selection.is_key_only
        self._start = selection.start / tick
        self._end = None if selection.end is None else selection.end / tick
        self._frames = int(step[0]) if step is not None and step[1] == "f" else 1
        self._step = step[0] / tick if step is not None and step[1] == "s" else None
        self._first: int | None = None
        self._due = self._start

    def takes(self, number: int, ticks: int, is_key: bool) -> bool:
        """Return whether a frame is taken.

        Args:
            number: Number of the frame, from 0.
            ticks: Its time since the first frame.
            is_key: Whether it is a key frame.
        """
        if ticks < self._start or self.is_past(ticks):
            return False
        if self._is_key_only:
            return is_key
        if self._first is None:
            self._first = number
        if self._step is None:
            return (number - self._first) % self._frames == 0
        if ticks < self._due:
            return False
        passed = math.floor((ticks - self._start) / self._step)
        self._due = self._start + (passed + 1) * self._step
        return True

    def is_past(self, ticks: int) -> bool:
        """Return whether a time is at or after the end."""
        return self._end is not None and ticks >= self._end


def _step_of(every: str | None) -> tuple[Fraction, str] | None:
    """Return a step and its unit, ``s`` or ``f``; None for all frames or key frames.

    Raises:
        UsageError: It is none.
    """
    if every is None or every == KEY:
        return None
    found = _STEP.fullmatch(every) if isinstance(every, str) else None
    step = Fraction(found[1]) if found else Fraction(0)
    if found is None or step <= 0 or (found[2] == "f" and step.denominator != 1):
        rule = "be a number of seconds such as 0.5s, a number of frames such as 10f, or key"
        raise UsageError(broken_rule("`every`", rule, repr(every)))
    return step, found[2]


def _seconds_of(name: str, time: Time) -> Fraction | None:
    if time is None:
        return None
    text = str(time).strip()
    if isinstance(time, float) and math.isfinite(time):
        text = f"{time + 0.0:.9f}"  # 0.1 * 3 has 17 decimals, 0.00001 an exponent
    found = _CLOCK.fullmatch(text)
    if found is None:
        rule = "be a time in seconds such as 90 or 12.5, or a time such as 1:30"
        raise UsageError(broken_rule(name, rule, repr(time)))
    hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds
