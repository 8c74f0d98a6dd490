"""Looking inside: what a network sees in an image, and what its units look for."""

from __future__ import annotations

from cnnkit.explanation.explainer import DEFAULT_MODEL, Explainer, Explanation

__all__ = ["DEFAULT_MODEL", "Explainer", "Explanation"]
