"""Compiles functions with JAX, less what is known to give wrong numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

# Since 0.11 jaxlib fuses an activation in bfloat16 with the pooling after it on a processor, by a
# library that does not wait for what the fusion reads: PReLU and a pooling give other numbers, or
# none, at each call. Without these fusions it computes as fast.
RACING_FUSIONS = "xla_cpu_experimental_ynn_fusion_type"
FIRST_RACING = (0, 11)

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
    """Return what a version's compiler must be told; a later one may not know the option."""
    major, minor = (int(number) for number in jaxlib_version.split(".")[:2])
    return {RACING_FUSIONS: ""} if (major, minor) >= FIRST_RACING and knows(RACING_FUSIONS) else {}


@functools.cache
def knows(option: str) -> bool:
    """Return whether the compiler takes an option, empty; asking takes 10 ms."""
    import jax

    try:
        jax.jit(lambda number: number, compiler_options={option: ""}).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
