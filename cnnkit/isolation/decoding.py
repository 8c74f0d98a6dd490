"""Decodes images in a process of its own, which may die of one without harm to the service.

    python -m cnnkit.isolation.decoding

`cnnkit.isolation.decoders` starts it. It imports nothing that runs a network.
"""

from __future__ import annotations

import socket
from typing import Any

import numpy as np

from cnnkit.images import InputSpec, decode_with_alpha, image_pixels, prepare_placed
from cnnkit.images.attempts import attempt
from cnnkit.images.encoded import KEPT, OPENED, PREPARED, WITH_ALPHA, DecodedArrays, DecodingWork
from cnnkit.images.prepare import prepare_and_keep
from cnnkit.isolation.answering import answer_all
from cnnkit.isolation.messages import send, take
from cnnkit.results import Failure
from cnnkit.runtime.helper import ending_after


def main() -> None:
    """Decode images until the service ends."""
    answer_all(answer_one)


def answer_one(connection: socket.socket) -> None:
    """Decode one image, and send what was asked of it.

    Raises:
        EOFError: The service has ended.
        OSError: Likewise.
    """
    header, content = take(connection)
    with ending_after(header.pop("seconds")):
        work = DecodingWork(**header)
        reply = attempt("the image", lambda _: perform(work, content))
    if isinstance(reply, Failure):
        send(connection, {"error": [reply.kind, reply.message]})
        return
    arrays = [np.ascontiguousarray(one) for one in reply.arrays]
    shapes = [one.shape for one in arrays]
    sent: dict[str, Any] = {"height": reply.height, "width": reply.width, "shapes": shapes}
    send(connection, sent, *arrays)


def perform(work: DecodingWork, content: bytes) -> DecodedArrays:
    """Return what is wanted of the content of an image file.

    Raises:
        ImageError: It cannot be decoded.
    """
    if work.kind == OPENED:
        pixels = image_pixels(content, max_pixels=work.max_pixels)
        return DecodedArrays(pixels.shape[0], pixels.shape[1], [pixels])
    if work.kind == WITH_ALPHA:
        pixels, alpha = decode_with_alpha(content, max_pixels=work.max_pixels)
        arrays = [pixels] if alpha is None else [pixels, alpha]
        return DecodedArrays(pixels.shape[0], pixels.shape[1], arrays)
    spec = InputSpec.from_dict(work.spec)
    if work.kind == KEPT:
        prepared, image = prepare_and_keep(
            content, spec, work.long_side, max_pixels=work.max_pixels
        )
        kept = image.to_srgb(np.array(image.content))
        return DecodedArrays(image.height, image.width, [prepared.pixels, kept])
    if work.kind != PREPARED:
        raise ValueError(f"no work of the kind {work.kind!r}")
    prepared = prepare_placed(content, spec, max_pixels=work.max_pixels)
    return DecodedArrays(prepared.height, prepared.width, [prepared.pixels])


if __name__ == "__main__":
    main()
