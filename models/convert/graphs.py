"""Writes the graphs of the embedded models, beside their weights."""

from __future__ import annotations

from typing import Any

from cnnkit.bundles import Bundle, open_model
from cnnkit.bundles.statistics import FORMS
from cnnkit.bundles.stored_graphs import GRAPHS, graph_name, write_graphs
from models.convert.source import MODELS_FOLDER

# The networks that paint an image in tiles, see `cnnkit.bundles.statistics`.
PAINTERS = {"magenta-style": ("transform",)}


def write_model_graphs(name: str) -> int:
    """Write the graphs of all networks of an embedded model; return the file's bytes."""
    path = MODELS_FOLDER / name / GRAPHS
    write_graphs(networks_of(open_model(name)), path)
    return path.stat().st_size


def networks_of(bundle: Bundle) -> dict[str, Any]:
    """Return the Keras models of a bundle, a classifier's with its features, by `graph_name`."""
    if not bundle.card.networks:
        return {graph_name(None, None): bundle.build(features=True)}
    forms = {name: (None,) for name in bundle.card.networks}
    forms |= {name: (None, *FORMS) for name in PAINTERS.get(bundle.card.name, ())}
    return {
        graph_name(name, form): bundle.build(network_name=name, statistics_form=form)
        for name, some in forms.items()
        for form in some
    }
