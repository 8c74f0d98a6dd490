"""The cache of compiled models: a folder per key, written whole or not at all.

The key names everything that the content depends on, so that nothing stale can be
served; a checksum catches what a full disk or a crash left behind.
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
    """Return the versions of the libraries that shape a compiled model."""
    found = {}
    for name in CONVERTING_LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def cache_key(identity: str) -> str:
    """Return the key of a model in this environment.

    Args:
        identity: Says all that the model itself depends on: weights, code, outputs.
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
    """Give a folder with ``model.xml`` and ``model.bin``, from the cache or made now.

    Several first runs at once each make their own and the first to finish is kept. Where
    the cache cannot be written the model is made in a temporary folder and used from there.

    Args:
        identity: See `cache_key`.
        produce: Writes the two files into the folder that it is given.
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
    """Return whether a compiled model can be kept."""
    return _writable(cache_folder() / "openvino") is not None


def _writable(store: Path) -> Path | None:
    """Return the store, made if need be, or None if it cannot be written."""
    try:
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store):
            return store
    except OSError:
        return None


def _keep(fresh: Path, folder: Path) -> bool:
    """Move a finished model into the cache; whether the cache now holds a whole one."""
    with contextlib.suppress(OSError):
        if folder.exists() and not is_whole(folder):
            shutil.rmtree(folder)
        fresh.rename(folder)
    return is_whole(folder)
