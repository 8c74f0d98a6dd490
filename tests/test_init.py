"""The public names of cnnkit, and what `import cnnkit` costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cnnkit

ROOT = Path(__file__).resolve().parents[1]


def test_importing_cnnkit_loads_nothing_but_itself() -> None:
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import cnnkit
top = {{name.partition(".")[0] for name in sys.modules}}
print(*sorted(top - set(sys.stdlib_module_names) - {{"__main__"}}))
"""
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["cnnkit"]


@pytest.mark.parametrize("name", cnnkit.__all__)
def test_a_public_name_comes_from_its_own_module(name: str) -> None:
    value = getattr(cnnkit, name)
    assert name in dir(cnnkit)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__module__.startswith(cnnkit._HOMES[name])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Clasifier'"):
        _ = cnnkit.Clasifier
