"""The versions of what takes part in a computation, for cards and reports."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from cnnkit.version import __version__


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the versions of cnnkit, Python and those of some libraries that are installed."""
    found = {"cnnkit": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
