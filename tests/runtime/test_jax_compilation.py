"""What JAX compiles gives what it gives op by op, in bfloat16 too."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from cnnkit.runtime import jax_compilation
from cnnkit.runtime.jax_compilation import RACING_FUSIONS, compiler_options, jit


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("version", ["0.11.0", "0.11.2", "0.12.0.1", "1.2.0"])
def test_versions_that_race_are_told_so_if_they_know_the_option(
    monkeypatch: pytest.MonkeyPatch, version: str, known: bool
) -> None:
    monkeypatch.setattr(jax_compilation, "knows", lambda option: known)
    assert compiler_options(version) == ({RACING_FUSIONS: ""} if known else {})


@pytest.mark.parametrize("version", ["0.5.3", "0.10.2"])
def test_versions_before_do_not_race(version: str) -> None:
    assert compiler_options(version) == {}


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
def test_an_option_that_there_never_was_is_not_known() -> None:
    assert not jax_compilation.knows("xla_cnnkit_never_had_this")


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
def test_an_activation_before_a_pooling_keeps_its_numbers() -> None:
    import jax.numpy as jnp
    from jax import lax

    def pooled(images: jnp.ndarray, slopes: jnp.ndarray) -> jnp.ndarray:
        activated = jnp.maximum(images, 0) - jnp.maximum(-images, 0) * slopes
        lowest = jnp.asarray(-jnp.inf, images.dtype)
        return lax.reduce_window(
            activated, lowest, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), padding="SAME"
        )

    random = np.random.default_rng(0)
    images = jnp.asarray(random.standard_normal((1, 61, 61, 16)), jnp.bfloat16)
    slopes = jnp.zeros(16, jnp.bfloat16)
    by_operations = np.asarray(pooled(images, slopes), np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(
            np.asarray(jit(pooled)(images, slopes), np.float32), by_operations
        )


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
@pytest.mark.parametrize("needed", [{}, {"xla_cpu_enable_fast_math": False}], ids=str)
def test_one_may_be_part_of_another_whatever_its_compiler_is_told(
    needed: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    import jax
    import jax.numpy as jnp

    monkeypatch.setattr(jax_compilation, "compiler_options", lambda _: needed)
    gradient = jit(jax.value_and_grad(lambda weights, images: jnp.sum(weights * images)))
    step = jit(lambda weights, images: weights - gradient(weights, images)[1])
    ones = jnp.ones(3)
    np.testing.assert_array_equal(step(ones, 3 * ones), -2 * ones)
    value, found = jit(jax.value_and_grad(lambda weights: jnp.sum(step(weights, ones) ** 2)))(ones)
    assert value == 0 and not np.any(found)
    assert gradient(ones, ones)[0] == 3 and not jax_compilation._tracing.get()
