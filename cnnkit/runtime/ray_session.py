"""A connection to Ray that leaves nothing behind and lets nobody in.

A cluster of this machine alone listens on the loopback address only, has no dashboard, asks for a
token, keeps its files in a temporary folder, and ends with the block, also if this process is
killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cnnkit.errors import RuntimeUnavailableError, UsageError
from cnnkit.runtime.children import start_module
from cnnkit.runtime.process import (
    available_cpus,
    cache_folder,
    changed_environment,
    current_folder,
    import_ray,
    silenced_standard_error,
)

NEEDS_RAY = "`engine='ray'` needs Ray. Install it with: pip install 'cnnkit[ray]'."
LOOPBACK = "127.0.0.1"
# Results of a few shards; more would go to disk.
STORE_BYTES = 200 * 1024**2
# The names of sockets must fit into 107 bytes, with about 80 of Ray's.
LONGEST_TEMPORARY = 24


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[Any]:
    """Connect to Ray for a block.

    Args:
        address: ``HOST:PORT``, or ``auto``; None starts a cluster of this machine alone. In a
            process that is connected already, that connection is used and kept.

    Yields:
        The module ``ray``.

    Raises:
        UsageError: Ray is not installed.
        RuntimeUnavailableError: The cluster cannot be reached or started.
    """
    with contextlib.ExitStack() as ending:
        if address is None:  # before the import, which reads some of it
            ending.enter_context(changed_environment(**_local_environment()))
        ray = _imported_ray()
        if ray.is_initialized():
            yield ray
            return
        before = signal.getsignal(signal.SIGTERM)
        ending.callback(_set_handler, before)
        folder = tempfile.mkdtemp(prefix="cnnkit-ray-", dir=_short_temporary())
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = {"address": address} if address is not None else _local_settings(folder)
        if address is None:
            ending.enter_context(_watched(folder))
        ending.callback(ray.shutdown)
        try:
            # Workers would import modules from the folder that this is called in.
            with current_folder(folder), silenced_standard_error():
                ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            what = "started" if address is None else f"reached at {address}"
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RuntimeUnavailableError(f"Ray cannot be {what}: {reason}") from error
        # Ray's own would print a stack trace.
        _set_handler(_end if before == signal.SIG_DFL else before)
        yield ray


def check_ray() -> None:
    """Refuse to begin what Ray will be needed for, where it is not installed.

    Raises:
        UsageError: It is not installed.
    """
    if find_spec("ray") is None:
        raise UsageError(NEEDS_RAY)


def _imported_ray() -> Any:
    try:
        return import_ray()
    except ImportError as error:
        raise UsageError(NEEDS_RAY) from error


def _local_settings(folder: str) -> dict[str, Any]:
    return {
        "address": "local",
        "num_cpus": available_cpus(),
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
        "_node_ip_address": LOOPBACK,
        "_temp_dir": folder,
    }


def _local_environment() -> dict[str, str | None]:
    return {
        "RAY_ADDRESS": None,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": None,
        "RAY_AUTH_TOKEN_PATH": str(_token_file()),
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        # As the command itself runs: Ray's workers would be the last to get a processor.
        "RAY_worker_niceness": "0",
        # Its folders come before Python's own.
        "PYTHONPATH": None,
    }


def _token_file() -> Path:
    """Return the file of the token that processes of local clusters show each other.

    Ray reads it once per process, so it stays the same. Elsewhere it would be in the home folder.
    """
    path = cache_folder() / "ray" / "auth_token"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        os.replace(written, path)
    return path


def _short_temporary() -> str | None:
    """Return a folder for temporary files whose name is short enough, None for the usual one."""
    usual = tempfile.gettempdir()
    return None if len(os.fsencode(usual)) <= LONGEST_TEMPORARY or os.name == "nt" else "/tmp"


@contextlib.contextmanager
def _watched(folder: str) -> Iterator[None]:
    """Have a cluster ended if this process is killed in the block, see `ray_watch`."""
    watcher = start_module("cnnkit.runtime.ray_watch", [folder, str(os.getpid())])
    try:
        yield
    finally:
        watcher.communicate(b".")


def _set_handler(handler: Any) -> None:
    """Set what happens upon SIGTERM; only a main thread may."""
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _end(number: int, frame: object) -> None:
    """End in good order, with the status that shells give a killed process."""
    raise SystemExit(128 + number)
