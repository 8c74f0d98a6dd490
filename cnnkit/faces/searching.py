"""Which faces are looked for."""

from __future__ import annotations

from dataclasses import dataclass

from cnnkit.errors import UsageError, broken_rule

SMALLEST_FACE = 12


@dataclass(frozen=True)
class Search:
    """Which faces are looked for.

    Attributes:
        min_face: The smallest side of a face, pixels, at least 12; half of it takes four times
            as long.
        min_score: The lowest score, 0 to 1; None: the detector's own.

    Raises:
        UsageError: An argument is invalid.
    """

    min_face: int = 40
    min_score: float | None = None

    def __post_init__(self) -> None:
        if self.min_face < SMALLEST_FACE:
            rule = f"be at least {SMALLEST_FACE} pixels"
            raise UsageError(broken_rule("`min_face`", rule, self.min_face))
        if self.min_score is not None and not 0 <= self.min_score < 1:
            rule = "be at least 0 and below 1"
            raise UsageError(broken_rule("`min_score`", rule, self.min_score))
