"""Reads files for a network in a process of its own, some at a time.

    python -m cnnkit.isolation.file_reading

`cnnkit.isolation.file_readers` starts it. It imports nothing that runs a network.
"""

from __future__ import annotations

import json
import socket
from functools import partial
from typing import Any

from cnnkit.images import InputSpec
from cnnkit.images.attempts import attempt
from cnnkit.images.prepare import prepare_placed
from cnnkit.isolation.answering import answer_all
from cnnkit.isolation.messages import send, take
from cnnkit.results import Failure


def main() -> None:
    """Read files until the job ends."""
    answer_all(answer_one)


def answer_one(connection: socket.socket) -> None:
    """Read the files of one message; send what became of each, and the pixels of those read.

    Raises:
        EOFError: The job has ended.
        OSError: Likewise.
    """
    header, names = take(connection)
    spec = InputSpec.from_dict(header["spec"])
    read = partial(prepare_placed, spec=spec, max_pixels=header["max_pixels"])
    results = [attempt(path, read) for path in json.loads(names)]
    words = json.dumps([_in_words(result) for result in results]).encode()
    pixels = [result.pixels for result in results if not isinstance(result, Failure)]
    send(connection, {"words": len(words)}, words, *pixels)


def _in_words(result: Any) -> list[Any]:
    """Return what is sent of a result beside its pixels: the size of the full image, or why not."""
    if isinstance(result, Failure):
        return [result.kind, result.message]
    return [result.height, result.width]


if __name__ == "__main__":
    main()
