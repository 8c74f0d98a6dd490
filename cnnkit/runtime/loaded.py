"""What loaded models of every task have in common: a short text, and a process of their own."""

from __future__ import annotations

from typing import NoReturn, Self

from cnnkit.errors import UsageError, broken_rule


class Loaded:
    """A loaded model."""

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
        name = type(self).__name__
        fix = f"Call `{name}.load` in each process: what is compiled is kept, so it is quick."
        rule = "stay in the process that it was loaded in"
        raise UsageError(broken_rule(f"the {name}", rule, "a request to pickle it", fix))
