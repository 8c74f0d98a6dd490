"""The time stamps of all frames of a video, read without decoding any."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from cnnkit.results import FramePlace
from cnnkit.video.opening import OpenVideo
from cnnkit.video.selecting import Chooser, FrameSelection

# Containers whose packets have the time stamp of the frame that they decode to.
STAMPED = ("mov", "matroska", "mpegts", "ivf")
# Containers whose time stamps are right in order only: AVI stores no order of presentation.
ORDERED = ("avi",)
# VP8 has packets that show nothing: a packet more is no frame more.
UNSHOWN = ("vp8", "libvpx")


class Timeline:
    """The frames of a video in order of presentation, from their packets.

    Memory is 16 bytes per frame. A packet that is cut off or damaged has a place as well.

    Attributes:
        stamps: Presentation time stamp of each frame in ticks, int64 (frames,), ascending.
        keys: Numbers of the key frames, int64 (key frames,), ascending.
        key_seeks: Where to seek for each key frame, in ticks.
        tick: Duration of a tick in seconds.
        duration: Ticks from the first frame to the end of the last one.
        is_exact: Whether each frame of the video has a time stamp of its own here. If not, frames
            are numbered as they are decoded.
        is_ordered: Whether the time stamps are right by the numbers of the frames.
        packets: Number of packets, about the number of frames where `is_exact` is false.
    """

    def __init__(self, video: OpenVideo) -> None:
        """Read all packets of a video that was just opened."""
        stamps, keys, seeks = array("q"), array("q"), array("q")
        sound = video.stream.codec_context.name not in UNSHOWN
        self.packets = 0
        sent: int | None = None
        duration = 0
        for packet in video.packets():
            if not packet.size:
                continue
            self.packets += 1
            sound = sound and packet.pts is not None
            if packet.is_discard or not sound:
                continue
            stamps.append(packet.pts)
            duration = packet.duration or duration
            sent = packet.dts if packet.dts is not None else sent
            if packet.is_keyframe:
                keys.append(packet.pts)
                seeks.append(packet.pts if packet.dts is None else packet.dts)
        self.tick = Fraction(video.stream.time_base or 1)
        all_stamps = np.sort(np.frombuffer(stamps, np.int64)) if stamps else np.empty(0, np.int64)
        sound = bool(sound and len(keys) and (np.diff(all_stamps) > 0).all())
        self.is_exact = sound and video.form in STAMPED
        self.is_ordered = sound and video.form in ORDERED
        starts = np.frombuffer(keys, np.int64) if keys else np.empty(0, np.int64)
        order = np.argsort(starts, kind="stable")
        # Before the first key frame nothing can be decoded.
        first = starts[order[0]] if len(order) else 0
        self.stamps = all_stamps[all_stamps >= first]
        if video.is_cut_off and sent is not None:
            # Frames shown after what was sent last may miss one before them.
            self.stamps = self.stamps[: max(1, np.searchsorted(self.stamps, sent, "right"))]
        places = np.searchsorted(self.stamps, starts[order])
        is_here = places < len(self.stamps)  # the last one may be among those just left out
        self.keys = places[is_here]
        self.key_seeks = (np.frombuffer(seeks, np.int64) if seeks else starts)[order][is_here]
        self.duration = self.ticks(len(self) - 1) + duration if len(self) else 0

    def __len__(self) -> int:
        return len(self.stamps)

    def ticks(self, number: int) -> int:
        """Return the time of a frame since the first one; past the last one, when that ends."""
        if number >= len(self):
            return self.duration
        return int(self.stamps[number] - self.stamps[0])

    def seconds(self, number: int) -> float:
        """Return the time of a frame since the first one, in seconds to 3 decimals."""
        return round(float(self.ticks(number) * self.tick), 3)

    def end(self, path: str) -> FramePlace:
        """Return the place after the last frame."""
        return FramePlace(path, len(self), round(float(self.duration * self.tick), 3))

    def chosen(self, selection: FrameSelection) -> Iterator[int]:
        """Yield the numbers of the frames that are wanted."""
        chooser = Chooser(selection, self.tick)
        is_key = np.zeros(len(self), bool)
        is_key[self.keys] = True
        for number in range(len(self)):
            ticks = self.ticks(number)
            if chooser.is_past(ticks):
                return
            if chooser.takes(number, ticks, bool(is_key[number])):
                yield number

    def is_chosen_to_end(self, selection: FrameSelection) -> bool:
        """Return whether what comes after the last frame was wanted, too."""
        return not Chooser(selection, self.tick).is_past(self.duration)

    def number(self, stamp: int | None) -> int | None:
        """Return the number of the frame with a time stamp, None for an unknown one."""
        if stamp is None:
            return None
        place = int(np.searchsorted(self.stamps, stamp))
        return place if place < len(self) and self.stamps[place] == stamp else None

    def key_before(self, number: int) -> int:
        """Return the place in `keys` of the last key frame at or before a frame."""
        return max(0, int(np.searchsorted(self.keys, number, side="right")) - 1)
