"""Reads layers as people write them, such as ``conv 10 3x3/2 same``, and points at mistakes.

A layer is a word, then its numbers, in the order of the table `FORMS`; the options may follow in
any order. Branches of an inception block are separated by ``|``, their layers by ``,``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.lab.arithmetic.chain import ChainError, NamedLayer
from cnnkit.lab.arithmetic.layers import (
    BatchNorm,
    Branches,
    Convolution,
    Dense,
    Depthwise,
    Elementwise,
    Flatten,
    GlobalPooling,
    Layer,
    Padding,
    Pooling,
    Shape,
)
from cnnkit.lab.arithmetic.windows import Pair, Sides, Window, pair_text

LARGEST = 1_000_000  # of any number in a chain
LAYERS = 2_000  # of a chain
PADDINGS = ("same", "valid", "pad")
ELEMENTWISE = ("relu", "relu6", "sigmoid", "tanh", "softmax", "dropout", "swish")

# Each layer's form, for help and for messages.
FORMS = {
    "conv": "conv FILTERS HxW[/STRIDE] [same|valid|pad P] [dilation D] [groups G] [no-bias]",
    "depthwise": "depthwise HxW[/STRIDE] [same|valid|pad P] [dilation D] [no-bias]",
    "max": "max HxW[/STRIDE] [same|valid|pad P]",
    "average": "average HxW[/STRIDE] [same|valid|pad P]",
    "global-average": "global-average",
    "global-max": "global-max",
    "pad": "pad P, or pad TOP,BOTTOM,LEFT,RIGHT",
    "flatten": "flatten",
    "dense": "dense UNITS [no-bias]",
    "batchnorm": "batchnorm",
    "inception": "inception LAYER, LAYER | LAYER | ...",
    **{name: name for name in ELEMENTWISE},
}
OTHER_NAMES = {
    "pool": "max",
    "maxpool": "max",
    "avgpool": "average",
    "avg": "average",
    "fc": "dense",
}


class Mistake(Exception):
    """What is wrong with a part of one layer's text, at characters `start` to `end`."""

    def __init__(self, message: str, start: int, end: int) -> None:
        """Keep where in the text the mistake is."""
        super().__init__(message)
        self.start = start
        self.end = end


@dataclass
class Words:
    """The words of one layer that are still to be read, with their places in its text."""

    text: str
    left: list[tuple[str, int]] = field(default_factory=list)

    @classmethod
    def of(cls, text: str, offset: int = 0) -> Words:
        """Split a text; `offset` is its place in the whole layer."""
        found = re.finditer(r"\S+", text)
        return cls(text, [(match.group().lower(), match.start() + offset) for match in found])

    def next(self, what: str, form: str) -> tuple[str, int]:
        """Take the next word."""
        if not self.left:
            end = len(self.text)
            raise Mistake(f"{what} must follow. Write it as: {form}", max(end - 1, 0), end)
        return self.left.pop(0)

    def take(self, *words: str) -> bool:
        """Take a word if it is the next."""
        if self.left and self.left[0][0] in words:
            self.left.pop(0)
            return True
        return False


def parse_chain(texts: Sequence[str]) -> list[NamedLayer]:
    """Return the layers of a chain.

    Args:
        texts: One layer each.

    Raises:
        ChainError: One of them is wrong; it says where.
    """
    if len(texts) > LAYERS:
        raise UsageError(broken_rule("a chain", f"have at most {LAYERS:,} layers", len(texts)))
    chain = []
    for position, text in enumerate(texts):
        try:
            chain.append(parse_layer(text))
        except Mistake as mistake:
            message = f'layer {position + 1} ("{text}"): {mistake}'
            raise ChainError(message, position, mistake.start, mistake.end) from mistake
    return chain


def parse_layer(text: str, offset: int = 0) -> NamedLayer:
    """Return one layer.

    Args:
        text: Such as ``conv 10 3x3/2``.
        offset: Its place in a longer text, for `Mistake`.

    Raises:
        Mistake: It is none.
    """
    words = Words.of(text, offset)
    name, start = words.next("a layer", ", ".join(FORMS))
    name = OTHER_NAMES.get(name, name)
    if name not in FORMS:
        fix = did_you_mean(name, list(FORMS)) or f"Known: {', '.join(FORMS)}."
        unknown = broken_rule("a layer", "begin with a known word", repr(name), fix)
        raise Mistake(unknown, start, start + len(name))
    if name == "inception":
        return _inception(text, start + len(name), offset)
    layer = READERS[name](words)
    if words.left:
        word, start = words.left[0]
        message = f"{word!r} is no option of {name}. Write it as: {FORMS[name]}"
        raise Mistake(message, start, start + len(word))
    return NamedLayer(" ".join(text.split()), layer)


def parse_shape(text: str, option: str = "`input_shape`") -> Shape:
    """Return a shape written as ``39x39x3``.

    Raises:
        UsageError: It is not three numbers; two do not say how many channels there are.
    """
    shape = _sizes(text, 3)
    if not shape:
        rule = f"be HEIGHTxWIDTHxCHANNELS, each from 1 to {LARGEST:,}"
        plain = _sizes(text, 2)
        sides = pair_text(plain) if plain else "224x224"  # type: ignore[arg-type]
        fix = f"For example {sides}x3 for color, {sides}x1 for grayscale."
        raise UsageError(broken_rule(option, rule, repr(text), fix))
    return shape


def as_shape(shape: str | Sequence[int]) -> Shape:
    """Return height, width and channels, given as numbers or as text; see `parse_shape`."""
    return parse_shape(shape if isinstance(shape, str) else "x".join(map(str, shape)))


def parse_size(text: str, option: str) -> Pair:
    """Return a height and width written as ``5x5``.

    Raises:
        UsageError: It is none.
    """
    sides = _sizes(text, 2)
    if not sides:
        rule = f"be HEIGHTxWIDTH, each from 1 to {LARGEST:,}"
        raise UsageError(broken_rule(option, rule, repr(text), "For example 5x5."))
    return sides[0], sides[1]


def _sizes(text: str, count: int) -> tuple[int, ...]:
    """Return so many numbers with x between them; none where it is not that."""
    numbers = text.lower().split("x")
    if len(numbers) != count or not all(re.fullmatch(r"[0-9]{1,7}", n) for n in numbers):
        return ()
    sizes = tuple(int(number) for number in numbers)
    return sizes if 1 <= min(sizes) and max(sizes) <= LARGEST else ()


# --- the layers ---------------------------------------------------------------------------


def _conv(words: Words) -> Layer:
    filters = _number(words, "the number of filters", FORMS["conv"])
    window, options = _window(words, FORMS["conv"], (1, 1), ("groups", "no-bias", "dilation"))
    return Convolution(filters, window, options.get("groups", 1), "no-bias" not in options)


def _depthwise(words: Words) -> Layer:
    window, options = _window(words, FORMS["depthwise"], (1, 1), ("no-bias", "dilation"))
    return Depthwise(window, bias="no-bias" not in options)


def _pooling(kind: str) -> Callable[[Words], Layer]:
    # Pools step by their own size unless a stride is given, as every framework has it.
    return lambda words: Pooling(kind, _window(words, FORMS[kind], None, ())[0])


def _elementwise(kind: str) -> Callable[[Words], Layer]:
    return lambda words: Elementwise(kind)


def _dense(words: Words) -> Layer:
    units = _number(words, "the number of units", FORMS["dense"])
    return Dense(units, bias=not words.take("no-bias"))


def _pad(words: Words) -> Layer:
    return Padding(_sides(words))


READERS: dict[str, Callable[[Words], Layer]] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "max": _pooling("max"),
    "average": _pooling("average"),
    "global-average": lambda words: GlobalPooling("average"),
    "global-max": lambda words: GlobalPooling("max"),
    "pad": _pad,
    "flatten": lambda words: Flatten(),
    "dense": _dense,
    "batchnorm": lambda words: BatchNorm(),
    **{name: _elementwise(name) for name in ELEMENTWISE},
}


def _inception(text: str, start: int, offset: int) -> NamedLayer:
    """Return the block whose branches follow the word ``inception``."""
    branches, place = [], start - offset
    for part in text[place:].split("|"):
        chain, inside = [], place
        for layer in part.split(","):
            if not layer.strip():
                rule = "a branch must hold layers with , between them"
                raise Mistake(
                    f"{rule}. Write it as: {FORMS['inception']}", inside, min(inside + 1, len(text))
                )
            if layer.split()[0].lower() == "inception":
                raise Mistake("a block must not stand in another", inside, inside + len(layer))
            chain.append(parse_layer(layer, offset + inside))
            inside += len(layer) + 1
        branches.append(tuple(chain))
        place += len(part) + 1
    layers = Branches(tuple(tuple(named.layer for named in chain) for chain in branches))
    return NamedLayer(" ".join(text.split()), layers, tuple(branches))


# --- their numbers ------------------------------------------------------------------------


def _number(words: Words, what: str, form: str, least: int = 1) -> int:
    word, start = words.next(what, form)
    good = re.fullmatch(r"[0-9]{1,7}", word) and least <= int(word) <= LARGEST
    if not good:
        rule = f"{what} must be a whole number from {least} to {LARGEST:,}"
        message = f"{rule}. Received: {word!r}. Write it as: {form}"
        raise Mistake(message, start, start + len(word))
    return int(word)


def _window(
    words: Words, form: str, strides: Pair | None, allowed: tuple[str, ...]
) -> tuple[Window, dict[str, int]]:
    """Read ``5x5/2 same ...`` and the options that the layer allows."""
    word, start = words.next("the kernel", form)
    match = re.fullmatch(r"([0-9]{1,7})x([0-9]{1,7})(?:/([0-9]{1,7})(?:x([0-9]{1,7}))?)?", word)
    numbers = [int(number) for number in match.groups() if number] if match else [0]
    if min(numbers) < 1 or max(numbers) > LARGEST:
        rule = "the kernel must be HEIGHTxWIDTH, perhaps with /STRIDE"
        message = f"{rule}. Received: {word!r}. Write it as: {form}"
        raise Mistake(message, start, start + len(word))
    kernel = numbers[0], numbers[1]
    if len(numbers) > 2:
        strides = numbers[2], numbers[-1]
    padding, options = _options(words, form, allowed)
    dilation = options.get("dilation", 1)
    return Window(kernel, strides or kernel, padding, (dilation, dilation)), options


def _options(
    words: Words, form: str, allowed: tuple[str, ...]
) -> tuple[str | tuple[Sides, Sides], dict[str, int]]:
    padding: str | tuple[Sides, Sides] = "valid"
    options: dict[str, int] = {}
    given: dict[str, str] = {}  # the word that settled the padding, and each option
    while words.left:
        word, start = words.left[0]
        kind = "padding" if word in PADDINGS else word
        if kind in given and (kind == "padding" or word in allowed):
            rule = f"{kind} must be given once" if kind == word else "the padding must be one"
            received = f"{given[kind]!r}, then {word!r}"
            message = f"{rule}. Received: {received}. Write it as: {form}"
            raise Mistake(message, start, start + len(word))
        given[kind] = word
        if words.take("same"):
            padding = "same"
        elif words.take("valid"):
            padding = "valid"
        elif words.take("pad"):
            padding = _sides(words)
        elif "no-bias" in allowed and words.take("no-bias"):
            options["no-bias"] = 1
        elif words.left[0][0] in allowed:
            name, _ = words.left.pop(0)
            options[name] = _number(words, name, form)
        else:
            break
    return padding, options


def _sides(words: Words) -> tuple[Sides, Sides]:
    """Read ``2``, or ``1,2,3,4``: top, bottom, left, right."""
    word, start = words.next("the zeros on each side", FORMS["pad"])
    parts = word.split(",")
    good = len(parts) in (1, 4) and all(re.fullmatch(r"[0-9]{1,7}", part) for part in parts)
    numbers = [int(part) for part in parts] if good else []
    if not numbers or max(numbers) > LARGEST:
        rule = "the padding must be one number, or four: top,bottom,left,right"
        raise Mistake(f"{rule}. Received: {word!r}.", start, start + len(word))
    top, bottom, left, right = numbers * (4 // len(numbers))
    return (top, bottom), (left, right)
