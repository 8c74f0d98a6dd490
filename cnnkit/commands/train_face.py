"""`train_face`: trains a face embedding model."""

from __future__ import annotations

import os
from pathlib import Path

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath, pixel_limit, text_of
from cnnkit.commands.training import TrainedModel, bad_limit
from cnnkit.data import Shares
from cnnkit.errors import UsageError, requires
from cnnkit.faces.training import EmbedderSettings, learn_faces
from cnnkit.faces.training.bundle import epochs as epoch_rows
from cnnkit.runtime.processes import joined
from cnnkit.training.run import StageProgress, silent


@keeps_inputs
def train_face(
    data: AnyPath,
    output: AnyPath,
    *,
    overwrite: bool = False,
    root: AnyPath | None = None,
    crop: str = "face",
    detector: str = "yunet",
    split_by: str = "people",
    validation: float = 0.2,
    test: float = 0.0,
    max_bad: int | str = "5%",
    seed: int = 0,
    network: str = "dlib-face",
    loss: str | None = None,
    margin: float = 0.2,
    people: int = 16,
    photos: int = 4,
    dimensions: int = 128,
    size: int = 64,
    epochs: int = 30,
    patience: int = 8,
    learning_rate: float | None = None,
    augment: AnyPath = "light",
    resume: bool = False,
    max_pixels: int | None = None,
    workers: int | None = None,
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    progress: StageProgress | None = None,
) -> TrainedModel:
    """Train a face embedding model and write it as a bundle.

    Args:
        data: A folder with one folder for each person, or a CSV with the columns file and label.
        output: The folder of the new bundle.
        overwrite: Overwrite an existing bundle.
        root: The folder that the files of a CSV are relative to.
        crop: ``face`` uses the largest face, aligned; ``none`` uses the whole image.
        detector: What finds the faces, ``yunet`` or ``mtcnn``; the bundle keeps it.
        split_by: ``people`` puts each person into one split only; ``pictures`` splits by image.
        validation: Share of the people, or images, for validation.
        test: Share of the people, or images, for testing.
        max_bad: Maximum number of photos that are unreadable or without a face, or a share such
            as ``5%``.
        seed: Random seed for the whole run.
        network: ``dlib-face``, the embedded model, or ``embedding-small``, trained from scratch.
        loss: ``head`` (a logistic unit on frozen embeddings), ``semi-hard``, ``batch-hard``,
            ``batch-all`` or ``logistic``. Default: head for dlib-face, otherwise semi-hard.
        margin: Margin of the triplets; 0 is the soft margin of ``batch-hard``.
        people: People per batch.
        photos: Photos per person in a batch.
        dimensions: Embedding size of ``embedding-small``.
        size: Side of the square input of ``embedding-small``.
        epochs: Maximum number of epochs.
        patience: Stop after this many epochs without a lower validation loss.
        learning_rate: Peak learning rate; chosen for the network by default.
        augment: ``none``, ``light``, ``strong`` or a recipe file.
        resume: Resume an interrupted run.
        max_pixels: Largest number of pixels, about 179 million by default; larger images count as
            unreadable.
        workers: Threads that read.
        coordinator: ``HOST:PORT`` of process 0 where several processes train together; requires
            Keras on JAX (``KERAS_BACKEND=jax``). All return; process 0 writes the bundle.
        processes: Number of processes; by default what Slurm, torchrun or Open MPI says.
        process_id: Number of this process, from 0; by default what the launcher says.
        progress: Called with the name of a stage and its number of images. Returns a context
            manager that yields a function to call after each image. None for no progress.

    Returns:
        The model. Its metrics, such as ``auc``, are those of pairs of held-out images.

    Raises:
        UsageError: The data is unusable, or an argument is invalid.
        OutputError: The bundle cannot be written.
        CnnkitError: The embeddings tell nobody apart, or no epoch had a finite loss.
    """
    settings = EmbedderSettings(
        os.fspath(data),
        Path(output),
        root=text_of(root),
        network=network,
        loss=("head" if network == "dlib-face" else "semi-hard") if loss is None else loss,
        margin=margin,
        people=people,
        photos=photos,
        dimensions=dimensions,
        size=size,
        crop=crop,
        detector=detector,
        epochs=epochs,
        learning_rate=learning_rate,
        split_by=split_by,
        shares=Shares(validation, test),
        augment=os.fspath(augment),
        patience=patience,
        seed=seed,
        overwrite=overwrite,
        resume=resume,
        max_bad=bad_limit(max_bad),
        max_pixels=pixel_limit(max_pixels),
        workers=workers,
    )
    if coordinator is not None and not settings.trains:
        raise UsageError(requires("`coordinator`", "a `loss` that trains the network"))
    with joined(coordinator, processes, process_id):
        trained = learn_faces(settings, progress or silent)
    return TrainedModel(
        settings.output,
        "embed-face",
        trained.figures[trained.judged_on],
        trained.judged_on,
        tuple(epoch_rows(trained)),
    )
