"""A classifier as it is exported: pixels in, calibrated probabilities out."""

from __future__ import annotations

from cnnkit.bundles import Bundle
from cnnkit.bundles.score_kinds import probabilities, symbolic_probabilities
from cnnkit.exporting.networks import NetworkExport, Output, Request, fitted, image_input

OUTPUT = "probabilities"
SOFTMAX = "probability of each label: softmax and temperature are inside"
MEANINGS = {
    "independent-logits": "probability of each label by itself: sigmoid and temperature are inside",
    "logit": "probability of each of two labels: sigmoid and temperature are inside",
    "probability": "probability of each of two labels: sigmoid and temperature are inside",
    "probabilities": "probability of each label: the network's own, the temperature is inside",
}


def classifier_networks(bundle: Bundle, request: Request) -> tuple[NetworkExport]:
    """Describe the export of a classifier, for the task ``classify``.

    Raises:
        UsageError: A size is requested.
    """
    card = bundle.card
    request.refuse_size(card.name, card.input.height, card.input.width)
    meaning = MEANINGS.get(card.scores_kind, SOFTMAX)
    exported = NetworkExport(
        name=None,
        inputs=(image_input(card.input.height, card.input.width, fitted(card.input)),),
        outputs=(Output(OUTPUT, meaning, "probability", "a probability"),),
        ending=lambda keras, raw: {
            # A softmax or sigmoid at the end: a bare .keras file is read by it.
            OUTPUT: symbolic_probabilities(
                keras, raw["scores"], card.scores_kind, card.temperature, OUTPUT
            )
        },
        # By NumPy, so that what stands behind the network in the export is checked as well.
        expected=lambda raw: {
            OUTPUT: probabilities(raw["scores"], card.scores_kind, card.temperature)
        },
        samples=lambda earlier: [{"image": request.fitting(card.input)}],
        batch=request.batch,
        facts={
            "calibration": {"temperature": card.temperature, "threshold": card.threshold},
            "labels": list(bundle.labels),
        },
    )
    return (exported,)
