"""What a classifier's scores are, by the operations of its graph that make them."""

from __future__ import annotations

import math
from typing import Any

from cnnkit.bundles.graphs.network import (
    MAX_STEPS_BACK,
    ROUNDED,
    SAME,
    SQUASHING,
    find_tensor,
    is_constant,
    sides,
)
from cnnkit.errors import BundleError, broken_rule

# Of a logarithm of probabilities, or of a sigmoid by hand: no logits, whatever they are.
EXPONENTIALS = frozenset(("Exp", "Power", "SoftPlus", "Tanh"))
# Steps that cut numbers off.
ENDS = frozenset("Clamp Maximum Minimum Relu".split())
# Steps behind which probabilities may stand as they are, scaled, chosen from, or averaged.
COMBINING = SAME | frozenset(
    "Add Clamp Concat Divide Gather Maximum Minimum Multiply ReduceMax ReduceMean Round Select"
    " Slice Split StridedSlice Subtract VariadicSplit".split()
)


def scores_kind(model: Any, tensor: str, numbers: int) -> str | None:
    """Return what a classifier's scores are, by the operations that make them.

    Steps such as a slice without the background, a clip, or the mean of several networks leave
    probabilities what they are.

    Returns:
        One of `cnnkit.bundles.score_kinds.SCORE_KINDS`; None where probabilities are combined
        with other numbers, so that it cannot be told.

    Raises:
        BundleError: They are the highest few, without the classes that they are of, or a softmax
            over something else than an image's classes.
    """
    port = find_tensor(model, tensor)
    makers = _first_makers(port)
    if any(node.get_type_name() == "TopK" for node in makers):
        rule = "give a score for each class"
        fix = "Export it without TopK."
        raise BundleError(broken_rule("The graph", rule, "the highest few scores", fix))
    for node in makers:
        _check_softmax(node, numbers)
    if any(node.get_type_name() in EXPONENTIALS for node in makers):
        return None
    squashed = [node.get_type_name() in SQUASHING or _is_share(node) for node in makers]
    if any(squashed) and not all(squashed):
        return None
    if not any(squashed) and _is_cut_to_shares(port):
        return None
    if numbers == 1:
        return "probability" if any(squashed) else "logit"
    return "probabilities" if any(squashed) else "logits"


def _check_softmax(node: Any, numbers: int) -> None:
    """Refuse a softmax over the images of a batch, which is 1 for every class of a lone image.

    Also one over an axis of one number: both run, and say nothing of the image.
    """
    shape = sides(node.get_output_partial_shape(0))
    if node.get_type_name() not in ("SoftMax", "Softmax") or len(shape) < 2 or numbers < 2:
        return
    axis = int(node.get_attributes()["axis"]) % len(shape)
    if shape[axis] == 1 or (axis == 0 and shape[0] != numbers):
        shown = str(list(shape)).replace("None", "?")
        over = "the images of a batch" if axis == 0 else "an axis of one number"
        received = f"a softmax over {over}, axis {axis} of {shown}"
        fix = "Export it with the softmax over the classes, or without one."
        raise BundleError(
            broken_rule("The graph", "normalize each image's scores together", received, fix)
        )


def _is_cut_to_shares(port: Any) -> bool:
    """Return whether numbers are cut to 0 to 1 last: a sigmoid of straight lines, by hand.

    It is written so, or as a ReLU6 that is divided by 6.
    """
    factor, low, high = 1.0, -math.inf, math.inf
    for _ in range(MAX_STEPS_BACK):
        node = port.get_node()
        kind = node.get_type_name()
        values = [value for value in node.input_values() if not is_constant(value)]
        if len(values) != 1:
            return False
        if kind in ("Multiply", "Divide"):
            number = _one_number(node)
            factor *= number if kind == "Multiply" else 1 / (number or 1.0)
        elif kind in ENDS:
            least, most = _ends(node)
            low, high = max(low, least * factor), min(high, most * factor)
        elif kind not in SAME:
            return False
        if low >= 0 and high <= 1 + ROUNDED:
            return True
        port = values[0]
    return False


def _ends(node: Any) -> tuple[float, float]:
    """Return the lowest and the highest number that one of `ENDS` lets through."""
    kind = node.get_type_name()
    if kind == "Clamp":
        ends = node.get_attributes()
        return float(ends["min"]), float(ends["max"])
    if kind == "Relu":
        return 0.0, math.inf
    number = _one_number(node)
    if math.isinf(number):
        return -math.inf, math.inf
    return (number, math.inf) if kind == "Maximum" else (-math.inf, number)


def _one_number(node: Any) -> float:
    """Return the one number that another is multiplied with or divided by; infinity for others."""
    for value in node.input_values():
        constant = value.get_node()
        if constant.get_type_name() == "Constant" and constant.get_data().size == 1:
            return float(constant.get_data().ravel()[0])
    return math.inf


def _first_makers(port: Any) -> list[Any]:
    """Return the operations from which a tensor's numbers come, back through `COMBINING`."""
    pending, makers = [port.get_node()], []
    seen: set[str] = set()
    while pending and len(seen) < MAX_STEPS_BACK:
        node = pending.pop()
        if node.get_friendly_name() in seen:
            continue
        seen.add(node.get_friendly_name())
        before = [value.get_node() for value in node.input_values() if not is_constant(value)]
        if node.get_type_name() not in COMBINING or not before or _is_share(node):
            makers.append(node)
        else:
            pending += before
    return makers


def _is_share(node: Any) -> bool:
    """Return whether a node is a softmax by hand: a division of exponentials."""
    if node.get_type_name() != "Divide":
        return False
    return bool(node.input_value(0).get_node().get_type_name() == "Exp")
