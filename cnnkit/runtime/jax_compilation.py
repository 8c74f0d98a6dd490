"""Compiles functions with JAX, less what is known to give wrong numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

# jaxlib 0.11 fuses an activation in bfloat16 with the pooling after it on a processor, by a library
# that does not wait for what the fusion reads: PReLU and a pooling give other numbers, or none, at
# each call. Without these fusions it computes as fast.
RACING_FUSIONS = "xla_cpu_experimental_ynn_fusion_type"


# Whether a function with options for the compiler is being traced.
_tracing: ContextVar[bool] = ContextVar("_tracing", default=False)


def jit(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Return `jax.jit` of a function, with the options given and the compiler's that it needs.

    What is returned may call, and be called by, others that are made here.
    """
    import jax

    needed = compiler_options(version("jaxlib"))
    plain = jax.jit(function, **options)
    if not needed:
        return plain

    @functools.wraps(function)
    def traced(*arguments: Any) -> Any:
        """Let those that are called inside know."""
        before = _tracing.set(True)
        try:
            return function(*arguments)
        finally:
            _tracing.reset(before)

    outermost = jax.jit(traced, compiler_options=needed, **options)
    # JAX refuses the compiler's options inside of another: it is compiled with those of that one.
    return lambda *arguments: (plain if _tracing.get() else outermost)(*arguments)


def compiler_options(jaxlib_version: str) -> dict[str, str]:
    """Return what a version's compiler must be told; another may not know the option."""
    return {RACING_FUSIONS: ""} if jaxlib_version.startswith("0.11.") else {}
