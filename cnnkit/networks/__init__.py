"""What a network is made of, layer by layer: sizes, counts, receptive fields, drawings."""

from __future__ import annotations

from cnnkit.networks.reading import LayerRow, read_network, totals

__all__ = ["LayerRow", "read_network", "totals"]
