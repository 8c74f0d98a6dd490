"""Where the extra ``serve`` is not installed, there is nothing to test."""

from importlib.util import find_spec

if find_spec("starlette") is None or find_spec("uvicorn") is None:
    collect_ignore_glob = ["test_*.py"]
