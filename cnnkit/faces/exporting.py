"""Face models as they are exported: the embedder, and the networks that find faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle, open_model
from cnnkit.errors import UsageError, broken_rule
from cnnkit.exporting import NetworkExport, Output, Request
from cnnkit.exporting.images import fitted_images, photographs
from cnnkit.exporting.networks import Batches, as_they_are, fitted, image_input
from cnnkit.faces.alignment import CHIP, TEMPLATE, chips
from cnnkit.faces.candidates import crops, squared
from cnnkit.faces.cascade import (
    LEVEL_OVERLAP,
    OUTPUT_SIDE,
    OUTPUT_THRESHOLD,
    OVERLAP,
    PROPOSAL_THRESHOLD,
    REFINEMENT_SIDE,
    REFINEMENT_THRESHOLD,
)
from cnnkit.faces.detection import YUNET, FaceDetector, FinderRule
from cnnkit.faces.embedding import detector_of
from cnnkit.faces.levels import GRAIN, Halvings, level_pieces, levels
from cnnkit.faces.pyramid import FACTOR, STRIDE, WINDOW, canvases
from cnnkit.faces.searching import Search
from cnnkit.faces.thresholds import Verification
from cnnkit.faces.yunet import CLOSER_SIDES, CLOSER_VIEW, HEADS, STRIDES
from cnnkit.faces.yunet import OVERLAP as YUNET_OVERLAP
from cnnkit.images import InputSpec, prepare
from cnnkit.results import Face
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.process import silenced_standard_error

EMBEDDING = "embedding"
FIVE = "left eye, right eye, nose, left and right corner of the mouth, as one sees them"
IN_PROCESS = RuntimeOptions(device="cpu", runtime="tensorflow", precision="float32")
# Crops of each image for the later networks, besides those of its faces.
CROPS = 12
FINDER_IMAGES = 8


# --- the embedder ------------------------------------------------------------------------


def embedder_networks(bundle: Bundle, request: Request) -> tuple[NetworkExport]:
    """Describe the export of a model for ``embed-face``: an aligned face in, its numbers out.

    Raises:
        UsageError: A size is requested.
        BundleError: The card says nothing of how to verify.
    """
    card = bundle.card
    request.refuse_size(card.name, card.input.height, card.input.width)
    verification = Verification.of_card(card)
    spec = InputSpec(card.input.height, card.input.width, "stretch", 1.0, "bilinear")
    meaning = f"of two faces the {verification.metric} distance says how unlike they are"
    exported = NetworkExport(
        name=None,
        inputs=(image_input(spec.height, spec.width, _face_contract(verification, spec)),),
        outputs=(Output(EMBEDDING, meaning, "number", "the embedding's largest", least=None),),
        ending=lambda keras, raw: {EMBEDDING: next(iter(raw.values()))},
        expected=lambda raw: {EMBEDDING: next(iter(raw.values()))},
        samples=lambda earlier: [
            {"image": _faces(request, verification, spec, detector_of(bundle))}
        ],
        batch=request.batch,
        facts={
            "verification": {
                "metric": verification.metric,
                "threshold": verification.threshold,
                "steepness": verification.steepness,
            }
        },
    )
    return (exported,)


def _face_contract(verification: Verification, spec: InputSpec) -> dict[str, Any]:
    """Return how an image becomes the embedder's input."""
    if verification.alignment == "none":
        return {"alignment": "none: the whole image", **fitted(spec)}
    scale = np.array([spec.width, spec.height]) / CHIP
    return {
        "alignment": "one face, turned, scaled and moved: its landmarks lie nearest to these",
        "beyond_the_picture": 0,
        "landmarks": {
            "order": FIVE,
            "x_y": np.round(TEMPLATE * scale, 4).tolist(),
        },
    }


def _faces(
    request: Request, verification: Verification, spec: InputSpec, finder: str
) -> np.ndarray:
    """Return the faces to check on, cut out and aligned, uint8 (n, height, width, 3)."""
    if request.images is None or verification.alignment == "none":
        return request.fitting(spec)
    detector = FaceDetector(open_model(finder), Search(), IN_PROCESS)
    found = [
        prepare(chip, spec)
        for image in request.images
        for chip in chips(image, _found(detector, image))
    ]
    if not found:
        rule = "show a face at least, to check an embedder on"
        raise UsageError(broken_rule("`check_on`", rule, "images without"))
    return np.stack(found)


def _found(detector: FaceDetector, image: np.ndarray) -> list[Face]:
    """Return an image's faces; TensorFlow finds fault with a graph for each size of canvas."""
    with silenced_standard_error():
        return detector.find(image)


# --- the networks that find faces ---------------------------------------------------------


def finder_networks(bundle: Bundle, request: Request) -> tuple[NetworkExport, ...]:
    """Describe the export of a model for ``find-face``: one network, or three, one file each.

    The first takes images of any size, or of ``request.size``.
    """
    if FinderRule.of_bundle(bundle).kind == YUNET:
        return (_yunet_network(bundle, request),)
    return _cascade_networks(bundle, request)


def _yunet_network(bundle: Bundle, request: Request) -> NetworkExport:
    """Describe the export of YuNet: its raw heads, and how they are decoded."""
    height, width = request.size or (None, None)
    if request.size is not None and any(side % GRAIN for side in request.size):
        rule = f"have sides that are multiples of {GRAIN}"
        raise UsageError(broken_rule("`size`", rule, f"{height}x{width}"))
    contract = {"of": "the image, resized as one likes; sides are multiples of 32, the rest is 0"}
    meaning = f"raw numbers of each cell: class, object, x, y, w, h, then x, y of {FIVE}"
    return NetworkExport(
        name=None,
        inputs=(image_input(height, width, contract),),
        outputs=tuple(
            Output(head, meaning, "number", "a number, or of 1 if that is smaller", least=1.0)
            for head in HEADS
        ),
        ending=as_they_are,
        expected=lambda raw: raw,
        samples=lambda earlier: _frames(request),
        batch=request.batch,
        facts={"finder": YUNET_DECODING | {"min_score": FinderRule.of_bundle(bundle).min_score}},
    )


YUNET_DECODING = {
    "strides": list(STRIDES),
    "score": "sqrt(sigmoid(class) * sigmoid(object))",
    "center": "(column + x) * stride, (row + y) * stride",
    "size": "exp(w) * stride, exp(h) * stride",
    "landmark": "(column + x) * stride, (row + y) * stride",
    "overlap": YUNET_OVERLAP,
    "closer_looks": {"sides": list(CLOSER_SIDES), "view": CLOSER_VIEW, "score": "the mean"},
}


def _frames(request: Request) -> Batches:
    """Return images for YuNet: as it looks at them, or of the requested size."""
    if request.size is not None:
        return [{"image": request.fitting(InputSpec(*request.size, "stretch", 1.0, "area"))}]
    if request.images is None:
        shapes = ((96, 128, 2), (64, 160, 1))  # two sizes, so that none is frozen into the file
        return [{"image": photographs(*shape)} for shape in shapes]
    return [
        {"image": piece.pixels[None]}
        for image in islice(request.images, FINDER_IMAGES)
        for piece in level_pieces(Halvings(image), _finest_scale(image))
    ]


def _finest_scale(image: np.ndarray) -> float:
    height, width = image.shape[:2]
    return levels(height, width, Search().min_face)[0].scale


def _cascade_networks(bundle: Bundle, request: Request) -> tuple[NetworkExport, ...]:
    """Describe the export of MTCNN's three networks."""
    height, width = request.size or (None, None)
    if request.size is not None and min(request.size) < WINDOW:
        rule = f"have sides of at least {WINDOW}"
        raise UsageError(broken_rule("`size`", rule, f"{height}x{width}"))
    images = None
    if request.images is not None:  # they are all in memory, as large as they are
        images = list(islice(request.images, FINDER_IMAGES))
    squares = cache(lambda: _squares(bundle, images or []))
    levels = "the image at many sizes: a face is found where it has about 12 pixels"
    later = "squares around the boxes that the network before gave, resized; 0 beyond the image"
    sides = {"refinement": REFINEMENT_SIDE, "output": OUTPUT_SIDE}
    shapes = {"proposal": (height, width)} | {name: (side, side) for name, side in sides.items()}
    samples = {"proposal": lambda earlier: _levels(images, request.size)} | {
        name: lambda earlier, side=side: [{"image": _crops(images, squares, side)}]
        for name, side in sides.items()
    }
    return tuple(
        NetworkExport(
            name=name,
            inputs=(image_input(*shapes[name], {"of": levels if name == "proposal" else later}),),
            outputs=_finder_outputs(name),
            ending=as_they_are,
            expected=lambda raw: raw,
            samples=samples[name],
            batch=request.batch,
            facts={"cascade": CASCADE},
            notes=_batch_notes(request.batch) if name == "proposal" else (),
        )
        for name in shapes
    )


def _batch_notes(batch: int | None) -> tuple[str, ...]:
    """Return what a fixed batch means, if there is one: each network takes another thing."""
    if batch is None:
        return ()
    return (
        f"With `batch={batch}` the proposal network takes {batch} images of one size a call, the "
        "refinement and the output network as many squares, of which an image has from none to "
        "hundreds: fill the last call up, with zeros for example, and leave their outputs out.",
    )


CASCADE = {
    "order": ["proposal", "refinement", "output"],
    "window": WINDOW,
    "stride": STRIDE,
    "next_size": FACTOR,
    "least_scores": {
        "proposal": PROPOSAL_THRESHOLD,
        "refinement": REFINEMENT_THRESHOLD,
        "output": OUTPUT_THRESHOLD,
    },
    "overlap_within_a_size": LEVEL_OVERLAP,
    "overlap": OVERLAP,
}


def _finder_outputs(name: str) -> tuple[Output, ...]:
    place = ", for each window" if name == "proposal" else ""
    side = "a window's side"
    scores = f"probabilities of no face and of a face{place}"
    offsets = f"how far left, top, right, bottom lie from the window's, in its sides{place}"
    outputs = [
        Output("scores", scores, "probability", "a probability"),
        Output("offsets", offsets, "offset", side, least=1.0),
    ]
    if name == "output":
        landmarks = f"x, then y of {FIVE}, from left and top of the window, in its sides"
        outputs.append(Output("landmarks", landmarks, "landmark", side, least=1.0))
    return tuple(outputs)


def _levels(images: list[np.ndarray] | None, size: tuple[int, int] | None) -> Batches:
    """Return images for the first network: as the cascade lays them out, or of one size."""
    if size is not None:
        spec = InputSpec(*size, "stretch", 1.0, "area")
        return [{"image": fitted_images(images, spec)}]
    if images is None:
        shapes = ((96, 128, 2), (61, 75, 1))  # two sizes, so that none is frozen into the file
        return [{"image": photographs(*shape)} for shape in shapes]
    return [
        {"image": canvas.paint()[None]}
        for image in images
        for canvas in canvases(image, Search().min_face)
    ]


def _crops(
    images: list[np.ndarray] | None, squares: Callable[[], list[np.ndarray]], side: int
) -> np.ndarray:
    """Return crops for a later network, uint8 (n, side, side, 3)."""
    if images is None:
        return photographs(side, side)
    pairs = zip(images, squares(), strict=True)
    return np.concatenate([crops(image, own, side) for image, own in pairs])


def _squares(bundle: Bundle, images: list[np.ndarray]) -> list[np.ndarray]:
    """Return squares of each image, of its faces and of places at random, (n, 4)."""
    detector = FaceDetector(bundle, Search(), IN_PROCESS)
    random = np.random.default_rng(1)
    found = []
    for image in images:
        boxes = [face.xyxy for face in _found(detector, image)]
        found.append(squared(np.array([*boxes, *_places(image, random)])))
    return found


def _places(image: np.ndarray, random: np.random.Generator) -> Iterator[tuple[float, ...]]:
    """Yield squares inside an image, of sizes from 24 pixels to its short side."""
    height, width = image.shape[:2]
    for _ in range(CROPS):
        side = np.exp(random.uniform(*np.log(sorted((24, min(height, width))))))
        left, top = random.uniform(0, 1, 2) * (width - side, height - side)
        yield left, top, left + side, top + side
