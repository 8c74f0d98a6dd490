"""Compiles functions with JAX, less what is known to give wrong numbers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

# jaxlib 0.11 fuses an activation in bfloat16 with the pooling after it on a processor, by a library
# that does not wait for what the fusion reads: PReLU and a pooling give other numbers, or none, at
# each call. Without these fusions it computes as fast.
RACING_FUSIONS = "xla_cpu_experimental_ynn_fusion_type"


def jit(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Return `jax.jit` of a function, with the options given and the compiler's that it needs."""
    import jax

    return jax.jit(function, compiler_options=compiler_options(version("jaxlib")), **options)


def compiler_options(jaxlib_version: str) -> dict[str, str]:
    """Return what a version's compiler must be told; another may not know the option."""
    return {RACING_FUSIONS: ""} if jaxlib_version.startswith("0.11.") else {}
