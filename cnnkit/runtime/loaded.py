"""What loaded models of every task have in common: a short text, and a process of their own."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, NoReturn, Self

from cnnkit.errors import UsageError, broken_rule

# The methods that compute with the model, and those that ask or change a gallery's database: SQLite
# loses its locks in a process that is forked with an open one, and damages the file.
_BOUND = (
    *("predict", "stream", "find", "embed", "embed_chips", "enroll", "calibrate"),
    *(
        "add",
        "audit",
        "forget",
        "forget_photos",
        "known",
        "people",
        "person_of",
        "photos",
        "rename",
    ),
)


class Loaded:
    """A loaded model."""

    _process: int

    def __new__(cls, *_: object, **__: object) -> Self:
        """Remember the process: in one that is forked from it, the engine's threads are gone."""
        made = object.__new__(cls)
        made._process = os.getpid()
        return made

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in _BOUND:
            if name in cls.__dict__:
                setattr(cls, name, _in_its_process(cls.__dict__[name]))

    def _summary(self) -> str:
        """Return the model's name, and where and how it is computed."""
        card, predictor = self.bundle.card, self.predictor  # type: ignore[attr-defined]
        how = [getattr(predictor, name, "") for name in ("runtime", "precision", "device")]
        return ", ".join([card.name, *filter(None, how)])

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__}: {self._summary()}>"
        except AttributeError:  # it is being made; a debugger looks at it, or a traceback
            return object.__repr__(self)

    def __copy__(self) -> Self:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __getstate__(self) -> NoReturn:
        """Refuse to be pickled: what is compiled holds for one process.

        A class of a user's that says what to pickle, and how to load it again, overrides this.

        Raises:
            UsageError: Always.
        """
        raise self._elsewhere("a request to pickle it")

    def _elsewhere(self, received: str) -> UsageError:
        name = type(self).__name__
        fix = f"Call `{name}.load` in each process: what is compiled is kept, so it is quick."
        rule = "stay in the process that it was loaded in"
        return UsageError(broken_rule(f"the {name}", rule, received, fix))


def _in_its_process(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method refuse to wait forever for threads that a fork has left behind."""

    @functools.wraps(method)
    def checked(self: Loaded, *arguments: Any, **named: Any) -> Any:
        """Look at the process, and call the method."""
        loaded_in = getattr(self, "_process", None)
        if loaded_in not in (None, os.getpid()):
            raise self._elsewhere("a call in a process that was forked from it")
        return method(self, *arguments, **named)

    return checked
