"""What the numbers of a bare ``.keras`` classifier mean, read off its network.

The way goes from the output back to the last layer with weights: a softmax or sigmoid may stand
behind it, inside a nested model, in each of several that are averaged, or be an operation; what
follows may leave the numbers as they are. Where the way cannot be read, the numbers that the
network gives decide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from cnnkit.errors import BundleError, broken_rule

# How far from 1 the probabilities of one image may add up, in float32.
SUM_ERROR = 1e-3
FIX = "End the network in a softmax or sigmoid layer, or in a dense layer without activation."


@dataclass(frozen=True)
class Numbers:
    """What is known of the numbers at one place of a network.

    Attributes:
        low: None is lower.
        high: None is higher.
        logits: They may be read as logits: nothing has squashed them.
        total: What those of one softmax add up to, where that is known.
        over: Over how many numbers.
        softmaxed: A softmax stands before them, with no weights behind it.
        known: The way to them could be read.
        ends_in: What made them, for messages.
    """

    low: float = -math.inf
    high: float = math.inf
    logits: bool = True
    total: float | None = None
    over: int = 0
    softmaxed: bool = False
    known: bool = True
    ends_in: str = "linear"


LINEAR = Numbers()
# Lowest and highest value of an activation that leaves logits as they are, or nearly so; and of
# one that does not.
UNBOUNDED = {
    "linear": (-math.inf, math.inf),
    "leaky_relu": (-math.inf, math.inf),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "elu": (-1.0, math.inf),
    "celu": (-1.0, math.inf),
    "selu": (-1.76, math.inf),
    "gelu": (-0.17, math.inf),
    "silu": (-0.28, math.inf),
    "swish": (-0.28, math.inf),
    "mish": (-0.31, math.inf),
    "hard_silu": (-0.375, math.inf),
    "hard_swish": (-0.375, math.inf),
    "softplus": (0.0, math.inf),
    "squareplus": (0.0, math.inf),
    "log_softmax": (-math.inf, 0.0),
}
SQUASHED = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "sparse_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "soft_sign": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "exponential": (0.0, math.inf),
    "exp": (0.0, math.inf),
    "log_sigmoid": (-math.inf, 0.0),
}
SIMPLEX = ("softmax", "sparsemax")
# Steps that leave every number as it is, or average some of them.
SAME = frozenset(
    """
    identity flatten reshape permute transpose squeeze expand_dims swapaxes moveaxis ravel cast
    copy stop_gradient convert_to_tensor mean average dropout spatial_dropout1_d spatial_dropout2_d
    spatial_dropout3_d alpha_dropout gaussian_dropout gaussian_noise activity_regularization
    global_average_pooling1_d global_average_pooling2_d global_average_pooling3_d
    average_pooling1_d average_pooling2_d average_pooling3_d adaptive_average_pooling1_d
    adaptive_average_pooling2_d adaptive_average_pooling3_d repeat_vector up_sampling2_d array
    """.split()
)
# Steps that choose among the numbers, so that they no longer add up.
CHOOSING = frozenset(
    """
    get_item slice take max min amax amin global_max_pooling1_d global_max_pooling2_d
    global_max_pooling3_d max_pooling1_d max_pooling2_d max_pooling3_d maximum minimum
    concatenate stack
    """.split()
)
ADDING = ("add", "subtract", "multiply", "divide", "true_divide", "rescaling", "average")
WRAPPERS = ("TimeDistributed", "SpectralNormalization")
MAX_STEPS_BACK = 200


class Scope(NamedTuple):
    """A nested model on the way: what its inputs are outside.

    Attributes:
        inputs: Symbolic inputs of the nested model.
        outside: What it is called on there.
        around: The scope around it.
    """

    inputs: Sequence[Any]
    outside: Sequence[Any]
    around: Scope | None


class _Reader:
    """Reads a network from a tensor back to where its numbers come from."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Numbers] = {}
        self._scopes: list[Scope] = []  # alive as long as their ids are keys

    def read(self, tensor: Any, scope: Scope | None = None, depth: int = 0) -> Numbers:
        """Return what is known of a symbolic tensor's numbers."""
        key = id(tensor), id(scope)
        if key not in self._known:
            self._known[key] = self._read(tensor, scope, depth)
        return self._known[key]

    def _read(self, tensor: Any, scope: Scope | None, depth: int) -> Numbers:
        operation, node_index, number = tensor._keras_history
        if depth > MAX_STEPS_BACK:
            return replace(LINEAR, known=False, ends_in=operation.name)
        if type(operation).__name__ == "InputLayer":
            if scope is not None:
                for index, own in enumerate(scope.inputs):
                    if own is tensor:
                        return self.read(scope.outside[index], scope.around, depth + 1)
            return LINEAR
        node = operation._inbound_nodes[node_index]
        model = as_functional(operation)
        if model is None and type(operation).__name__ in WRAPPERS:
            operation = operation.layer
            model = as_functional(operation)
        if model is not None:
            self._scopes.append(Scope(model.inputs, node.input_tensors, scope))
            return self.read(model.outputs[number], self._scopes[-1], depth + 1)
        before = [self.read(one, scope, depth + 1) for one in node.input_tensors]
        return self._after(operation, node, before)

    def _after(self, operation: Any, node: Any, before: list[Numbers]) -> Numbers:
        kind = _snake(type(operation).__name__)
        if kind in ADDING and (len(before) > 1 or kind != "average"):
            return _arithmetic(kind, operation, node, before)
        if kind in SAME or (kind in CHOOSING and len(before) == 1):
            return before[0] if kind in SAME else replace(before[0], total=None)
        if kind in CHOOSING:
            return _chosen(kind, before)
        if kind == "clip":
            return _clipped(operation, before[0])
        if kind == "log":
            return _logarithm(operation, before[0])
        return _layer_numbers(operation, before, node.outputs[0].shape)


def as_functional(operation: Any) -> Any | None:
    """Return the functional graph of a model that is a layer, or None."""
    if type(operation).__name__ == "Sequential":
        operation = operation._functional
    return operation if hasattr(operation, "_run_through_graph") else None


def _snake(name: str) -> str:
    """Return ``leaky_relu`` for ``LeakyReLU``, as Keras calls its functions."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return snake.replace("re_lu", "relu")


def activation_name(operation: Any) -> str:
    """Return the name of what a layer or operation does to its numbers last, or ``linear``.

    Args:
        operation: A Keras layer or operation: ``Dense(5, activation="softmax")``, ``Softmax()``
            and the operation of ``keras.ops.softmax`` are all ``softmax``.
    """
    kind = _snake(type(operation).__name__)
    if kind in SIMPLEX or kind in SQUASHED or (kind in UNBOUNDED and kind != "linear"):
        return kind
    activation = getattr(operation, "activation", None)
    if activation is None:
        return "linear"
    return getattr(activation, "__name__", _snake(type(activation).__name__))


def _layer_numbers(operation: Any, before: list[Numbers], shape: tuple[int | None, ...]) -> Numbers:
    """Return what a layer gives that computes again, and perhaps squashes, its numbers."""
    activation = activation_name(operation)
    kind = _snake(type(operation).__name__)
    if kind in ("lstm", "gru", "conv_lstm2_d", "bidirectional"):
        activation = "tanh"  # gated: whatever the activation, no softmax
    if activation in SIMPLEX:
        over = _softmax_over(operation, activation, shape)
        return Numbers(0.0, 1.0, False, 1.0, over, True, over > 0, activation)
    if activation in UNBOUNDED and (activation != "linear" or _computes(operation)):
        low, high = UNBOUNDED[activation]
        # A ReLU alone leaves what was squashed before it squashed.
        source = LINEAR if _computes(operation) or not before else before[0]
        logits = source.logits or activation == "log_softmax"
        return replace(
            source,
            low=max(low, source.low) if source.logits else source.low,
            high=min(high, source.high) if source.logits else source.high,
            logits=logits,
            ends_in=activation,
        )
    if activation == "linear" and kind == "activation":
        return before[0]
    if activation in SQUASHED:
        low, high = SQUASHED[activation]
        softmaxed = not _computes(operation) and any(one.softmaxed for one in before)
        known = kind != "exp"  # perhaps of a softmax written by hand
        return Numbers(low, high, False, softmaxed=softmaxed, known=known, ends_in=activation)
    return Numbers(
        logits=_computes(operation) or all(one.logits for one in before),
        softmaxed=not _computes(operation) and any(one.softmaxed for one in before),
        known=False,
        ends_in=activation if activation != "linear" else kind,
    )


def _computes(operation: Any) -> bool:
    """Return whether a layer has weights of its own, so that it makes new numbers."""
    return bool(getattr(operation, "weights", ()))


def _softmax_over(operation: Any, activation: str, shape: tuple[int | None, ...]) -> int:
    """Return how many numbers a softmax normalizes together; 0: images of a batch, or unknown."""
    axis = getattr(operation, "axis", -1) if _snake(type(operation).__name__) in SIMPLEX else -1
    axes = axis if isinstance(axis, list | tuple) else [axis]
    places = [one % len(shape) for one in axes]
    sides = [side for place in places if place and (side := shape[place]) is not None]
    return math.prod(sides) if len(sides) == len(places) else 0


def _arithmetic(kind: str, operation: Any, node: Any, before: list[Numbers]) -> Numbers:
    """Return what a sum, a mean, or a product with a constant gives."""
    if kind == "rescaling":
        scale, offset = np.asarray(operation.scale), np.asarray(operation.offset)
        if scale.size == 1 and offset.size == 1:
            return _moved(before[0], float(scale.ravel()[0]), float(offset.ravel()[0]))
        return _unknown(before, kind)
    terms = _terms(kind, node, before)
    if terms is None:
        return _unknown(before, kind)
    values = [one for one in terms if isinstance(one, Numbers)]
    if kind in ("add", "average", "subtract"):
        share = 1 / len(terms) if kind == "average" else 1.0
        signs = [share, -share] if kind == "subtract" else [share] * len(terms)
        over = {one.over for one in values if one.total is not None}
        size = over.pop() if len(over) == 1 and all(v.total is not None for v in values) else 0
        return _sum([_scaled(t, s, size) for t, s in zip(terms, signs, strict=True)], values, size)
    constants = [one for one in terms if not isinstance(one, Numbers)]
    if len(values) != 1 or len(constants) != 1:
        return _unknown(before, kind)
    if kind == "multiply":
        return _moved(values[0], constants[0], 0.0)
    if isinstance(terms[0], Numbers) and constants[0]:
        return _moved(values[0], 1 / constants[0], 0.0)
    return _unknown(before, kind)


def _terms(kind: str, node: Any, before: list[Numbers]) -> list[Numbers | float] | None:
    """Return the terms of an operation in order: numbers of the network, or constants."""
    arguments = [*node.arguments.args, *node.arguments.kwargs.values()]
    if len(arguments) == 1 and isinstance(arguments[0], list | tuple):
        arguments = list(arguments[0])
    remaining = iter(before)
    terms: list[Numbers | float] = []
    for argument in arguments:
        if hasattr(argument, "_keras_history"):
            terms.append(next(remaining))
        elif isinstance(argument, int | float) and not isinstance(argument, bool):
            terms.append(float(argument))
        else:
            return None
    return terms


class _Term(NamedTuple):
    low: float
    high: float
    total: float | None


def _scaled(term: Numbers | float, factor: float, over: int) -> _Term:
    if not isinstance(term, Numbers):
        return _Term(term * factor, term * factor, term * factor * over)
    low, high = sorted((term.low * factor, term.high * factor))
    return _Term(low, high, None if term.total is None else term.total * factor)


def _sum(terms: list[_Term], values: list[Numbers], over: int) -> Numbers:
    total = math.fsum(term.total or 0.0 for term in terms) if over else None
    return Numbers(
        sum(term.low for term in terms),
        sum(term.high for term in terms),
        all(one.logits for one in values),
        total,
        over,
        any(one.softmaxed for one in values),
        all(one.known for one in values),
        values[0].ends_in,
    )


def _moved(numbers: Numbers, scale: float, offset: float) -> Numbers:
    """Return what scaling and shifting gives."""
    if not scale:
        return replace(numbers, known=False)
    low, high = sorted((numbers.low * scale + offset, numbers.high * scale + offset))
    total = numbers.total
    total = None if total is None else total * scale + offset * numbers.over
    return replace(numbers, low=low, high=high, total=total)


def _unknown(before: list[Numbers], ends_in: str) -> Numbers:
    """Return what is left to say where a step cannot be read."""
    logits = all(one.logits for one in before)
    softmaxed = any(one.softmaxed for one in before)
    return Numbers(logits=logits, softmaxed=softmaxed, known=False, ends_in=ends_in)


def _chosen(kind: str, before: list[Numbers]) -> Numbers:
    """Return what is known of numbers that come from several places each."""
    first = before[0]
    alike = kind == "stack" and all(
        one.total == first.total and one.over == first.over for one in before
    )
    return Numbers(
        min(one.low for one in before),
        max(one.high for one in before),
        all(one.logits for one in before),
        first.total if alike else None,
        first.over if alike else 0,
        any(one.softmaxed for one in before),
        all(one.known for one in before),
        first.ends_in,
    )


def _clipped(operation: Any, before: Numbers) -> Numbers:
    low, high = operation.x_min, operation.x_max
    if not all(isinstance(one, int | float) for one in (low, high)):
        return _unknown([before], "clip")
    if before.low >= low and before.high <= high:
        return before
    if before.softmaxed and before.low >= 0 and before.high <= 1:  # such as [1e-7, 1 - 1e-7]
        almost = low <= SUM_ERROR and high >= 1 - SUM_ERROR
        return before if almost else _unknown([before], "clip")
    squashed = before.logits and low >= 0 and high <= 1
    return replace(
        before,
        low=max(low, before.low),
        high=min(high, before.high),
        logits=before.logits and not squashed,
        total=None,
        ends_in="clip",
    )


def _logarithm(operation: Any, before: Numbers) -> Numbers:
    """Return what a logarithm gives: of a softmax, logits."""
    if before.total is not None and abs(before.total - 1) < SUM_ERROR and before.known:
        return Numbers(-math.inf, 0.0, True, ends_in="log_softmax")
    return Numbers(logits=False, known=before.known, softmaxed=before.softmaxed, ends_in="log")


# --- what the file was trained for ------------------------------------------------------------

# Losses of numbers, not of classes.
OF_NUMBERS = frozenset(
    """
    mean_squared_error mean_absolute_error mean_absolute_percentage_error
    mean_squared_logarithmic_error mse mae mape msle huber log_cosh logcosh poisson
    cosine_similarity hinge squared_hinge categorical_hinge
    """.split()
)


class Loss(NamedTuple):
    """The loss that a file was trained with.

    Attributes:
        name: Such as ``binary_crossentropy``; "" where the file does not say it.
        from_logits: It says that the numbers are logits.
    """

    name: str = ""
    from_logits: bool = False


def read_loss(compile_config: Any) -> Loss:
    """Return the loss of a file's training settings, as far as they are plain to read."""
    loss = compile_config.get("loss") if isinstance(compile_config, Mapping) else None
    if isinstance(loss, Mapping) and "class_name" not in loss:
        loss = list(loss.values())
    if isinstance(loss, list) and len(loss) == 1:
        loss = loss[0]
    if isinstance(loss, str):
        return Loss(_snake(loss))
    if not isinstance(loss, Mapping) or not isinstance(loss.get("class_name"), str):
        return Loss()
    config = loss.get("config")
    if loss["class_name"] == "function":
        return Loss(_snake(config) if isinstance(config, str) else "")
    logits = isinstance(config, Mapping) and config.get("from_logits") is True
    return Loss(_snake(loss["class_name"]), logits)


# --- the answer -------------------------------------------------------------------------------


def kind_of_scores(
    model: Any, classes: int, loss: Loss, run: Callable[[], np.ndarray], subject: str
) -> str:
    """Return what a network's numbers mean.

    Args:
        model: A functional or sequential `keras.Model` with one output; no weight is read.
        classes: How many numbers it gives for an image.
        loss: What it was trained with.
        run: Gives its numbers for some images, float (n, classes), where they must decide.
        subject: What messages call it.

    Returns:
        One of `SCORE_KINDS`.

    Raises:
        BundleError: The numbers are neither probabilities nor logits.
    """
    numbers = _Reader().read(model.outputs[0])
    total = numbers.total if numbers.over == classes else None
    adds_up = total is not None
    if numbers.known and total is not None and abs(total - 1) < SUM_ERROR and numbers.low >= 0:
        if classes > 1:
            return "probabilities"
        raise _unreadable(subject, "a softmax over one number, which is always 1")
    within = numbers.low >= 0 and numbers.high <= 1
    if numbers.known and within and (not numbers.softmaxed or (classes == 1 and not adds_up)):
        if numbers.total is None:
            return "probability" if classes == 1 else "probabilities"
    if loss.from_logits and (numbers.logits or numbers.ends_in == "tanh"):
        return _logits_kind(classes, loss)
    if numbers.known and not numbers.softmaxed:
        return _of_known(numbers, classes, loss, subject)
    return _of_values(run(), numbers, classes, loss, subject)


def contradiction(scores: Any, kind: str) -> str | None:
    """Return what a network plainly gives that is not of a card's kind, or None.

    Args:
        scores: The symbolic tensor of the scores.
        kind: One of `cnnkit.bundles.score_kinds.SCORE_KINDS`.
    """
    numbers = _Reader().read(scores)
    squashed = not numbers.logits and numbers.low >= 0 and numbers.high <= 1
    unbounded = numbers.logits and (numbers.low, numbers.high) == (-math.inf, math.inf)
    wrong = squashed if "logit" in kind else unbounded
    return f"a network that ends in {numbers.ends_in}" if numbers.known and wrong else None


def _logits_kind(classes: int, loss: Loss) -> str:
    if classes == 1:
        return "logit"
    return "independent-logits" if loss.from_logits and "binary" in loss.name else "logits"


def _of_known(numbers: Numbers, classes: int, loss: Loss, subject: str) -> str:
    if loss.name in OF_NUMBERS:
        raise _unreadable(subject, f"numbers learned with the loss {loss.name}")
    open_both_ways = (numbers.low, numbers.high) == (-math.inf, math.inf)
    if numbers.logits and (classes > 1 or open_both_ways):
        return _logits_kind(classes, loss)
    span = f"from {numbers.low:g} to {numbers.high:g}"
    raise _unreadable(subject, f"numbers {span} that end in {numbers.ends_in}")


def _of_values(values: np.ndarray, numbers: Numbers, classes: int, loss: Loss, subject: str) -> str:
    """Let the numbers that a network gives for some images decide."""
    if not np.all(np.isfinite(values)):
        raise _unreadable(subject, "numbers that are not finite")
    low, high = float(values.min()), float(values.max())
    sums = values.sum(axis=-1)
    furthest = int(np.argmax(np.abs(sums - 1)))
    if classes > 1 and low >= -1e-6 and np.all(np.abs(sums - 1) < SUM_ERROR):
        return "probabilities"
    within = low >= 0 and high <= 1
    if numbers.logits and not within:
        if loss.name in OF_NUMBERS:
            raise _unreadable(subject, f"numbers learned with the loss {loss.name}")
        return _logits_kind(classes, loss)
    if within and not numbers.softmaxed and not numbers.logits:
        return "probability" if classes == 1 else "probabilities"
    span = f"from {low:.4g} to {high:.4g} that add up to {sums[furthest]:.4g}"
    raise _unreadable(subject, f"numbers {span} behind {numbers.ends_in}")


def _unreadable(subject: str, received: str) -> BundleError:
    rule = "give class probabilities or logits"
    return BundleError(broken_rule(subject, rule, received, FIX))
