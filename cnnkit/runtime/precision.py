"""The choice of the numeric precision that OpenVINO computes in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cnnkit.errors import RuntimeUnavailableError, broken_rule, requires
from cnnkit.runtime.contract import ModelSource
from cnnkit.runtime.quantization import FULL_RANGE, HALF_RANGE

# What Linux calls the instructions that add products of 8-bit integers in 32 bits.
INT8_FLAGS = frozenset(("avx512_vnni", "avx_vnni", "amx_int8"))
CPUINFO = Path("/proc/cpuinfo")
# What a predictor says where kernels have `HALF_RANGE`: other results than with the whole range.
INT8, INT8_HALF = "int8", "int8 with 7-bit kernels"


@dataclass(frozen=True)
class Processor:
    """What a processor computes in.

    Attributes:
        name: For messages.
        bfloat16: Whether it has bfloat16 arithmetic.
        int8: Whether it adds products of 8-bit integers in 32 bits: VNNI or AMX. OpenVINO
            lists INT8 without them too, and then saturates in 16 bits.
    """

    name: str
    bfloat16: bool
    int8: bool

    @property
    def reach(self) -> int:
        """The largest integer of a kernel that cannot saturate here."""
        return FULL_RANGE if self.int8 else HALF_RANGE


def this_processor(core: Any) -> Processor:
    """Return what this machine's processor computes in.

    Args:
        core: An `openvino.Core`.
    """
    name = core.get_property("CPU", "FULL_DEVICE_NAME").strip()
    bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return Processor(name, bfloat16, has_int8(_cpuinfo()))


def has_int8(cpuinfo: str) -> bool:
    """Return whether a ``/proc/cpuinfo`` names one of `INT8_FLAGS`; "" (another system): no."""
    return not INT8_FLAGS.isdisjoint(_flags(cpuinfo))


def has_avx2_alone() -> bool:
    """Return whether this processor has AVX2 and not AVX-512, as far as the system tells."""
    flags = _flags(_cpuinfo())
    return "avx2" in flags and "avx512f" not in flags


def _flags(cpuinfo: str) -> list[str]:
    """Return the abilities of a processor that a ``/proc/cpuinfo`` names; "": none."""
    found = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return found[1].split() if found else []


@cache
def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text("utf-8", "replace")
    except OSError:
        return ""


def choose_precision(processor: Processor, precision: str, source: ModelSource) -> str:
    """Return ``int8``, ``bfloat16`` or ``float32``.

    ``auto`` is int8 where it is fast and the model's own figures allow it, else bfloat16 where
    the processor has it, else float32.

    Args:
        processor: From `this_processor`.
        precision: As the user asks.
        source: The model.

    Raises:
        RuntimeUnavailableError: bfloat16 was requested and the processor has none, or int8 and
            the model has no ranges.
    """
    quantization = source.quantization
    if precision == "auto":
        if processor.int8 and quantization is not None and quantization.automatic:
            return "int8"
        return "bfloat16" if processor.bfloat16 else "float32"
    if precision == "bfloat16" and not processor.bfloat16:
        rule = "be used on a CPU that supports bfloat16"
        fix = "Use `precision='float32'` or auto."
        message = broken_rule("`precision='bfloat16'`", rule, processor.name, fix)
        raise RuntimeUnavailableError(message)
    if precision == "int8" and quantization is None:
        raise RuntimeUnavailableError(requires("`precision='int8'`", *source.without_int8))
    return precision
