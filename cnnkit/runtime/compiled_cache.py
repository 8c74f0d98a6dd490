"""The cache of compiled models: a folder per key, written atomically.

The key includes everything that the content depends on, so that nothing stale is used; a checksum
detects what a full disk or a crash left behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cnnkit.runtime.process import cache_folder

MODEL = "model.xml"
WEIGHTS = "model.bin"
MANIFEST = "manifest.json"
CONVERTING_LIBRARIES = ("keras", "openvino", "tensorflow")


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that a compiled model depends on."""
    found = {}
    for name in CONVERTING_LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def cache_key(identity: str) -> str:
    """Return the key of a model in this environment.

    Args:
        identity: Everything that the model itself depends on: weights, code, outputs.
    """
    everything = json.dumps([identity, library_versions()], sort_keys=True)
    return hashlib.sha256(everything.encode()).hexdigest()[:32]


def checksums(folder: Path) -> dict[str, int]:
    """Return the CRC-32 of the two files of a compiled model."""
    return {name: zlib.crc32((folder / name).read_bytes()) for name in (MODEL, WEIGHTS)}


def is_whole(folder: Path) -> bool:
    """Return whether the folder holds a compiled model exactly as it was written."""
    try:
        return json.loads((folder / MANIFEST).read_text()) == checksums(folder)
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def compiled_model(identity: str, produce: Callable[[Path], None]) -> Iterator[Path]:
    """Yield a folder with ``model.xml`` and ``model.bin``, cached or produced now.

    Concurrent first runs each produce their own, and the first to finish is kept. If the cache
    is not writable, the model is produced in a temporary folder.

    Args:
        identity: See `cache_key`.
        produce: Function that writes the two files into a folder.
    """
    store = cache_folder() / "openvino"
    folder = store / cache_key(identity)
    if is_whole(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="cnnkit-", dir=_writable(store)) as temporary:
        fresh = Path(temporary) / "model"
        fresh.mkdir()
        produce(fresh)
        (fresh / MANIFEST).write_text(json.dumps(checksums(fresh)))
        yield folder if _keep(fresh, folder) else fresh


def cache_is_writable() -> bool:
    """Return whether a compiled model can be cached."""
    return _writable(cache_folder() / "openvino") is not None


def _writable(store: Path) -> Path | None:
    """Return the cache folder, created if missing, or None if it is not writable."""
    try:
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store):
            return store
    except OSError:
        return None


def _keep(fresh: Path, folder: Path) -> bool:
    """Move a finished model into the cache; return whether the cache now has a complete one."""
    with contextlib.suppress(OSError):
        if folder.exists() and not is_whole(folder):
            shutil.rmtree(folder)
        fresh.rename(folder)
    return is_whole(folder)
