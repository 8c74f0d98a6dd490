"""The stream of images: what one of them does to a call becomes its own row."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cnnkit.images import Found
from cnnkit.pipeline import stream_many
from cnnkit.results import Failure


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("odd"), "failed", "ValueError: odd"),
        (MemoryError(), "too-large", "There is not enough memory to process it."),
    ],
)
def test_an_image_that_breaks_its_call_harms_no_other(error, kind, message):
    def process(images):
        sums = [int(image.sum()) for image in images]
        if 3 in sums:
            raise error
        return sums

    found = [Found(str(number)) for number in range(8)]
    rows = stream_many(found, lambda path: np.full((1, 1), int(path)), process, 4, 2)
    expected = [(str(n), Failure(kind, message) if n == 3 else n) for n in range(8)]
    assert list(rows) == expected


LEFT = """
from cnnkit import pipeline
numbers = pipeline.in_order(iter(range(100)), lambda some: some, 1, 1)
print(next(numbers))
"""


def test_a_stream_that_is_left_at_the_end_of_a_program_is_silent():
    """It is closed when Python can import nothing any more."""
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
