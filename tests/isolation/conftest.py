"""A decoder to which strange things happen, and what the extra ``serve`` is needed for."""

from importlib.util import find_spec

import pytest

from cnnkit.runtime.children import connect_module, loaded_from

if find_spec("starlette") is None or find_spec("uvicorn") is None:
    collect_ignore_glob = ["test_decoders.py"]

# A decoder to which strange things happen where an image asks for them.
STRANGE = """
import ctypes, os, signal
from cnnkit.isolation import decoding

perform = decoding.perform

def strange(work, content):
    if content == b"crash":
        ctypes.string_at(0)
    if content == b"hang":
        ctypes.PyDLL(None).sleep(1000)  # nothing in Python runs meanwhile
    if content == b"lie":
        done = perform(work, b"P5 1 1 255 .")
        return done._replace(height=10**6, width=10**6)
    return perform(work, content)

decoding.perform = strange
decoding.main()
"""


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """The folder of the module that is the strange decoder."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "strange.py").write_text(STRANGE)
    return folder


@pytest.fixture(scope="module")
def start(strange):
    """Starts a strange decoder."""
    with pytest.MonkeyPatch.context() as patched:
        places = loaded_from() | {"strange": str(strange)}
        patched.setattr("cnnkit.runtime.children.loaded_from", lambda: places)
        yield lambda: connect_module("strange", OPENBLAS_NUM_THREADS="1")
