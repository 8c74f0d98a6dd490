"""The table of counts, held to the networks themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cnnkit.architectures import BUILDERS
from cnnkit.lab.networks.catalog import CATALOG
from cnnkit.lab.networks.opening import Wish, rows_of_builder
from cnnkit.lab.networks.reading import totals

QUICK = ("lenet-5", "lenet-5-1998", "alexnet", "vgg-16", "squeezenet-1.1", "mtcnn-proposal")


def slow_unless_quick(name: str) -> object:
    return name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)


def test_every_builder_has_a_line_and_no_other() -> None:
    assert set(CATALOG) == set(BUILDERS)


@pytest.mark.parametrize("name", map(slow_unless_quick, CATALOG))
def test_a_line_says_what_the_builder_makes(name: str) -> None:
    entry, rows = CATALOG[name], rows_of_builder(name, {}, Wish())
    found = totals(rows)
    assert rows[0].output == entry.input
    assert (found["trained"], found["multiplies"]) == (entry.parameters, entry.multiplies)
    if isinstance(entry.output, int):
        assert rows[-1].output == (entry.output,)


def test_the_table_needs_no_framework() -> None:
    code = (
        "import sys, cnnkit.lab.networks.catalog\n"
        "sys.exit(', '.join({'keras', 'tensorflow', 'numpy', 'PIL'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
