"""Which precision OpenVINO computes in, for every processor, model and wish."""

from __future__ import annotations

import itertools

import pytest

from cnnkit.errors import RuntimeUnavailableError
from cnnkit.runtime import ModelSource, Quantization
from cnnkit.runtime.precision import Processor, choose_precision, has_int8

NO, ACCURATE, INACCURATE = "no ranges", "accurate", "inaccurate"
RANGES = {"layer/kernel": (0.0, 1.0)}


def source(model: str) -> ModelSource:
    quantization = None if model == NO else Quantization(RANGES, model == ACCURATE, ["module"])
    return ModelSource("model", "identity", (1, 1, 3), lambda precision: None, None, None, None,
                       quantization)  # fmt: skip


def expected(bfloat16: bool, int8: bool, model: str, wish: str) -> str | None:
    """The rule in words of its own; None: refused."""
    if wish == "auto":
        if int8 and model == ACCURATE:
            return "int8"
        return "bfloat16" if bfloat16 else "float32"
    possible = {"float32": True, "bfloat16": bfloat16, "int8": model != NO}
    return wish if possible[wish] else None


@pytest.mark.parametrize(
    ("bfloat16", "int8", "model", "wish"),
    itertools.product(
        [False, True],
        [False, True],
        [NO, ACCURATE, INACCURATE],
        ["auto", "float32", "bfloat16", "int8"],
    ),
)
def test_every_combination(bfloat16, int8, model, wish):
    processor, wanted = Processor("a CPU", bfloat16, int8), expected(bfloat16, int8, model, wish)
    if wanted is None:
        with pytest.raises(RuntimeUnavailableError, match=f"`precision='{wish}'`"):
            choose_precision(processor, wish, source(model))
    else:
        assert choose_precision(processor, wish, source(model)) == wanted


def test_kernels_have_their_whole_range_only_where_nothing_saturates():
    assert Processor("", False, int8=True).reach == 127
    assert Processor("", True, int8=False).reach == 64


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu sse avx2 avx512f avx512_vnni amx_tile", True),
        ("fpu avx2 avx_vnni", True),
        ("fpu amx_int8", True),
        ("fpu avx2 avx512f amx_bf16 avx512_vnnix", False),
        ("fpu sse4_2", False),
    ],
)
def test_flags_of_linux(flags, has):
    assert has_int8(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: avx512_vnni\n") == has


def test_other_systems_are_not_known():
    assert not has_int8("")
    assert not has_int8("Features\t: fp asimd asimddp\nmodel name : avx512_vnni")
