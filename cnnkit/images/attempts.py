"""What becomes of an image of a long job: an answer, or a failure that does not end the job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from cnnkit.errors import ImageError
from cnnkit.results import Failure

log = logging.getLogger(__name__)

MOST_REASON = 500  # characters of a library's words


def attempt(path: Any, work: Callable[[Any], Any]) -> Any:
    """Return what `work` makes of one image, or a `Failure`."""
    try:
        return work(path)
    except ImageError as error:
        return Failure(error.kind, error.message)
    except MemoryError:
        return Failure("too-large", "There is not enough memory to decode it.")
    except Exception as error:  # of a worker: one strange image must never end a long run
        log.debug("%s: a fault of cnnkit's", path, exc_info=True)
        reason = (str(error).splitlines() or [""])[0]
        return Failure("failed", f"{type(error).__name__}: {reason[:MOST_REASON]}")
