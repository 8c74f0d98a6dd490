"""Opens a video safely: its format by its content, and nothing but the file itself is read.

libav would read playlists (HLS, ffconcat, DASH) that name other files and addresses, whatever
the suffix. Here a file is opened as the container that its first bytes show, one of
`cnnkit.images.sniff.video_format`, through a Python file and with every protocol forbidden.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

from cnnkit import last_read
from cnnkit.errors import ImageError, UsageError
from cnnkit.images.files import as_image_error, open_regular

BUFFER_BYTES = 1 << 18
# No protocol has this name: nothing else can be opened, whatever a file refers to.
NO_PROTOCOL = "none"
# Decoders that browsers, phones and cameras need; libav has hundreds more, seldom exercised.
CODECS = frozenset(
    "h264 hevc vp8 vp9 av1 libdav1d libvpx libvpx-vp9 mpeg4 mpeg2video mpeg1video h263 msmpeg4v2 "
    "msmpeg4v3 wmv1 wmv2 wmv3 vc1 theora mjpeg prores dnxhd dvvideo ffv1 huffyuv ffvhuff rawvideo "
    "flv1 flv vp6f vp6 png qtrle svq1 svq3 cinepak".split()
)
# Videos that have ended a process, or may have: see `decode_carefully`.
_fragile: set[str] = set()
# Pixels that are shown more times as wide as high, or as high as wide, are a mistake of the file.
MOST_STRETCHED = 16
_BOX_TYPES_SEARCHED = 10_000


def import_av() -> Any:
    """Import PyAV, an optional dependency, and keep libav's messages off standard error.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import av
        import av.logging
    except ImportError as error:
        raise UsageError(
            "Videos need PyAV. Install it with: pip install 'cnnkit[video]'."
        ) from error
    av.logging.set_level(None)
    return av


class OpenVideo:
    """An opened video.

    Attributes:
        form: Name of its demuxer.
        container: The container, of PyAV.
        stream: Its video stream, of PyAV.
        is_cut_off: Whether the container says that it is longer than the file.
        is_damaged: Whether libav has refused anything so far.
        problem: What it last said about that.
    """

    def __init__(self, form: str, container: Any, stream: Any, is_cut_off: bool) -> None:
        self.form, self.container, self.stream = form, container, stream
        self.is_cut_off = is_cut_off
        self.is_damaged = False
        self.problem = "nothing could be read"
        self._av = import_av()

    @property
    def pixel_shape(self) -> Fraction:
        """Width of a pixel as it is to be shown over its height; 1 where the file is silent."""
        found = Fraction(getattr(self.stream, "sample_aspect_ratio", None) or 1)
        return found if 1 / MOST_STRETCHED <= found <= MOST_STRETCHED else Fraction(1)

    def packets(self) -> Iterator[Any]:
        """Yield the packets from the present place to the end, or as far as they can be read."""
        try:
            yield from self.container.demux(self.stream)
        except (self._av.FFmpegError, OSError) as error:
            self._note(error)

    def decoded_frames(self) -> Iterator[Any]:
        """Yield the decoded frames, and None for each packet that cannot be decoded."""
        for packet in self.packets():
            # The end of it is missing. A transport stream says so of what it can still use.
            if packet.is_corrupt and self.form != "mpegts":
                self._note(ValueError("the data ends early"))
                if not self.is_cut_off:
                    yield None
                continue
            try:
                decoded = packet.decode()
            except self._av.error.EOFError:
                return
            except (self._av.FFmpegError, ValueError, MemoryError) as error:
                self._note(error)
                yield None
                continue
            yield from decoded

    def seek(self, place: int) -> None:
        """Continue from the key frame at or before a time stamp of decoding, in ticks."""
        try:
            self.container.seek(place, stream=self.stream)
        except (self._av.FFmpegError, OSError) as error:
            self._note(error)

    def _note(self, error: BaseException) -> None:
        self.is_damaged = True
        self.problem = (getattr(error, "strerror", None) or str(error) or "broken data").lower()


def decode_carefully(path: str) -> None:
    """Decode a video by one thread from now on, here: no packet is decoded before it is needed.

    Several threads are packets ahead of the frame that is asked for, and end the process for a
    frame that nobody may ever ask for.
    """
    _fragile.add(path)


def decode_freely(path: str) -> None:
    """Decode a video by as many threads as there are again, from when it is opened next."""
    _fragile.discard(path)


def is_fragile(path: str) -> bool:
    """Return whether a video is to be decoded carefully."""
    return path in _fragile


@contextmanager
def opened_video(path: str, form: str, max_pixels: int) -> Iterator[OpenVideo]:
    """Yield a video, ready to decode.

    Args:
        path: The file.
        form: The name of its demuxer, from `cnnkit.images.sniff.video_format`.
        max_pixels: Largest number of pixels of a frame.

    Raises:
        ImageError: The file cannot be opened, or has no video that can be decoded here.
    """
    av = import_av()
    last_read.note(path)
    with _regular_file(path) as file:
        cut_off = is_cut_off(file, form)
        try:
            container = av.open(
                file,
                format=form,
                options={
                    "protocol_whitelist": NO_PROTOCOL,
                    "format_whitelist": form,
                    "codec_whitelist": ",".join(sorted(CODECS)),
                },
                buffer_size=BUFFER_BYTES,
                **_metadata_options(av),
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _opening_error(cut_off, error) from error
        with container:
            stream = _video_stream(container)
            _check_size(stream, max_pixels)
            stream.thread_type = "NONE" if is_fragile(path) else "AUTO"
            if is_fragile(path):
                stream.codec_context.thread_count = 1  # of decoders that have threads of their own
            stream.codec_context.options = {"max_pixels": str(max_pixels)}
            yield OpenVideo(form, container, stream, cut_off)


def _metadata_options(av: Any) -> dict[str, str]:
    """Return what keeps texts that are not in UTF-8 from making a file one that cannot be opened.

    PyAV 19, which needs Python 3.12, does so by itself, and has no such option.
    """
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


@contextmanager
def _regular_file(path: str) -> Iterator[BinaryIO]:
    try:
        file = open_regular(path)
    except (OSError, ValueError) as error:
        raise as_image_error(error) from error
    with file:
        yield file


def _opening_error(cut_off: bool, error: BaseException) -> ImageError:
    if cut_off:
        return ImageError("truncated", "the video ends early, before what describes its frames")
    reason = getattr(error, "strerror", None) or str(error)
    return ImageError("corrupt", f"the video cannot be opened: {reason.lower()}")


def _video_stream(container: Any) -> Any:
    """Return the first video stream: not the cover of a song."""
    attached = import_av().stream.Disposition.attached_pic
    for stream in container.streams.video:
        if stream.disposition & attached:
            continue
        context = stream.codec_context
        if context is None or context.name not in CODECS:
            name = "unknown" if context is None else context.name
            message = f"videos with the codec {name} cannot be decoded: convert it to H.264"
            raise ImageError("unsupported", message)
        return stream
    raise ImageError("not-an-image", "the file has sound, or nothing, but no video")


def _check_size(stream: Any, max_pixels: int) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > max_pixels:
        message = (
            f"{width} x {height} pixels are more than the limit of {max_pixels:,}; "
            "a higher limit lets it through"
        )
        raise ImageError("too-large", message)


def is_cut_off(file: BinaryIO, form: str) -> bool:
    """Return whether a container says that it is longer than its file.

    Args:
        file: The file; its position is kept.
        form: The name of its demuxer.
    """
    find_end = {"mov": _end_of_boxes, "matroska": _end_of_segment, "avi": _end_of_riff}.get(form)
    if find_end is None:
        return False
    position = file.tell()
    try:
        size = os.fstat(file.fileno()).st_size
        return find_end(file, size) > size
    except OSError:
        return False
    finally:
        file.seek(position)


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Return where the boxes of an ISO base media file end (ISO/IEC 14496-12, 4.2)."""
    position = 0
    for _ in range(_BOX_TYPES_SEARCHED):
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            break
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0: up to the end of the file; else no box
            break
        position += length
        if position >= size:
            break
    return position


def _end_of_segment(file: BinaryIO, size: int) -> int:
    """Return where the segment of a Matroska file ends (RFC 8794, RFC 9559)."""
    file.seek(0)
    head = file.read(4096)
    position = 4
    length, width = _variable_number(head, position)
    position += width + length
    if head[position : position + 4] != b"\x18\x53\x80\x67":
        return 0
    length, width = _variable_number(head, position + 4)
    unknown = length == (1 << (7 * width)) - 1
    return 0 if unknown or not width else position + 4 + width + length


def _variable_number(data: bytes, position: int) -> tuple[int, int]:
    """Return an EBML number and how many bytes it takes, 0 if there is none."""
    first = data[position] if position < len(data) else 0
    if not first:
        return 0, 0
    width = 9 - first.bit_length()
    return int.from_bytes(data[position : position + width], "big") - (1 << (7 * width)), width


def _end_of_riff(file: BinaryIO, size: int) -> int:
    """Return where the first list of an AVI file ends."""
    file.seek(4)
    return 8 + int.from_bytes(file.read(4), "little")
