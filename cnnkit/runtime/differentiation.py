"""The only code that depends on Keras's backend: compiled functions and gradients.

`keras.ops` has no gradient of its own; everything that trains or optimizes goes through
`compile` and `value_and_gradient`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnnkit.errors import RuntimeUnavailableError, broken_rule
from cnnkit.runtime.hardware import backend_drives_gpu
from cnnkit.runtime.jax_compilation import jit
from cnnkit.runtime.process import backend_name, import_keras
from cnnkit.runtime.processes import current_group
from cnnkit.runtime.tracing import graph_function

DIFFERENTIABLE_BACKENDS = ("tensorflow", "jax")


def compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors: XLA on a GPU, TensorFlow's graph on a CPU, or JAX's jit.

    Args:
        function: Takes and returns tensors, or lists and dicts of them, written in `keras.ops`.

    Returns:
        The same function, compiled on the first call for each shape of its arguments. Where
        several processes train together, each has the whole of what it returns.
    """
    if _backend() == "jax":
        shared = current_group().replicated()
        return jit(function, **({} if shared is None else {"out_shardings": shared}))
    return graph_function(function, jit_compile=backend_drives_gpu())


def compile_model(model: Any, function: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """Compile a model and what follows it; the weights are those at the time of each call.

    Args:
        model: A `keras.Model`; its weights may change between calls.
        function: Takes the model's outputs and the images, returns tensors.

    Returns:
        A function of images.
    """
    if _backend() != "jax":
        return compile(lambda images: function(model(images), images))

    def graph(trainable: Any, fixed: Any, images: Any) -> Any:
        outputs, _ = model.stateless_call(trainable, fixed, images, training=False)
        return function(outputs, images)

    compiled = jit(graph)

    def call(images: Any) -> Any:
        """Pass the weights: a compiled function would keep those of its first call."""
        variables = model.trainable_variables, model.non_trainable_variables
        return compiled(*([v.value for v in part] for part in variables), images)

    return call


def value_and_gradient(
    function: Callable[..., Any], *, auxiliary: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Return a compiled function that returns a scalar and its gradient.

    Args:
        function: Takes tensors; returns a scalar tensor. The gradient is that of its first
            argument: a tensor, or a list or dict of them.
        auxiliary: Whether the function also returns something else, such as intermediate results.

    Returns:
        A function of the same arguments that returns ``(value, gradient)``, the gradient
        shaped like the first argument; ``((value, something else), gradient)`` with
        `auxiliary`.
    """
    if _backend() == "jax":
        import jax

        return jit(jax.value_and_grad(function, has_aux=auxiliary))
    import tensorflow as tf

    def with_gradient(first: Any, *others: Any) -> tuple[Any, Any]:
        """Return what the function returns, and the gradient of its value by `first`."""
        first = tf.nest.map_structure(tf.convert_to_tensor, first)
        with tf.GradientTape() as tape:
            tape.watch(first)
            returned = function(first, *others)
            value = returned[0] if auxiliary else returned
        gradient = tape.gradient(value, first, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return returned, gradient

    return compile(with_gradient)


def _backend() -> str:
    import_keras()
    name = backend_name()
    if name not in DIFFERENTIABLE_BACKENDS:
        rule = f"be one of {', '.join(DIFFERENTIABLE_BACKENDS)}"
        raise RuntimeUnavailableError(broken_rule("KERAS_BACKEND", rule, name))
    return name
