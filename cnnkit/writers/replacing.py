"""Files that are written beside their target and take its name in one step."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnkit.errors import OutputError, broken_rule


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a binary file that takes the place of `path` when the block ends well.

    It grows under a name of its own in the same folder. If the block raises, that file is
    removed and `path` stays as it was.

    Raises:
        OutputError: The file cannot be created, written or put in its place.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(broken_rule(str(path), "be a file to write", "a folder"))
    part = path.with_name(f".cnnkit-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
