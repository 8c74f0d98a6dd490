"""Graphs for images of other sizes: the same numbers as the network built for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cnnkit.architectures.nanodet import nanodet_g
from cnnkit.bundles import open_model
from cnnkit.runtime import RuntimeOptions, other_sizes, predictor
from cnnkit.runtime.graph_sizes import for_sizes

OPTIONS = RuntimeOptions(device="cpu", runtime="openvino", precision="float32", threads=2)
SIZES = ((288, 416), (416, 352))


def noise(height: int, width: int, count: int = 1) -> np.ndarray:
    shape = (count, height // 8, width // 8, 3)
    coarse = np.random.default_rng(height + width).integers(0, 256, shape, np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def test_other_sizes_give_what_the_network_built_for_them_gives() -> None:
    bundle = open_model("nanodet-g")
    compiled = predictor(bundle.source(), OPTIONS, other_sizes=SIZES)
    assert other_sizes(compiled) == SIZES
    whole = bundle.build()
    for size in SIZES:
        network = nanodet_g((*size, 3))
        for variable, value in zip(network.weights, whole.weights, strict=True):
            variable.assign(value)
        image = noise(*size)
        expected = network(image.astype(np.float32), training=False)
        found = compiled.predict(image)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], np.asarray(values), atol=2e-3)


def test_the_own_size_is_computed_as_without_others() -> None:
    source = open_model("nanodet-g").source()
    image = noise(416, 416, 2)
    some, others = (
        predictor(source, OPTIONS, other_sizes=sizes).predict(image) for sizes in (SIZES, ())
    )
    for name, values in others.items():
        assert np.array_equal(some[name], values)


def test_threads_that_come_first_together_wait_for_one() -> None:
    compiled = predictor(open_model("nanodet-g").source(), OPTIONS, other_sizes=SIZES)
    images = [noise(*size) for size in (*SIZES, (416, 416)) for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(compiled.predict, images))
    for image, found in zip(images, together, strict=True):
        for name, values in compiled.predict(image).items():
            np.testing.assert_allclose(found[name], values, atol=1e-4)


def test_what_is_not_convolutional_throughout_takes_no_other() -> None:
    for name in ("efficientnet-lite0", "squeezenet-1.1"):
        bundle = open_model(name)
        height, width = bundle.card.input.size
        assert for_sizes(bundle.source().stored(), [(height - 32, width)]) is None
        compiled = predictor(bundle.source(), OPTIONS, other_sizes=[(height - 32, width)])
        assert other_sizes(compiled) == ()
    assert for_sizes(open_model("nanodet-g").source().stored(), [(400, 416)]) is None
