"""What a service offers: tasks, their options, and what an answer is made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnkit.errors import UsageError, broken_rule, did_you_mean
from cnnkit.images import ImageArgument

Images = Mapping[str, ImageArgument]
Values = Mapping[str, Any]

# Query parameters that every task has.
MODEL = "model"
_TRUE, _FALSE = ("", "1", "true", "yes", "on"), ("0", "false", "no", "off")
# What the command line calls a parameter otherwise.
FLAGS = {"class_name": "class"}
_PARAMETER = re.compile(r"`([a-z]\w*)(?:=[^`]*)?`")


@dataclass(frozen=True)
class Answer:
    """What becomes of one request.

    Attributes:
        row: The row of the command.
        image: An image that belongs to it, as the content of a file; None if there is none.
        field: The field of the row that holds the image as a ``data:`` URL, if a client accepts
            JSON.
    """

    row: dict[str, Any]
    image: bytes | None = None
    field: str = ""


@dataclass(frozen=True)
class ServedModel:
    """A loaded model.

    Attributes:
        name: Its name in ``?model=``.
        card: The content of its card.
        engine: The runtime and the precision that it runs in.
        answer: Takes the images by part and the options by name. Called from several threads.
        needs: Images that it needs besides those that every model of its task needs.
    """

    name: str
    card: Mapping[str, Any]
    engine: Mapping[str, str]
    answer: Callable[[Images, Values], Answer]
    needs: Sequence[str] = ()


@dataclass(frozen=True)
class TaskOption:
    """An option of a task: one query parameter.

    Attributes:
        name: The parameter of the Python function.
        kind: ``integer``, ``number``, ``boolean`` or ``string``, as in JSON Schema.
        default: What the function takes if it is not given.
        description: What the function's documentation says.
        parse: Turns the text into the value.
    """

    name: str
    kind: str
    default: Any
    description: str
    parse: Callable[[str], Any]

    @property
    def flag(self) -> str:
        """The name as the command line and the query spell it."""
        return flag_of(self.name)


@dataclass(frozen=True)
class ServedTask:
    """A task: one address, ``/v1/NAME``.

    Attributes:
        name: The last part of the address.
        summary: One line about it.
        models: The models that do it, the first by default.
        options: What a request may set.
        images: The images that a request has, by the name of their part.
        more_images: Images that it may have besides.
        no_row: The first fields of a row, where an error comes before the task itself.
        slow: Whether an answer may take many times as long as those of other tasks.
    """

    name: str
    summary: str
    models: Sequence[ServedModel]
    options: Sequence[TaskOption] = ()
    images: Sequence[str] = ("image",)
    more_images: Sequence[str] = ()
    no_row: Mapping[str, str] = field(default_factory=lambda: {"path": "image"})
    slow: bool = False
    by_name: dict[str, ServedModel] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.by_name.update({model.name: model for model in self.models})

    @property
    def path(self) -> str:
        """The address."""
        return f"/v1/{self.name}"

    def read(self, query: Sequence[tuple[str, str]]) -> tuple[ServedModel, dict[str, Any]]:
        """Return the model and the options that a query asks for.

        Args:
            query: Names and values, in order. Options are spelled with ``-`` or with ``_``.

        Raises:
            UsageError: A name or a value is unknown, or a name occurs twice.
        """
        known = {option.flag: option for option in self.options}
        model, values = self.models[0], {}
        seen: set[str] = set()
        for given, text in query:
            name = given.replace("_", "-")
            if name in seen:
                raise UsageError(broken_rule("each option", "be given once", repr(given)))
            seen.add(name)
            if name == MODEL:
                model = self._model(text)
            elif name in known:
                values[known[name].name] = known[name].parse(text)
            else:
                flags = [MODEL, *known]
                fix = did_you_mean(name, flags)
                fix = fix or f"It has: {', '.join(flags)}."
                rule = f"name options of {self.path}"
                raise UsageError(broken_rule("the query", rule, repr(given), fix))
        return model, values

    def _model(self, name: str) -> ServedModel:
        if name not in self.by_name:
            names = list(self.by_name)
            fix = did_you_mean(name, names) or f"It has: {', '.join(names)}."
            rule = f"be a model that is served for {self.name}"
            raise UsageError(broken_rule("`model`", rule, repr(name), fix))
        return self.by_name[name]


def options_of(
    function: Callable[..., Any],
    names: Sequence[str],
    parsers: Mapping[str, Callable[[str], Any]] | None = None,
    told: Mapping[str, str] | None = None,
) -> list[TaskOption]:
    """Return parameters of a command's function as options of a task.

    Args:
        function: A function with type hints and a docstring in Google style.
        names: The parameters to offer.
        parsers: How the values of some are read; by default by their type, which is then one of
            ``int``, ``float``, ``bool`` and ``str``, with or without None.
        told: What is said of some, instead of what the docstring says.
    """
    parameters, said = inspect.signature(function).parameters, descriptions(function)
    said |= told or {}
    made = []
    for name in names:
        kind = str(parameters[name].annotation).partition(" ")[0]
        parse = (parsers or {}).get(name)
        if parse is None:
            parse = _parser(name, kind)
        else:
            kind = "str"
        schema = {"int": "integer", "float": "number", "bool": "boolean"}.get(kind, "string")
        made.append(TaskOption(name, schema, parameters[name].default, said[name], parse))
    return made


def descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstring of a function says of each parameter, in one line."""
    text = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    found = re.findall(
        r"^    \*{0,2}(\w+): (.*?)(?=^    \S|\Z)",
        section[1] if section else "",
        re.DOTALL | re.MULTILINE,
    )
    return {name: " ".join(words.split()).replace("``", "") for name, words in found}


def flag_of(name: str) -> str:
    """Return a parameter's name as the command line and the query spell it."""
    return FLAGS.get(name, name.replace("_", "-"))


def in_query_words(message: str) -> str:
    """Return a message of the library with its parameters as the query spells them."""
    return _PARAMETER.sub(lambda found: flag_of(found[1]), message)


def _parser(name: str, kind: str) -> Callable[[str], Any]:
    words = {"int": "be a whole number", "float": "be a number", "bool": "be true or false"}

    def parse(text: str) -> Any:
        """Return the value of a text."""
        try:
            if kind == "bool":
                return {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}[text.lower()]
            return {"int": int, "float": float, "str": str}[kind](text)
        except (ValueError, KeyError):
            raise UsageError(broken_rule(f"`{name}`", words[kind], repr(text[:80]))) from None

    return parse
