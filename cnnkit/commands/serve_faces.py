"""The tasks of ``cnnkit serve`` that are about faces: comparing two images, and a gallery."""

from __future__ import annotations

from collections.abc import Sequence

from cnnkit.bundles import Bundle
from cnnkit.commands.serve_tasks import IMAGE, served
from cnnkit.commands.verify_face import verify_images
from cnnkit.faces import FaceEmbedder, FaceVerifier
from cnnkit.faces.gallery import Gallery
from cnnkit.results import make_pair_row, make_row
from cnnkit.runtime import RuntimeOptions
from cnnkit.serving.tasks import Answer, Images, ServedModel, ServedTask, Values, options_of

PAIR = ("a", "b")


def verifying(model: str, bundle: Bundle, options: RuntimeOptions, max_pixels: int) -> ServedModel:
    """Return a face embedder that compares the faces of two images."""
    loaded = FaceEmbedder.load(
        None,
        model,
        device=options.device,
        runtime=options.runtime,
        precision=options.precision,
        threads=options.threads,
        max_pixels=max_pixels,
    )

    def answer(images: Images, values: Values) -> Answer:
        """Compare two images."""
        verifier = FaceVerifier(loaded, values.get("faces", "one"), values.get("threshold"))
        outcome = verifier.predict((images[PAIR[0]], images[PAIR[1]]))
        return Answer(make_pair_row(*PAIR, outcome))

    return served(bundle, loaded.predictor, answer)


def verify_task(models: Sequence[ServedModel]) -> ServedTask:
    """Return the task of face embedders."""
    options = options_of(verify_images, ("faces", "threshold"))
    summary = "Check whether two images show the same person."
    return ServedTask(
        "verify", summary, models, options, PAIR, no_row={name: name for name in PAIR}
    )


def identify_task(gallery: Gallery) -> ServedTask:
    """Return the task of a gallery: who is in an image."""
    bundle = gallery.embedder.bundle

    def answer(images: Images, values: Values) -> Answer:
        """Name the faces of an image."""
        return Answer(make_row(IMAGE, gallery.deciding(**values).predict(images[IMAGE])))

    model = served(bundle, gallery.embedder.predictor, answer)
    options = options_of(Gallery.load, ("faces", "threshold", "margin"))
    return ServedTask("identify", "Name the people in an image.", [model], options)
