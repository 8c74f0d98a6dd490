"""The names of losses that a user chooses between, without any framework."""

from __future__ import annotations

MININGS = ("semi-hard", "batch-hard", "batch-all")
