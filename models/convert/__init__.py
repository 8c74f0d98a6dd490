"""Rebuild every embedded weight file from its pinned source: ``python -m models.convert all``."""
