"""Embedded models that are compiled once for the tests of a process.

Compiling takes longer than a test's few predictions, and a predictor keeps nothing of its calls.
Models of a test's own, and tests with a cache folder of their own, compile as users do.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

KEPT = 16


@contextlib.contextmanager
def sharing_compiled(cache_folder: Path) -> Iterator[None]:
    """Share compiled models while this is open.

    Args:
        cache_folder: The session's folder of compiled models.
    """
    from cnnkit.bundles import embedded_names
    from cnnkit.runtime import prediction

    compiled: OrderedDict[tuple[object, ...], Any] = OrderedDict()
    names = set(embedded_names())
    compile_ = prediction._openvino

    def shared(source: Any, *options: object) -> Any:
        if source.name not in names or os.environ.get("CNNKIT_CACHE") != str(cache_folder):
            return compile_(source, *options)
        key = (source.identity, source.input_shape, repr(source.quantization), *options)
        if key not in compiled:
            compiled[key] = compile_(source, *options)
            if len(compiled) > KEPT:
                compiled.popitem(last=False)
        compiled.move_to_end(key)
        return compiled[key]

    with mock.patch.object(prediction, "_openvino", shared):
        yield
