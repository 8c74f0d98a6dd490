"""How the kernels of a network that was just trained are rounded to 7 bits: one bit a weight.

Where a kernel is still that of the network that the training began with, so are its bits, which
cost nothing. Those of the other layers are chosen by the training images, see
`cnnkit.runtime.least_squares`. The last layer's stay at the nearest integers: on cats and dogs its
bits changed the scores by nothing to speak of.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnkit.bundles.opening import Bundle
from cnnkit.errors import CnnkitError
from cnnkit.runtime.input_moments import rounding_bits
from cnnkit.runtime.quantization import HALF_RANGE, Means, in_groups, last_layers, quantizable

log = logging.getLogger(__name__)

# Of images and of places in each, to choose bits by: twice the images and four times the places
# take twice the time, and brought the scores of cats and dogs no nearer to float32's.
MOST_IMAGES, PLACES = 32, 64


def bundle_bits(
    graph: Any,
    batches: Sequence[Mapping[str, np.ndarray]],
    means: Means,
    backbone: Bundle | None = None,
) -> dict[str, np.ndarray]:
    """Return rounding bits for a network, packed uint8 (bytes,), by its weights' paths.

    Args:
        graph: An `openvino.Model`, see `cnnkit.runtime.quantization.quantizable`; it is modified.
        batches: Training images as its inputs by name, one image each; at least one.
        means: Of the channels in front of the layers that are computed in 8-bit integers.
        backbone: What the training began with; None: all bits are chosen.
    """
    layers = quantizable(graph.clone())  # folded, a kernel no longer bears its name
    rounded = means.keys() - last_layers(layers)
    bits = _bits_of_same(layers, backbone) if backbone is not None else {}
    bits = {name: values for name, values in bits.items() if name in rounded}
    others = {name: means[name] for name in rounded - bits.keys()}
    some = batches[:: -(-len(batches) // MOST_IMAGES)]  # of all classes: they are in order
    return bits | rounding_bits(graph, some, others, HALF_RANGE, PLACES)


def _bits_of_same(layers: Mapping[str, Any], backbone: Bundle) -> dict[str, np.ndarray]:
    """Return a backbone's bits of the layers whose kernels are its own, to the last bit."""
    source = backbone.source()
    if source.stored is None or source.quantization is None or source.quantization.bits is None:
        return {}
    try:
        bits, graph = source.quantization.bits(), source.stored()
    except CnnkitError as error:  # the training went well all the same
        log.warning("Its rounding bits are left out: %s", error)
        return {}
    if not bits or graph is None:
        return {}
    own = quantizable(graph)
    return {
        name: values
        for name, values in bits.items()
        if name in layers and name in own and _is_same(layers[name], own[name])
    }


def _is_same(layer: Any, other: Any) -> bool:
    """Return whether two layers have the same kernel, as it is rounded: batch norms included."""
    one, two = (in_groups(each, each.input_value(1).get_node().data) for each in (layer, other))
    return layer.get_type_name() == other.get_type_name() and np.array_equal(one, two)
