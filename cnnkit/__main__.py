"""Lets ``python -m cnnkit`` run the command line."""

from __future__ import annotations

from cnnkit.cli import main

main()
