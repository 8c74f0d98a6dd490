"""`train_detector`: trains a detector on images with boxes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath, pixel_limit, text_of
from cnnkit.commands.training import TrainedModel, bad_limit
from cnnkit.detection.training.bundle import epochs as epoch_rows
from cnnkit.detection.training.learning import learn_boxes
from cnnkit.detection.training.outcome import TrainedDetector
from cnnkit.detection.training.settings import DetectorSettings
from cnnkit.runtime.processes import joined
from cnnkit.training.run import StageProgress, silent


@keeps_inputs
def train_detector(
    data: AnyPath,
    output: AnyPath,
    *,
    overwrite: bool = False,
    resume: bool = False,
    images: AnyPath | None = None,
    validation_data: AnyPath | None = None,
    validation: float = 0.15,
    max_bad: int | str = "5%",
    seed: int = 0,
    architecture: str = "nanodet-g",
    from_scratch: bool = False,
    size: int | None = None,
    anchors: str = "auto",
    box_loss: str = "yolo",
    frozen_epochs: int | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int = 8,
    augment: AnyPath = "boxes",
    mosaic: float = 0.5,
    multi_scale: bool | None = None,
    average: bool = True,
    patience: int = 15,
    max_pixels: int | None = None,
    workers: int | None = None,
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    progress: StageProgress | None = None,
) -> TrainedModel:
    """Train a detector on images with boxes and write it as a bundle.

    Args:
        data: COCO's JSON, a folder of Pascal VOC's XML, or YOLO's text files; ``coco:``,
            ``voc:`` or ``yolo:`` before the path selects the format. It is never changed.
        output: The folder of the new bundle.
        overwrite: Overwrite an existing bundle.
        resume: Resume an interrupted run.
        images: The folder of the images, if they are elsewhere.
        validation_data: Separate images with boxes for validation.
        validation: Share of the images for validation, if the data has no splits.
        max_bad: Maximum number of unreadable images, or a share such as ``5%``.
        seed: Random seed for the split and the training.
        architecture: ``nanodet-g``, ``yolov3-tiny``, ``yolov3``, ``ssd-lite0``, or
            ``localizer-lite0`` for one object per image.
        from_scratch: Start from random weights.
        size: Side of the square input, a multiple of 32; the architecture's own by default.
        anchors: Of YOLO networks: ``default``, ``kmeans``, or ``auto`` for whichever fits better.
        box_loss: Of YOLO networks: ``yolo`` or ``ciou``.
        frozen_epochs: Initial epochs with a frozen backbone; the architecture's own by default.
        epochs: Maximum number of epochs of the whole network; the architecture's own by default.
        learning_rate: Peak learning rate; the architecture's own by default.
        batch_size: Images per batch.
        augment: ``none``, ``light``, ``strong``, ``boxes`` or a recipe file.
        mosaic: Share of mosaics among the training images, 0 to 1; none in the last third.
        multi_scale: Vary the input size from batch to batch; by default where the architecture
            takes any size.
        average: Keep a moving average of the weights.
        patience: Stop after this many epochs without a higher AP50, or AP for ``nanodet-g``.
        max_pixels: Largest number of pixels, about 179 million by default; larger images count as
            unreadable.
        workers: Threads that read and augment.
        coordinator: ``HOST:PORT`` of process 0 where several processes train together; requires
            Keras on JAX (``KERAS_BACKEND=jax``). All return; process 0 writes the bundle.
        processes: Number of processes; by default what Slurm, torchrun or Open MPI says.
        process_id: Number of this process, from 0; by default what the launcher says.
        progress: Called with the name of a stage and its number of images. Returns a context
            manager that yields a function to call after each image. None for no progress.

    Returns:
        The model. Its metrics are COCO's; ``classes`` has the ``AP`` and ``AP50`` per class. A
        metric is None where validation has no box for it.

    Raises:
        UsageError: The data is unusable, or an argument is invalid.
        OutputError: The bundle cannot be written.
        CnnkitError: No epoch had a finite loss.
    """
    settings = DetectorSettings(
        os.fspath(data),
        Path(output),
        images=text_of(images),
        validation_data=text_of(validation_data),
        validation=validation,
        architecture=architecture,
        from_scratch=from_scratch,
        size=size,
        anchors=anchors,
        box_loss=box_loss,
        frozen_epochs=frozen_epochs,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        augment=os.fspath(augment),
        mosaic=mosaic,
        multi_scale=multi_scale,
        average=average,
        patience=patience,
        max_bad=bad_limit(max_bad),
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        max_pixels=pixel_limit(max_pixels),
        workers=workers,
    )
    with joined(coordinator, processes, process_id):
        trained = learn_boxes(settings, progress or silent)
    return TrainedModel(
        settings.output, "detect", _metrics(trained), "val", tuple(epoch_rows(trained))
    )


def _metrics(trained: TrainedDetector) -> dict[str, Any]:
    """Return COCO's figures on validation, and each class's average precision.

    A figure is None where validation has no box for it.
    """
    figures = trained.figures
    classes = {
        label: {
            "AP": _number(figures.average_precision(label=number)),
            "AP50": _number(figures.average_precision(0.5, label=number)),
        }
        for number, label in enumerate(trained.classes)
    }
    return {**figures.to_dict(), "classes": classes}


def _number(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
