"""`transfer_learn`: trains a classifier on labeled images."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cnnkit.classification.training import ClassifierSettings, train_classifier
from cnnkit.classification.training.bundle import history
from cnnkit.classification.training.feature_cluster import FeatureCluster
from cnnkit.cluster import EngineChoice
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.clusters import SHARD_SIZE
from cnnkit.commands.inputs import AnyPath, pixel_limit, text_of
from cnnkit.commands.training import TrainedModel, bad_limit
from cnnkit.errors import UsageError, broken_rule, mutually_exclusive, requires
from cnnkit.runtime import RuntimeOptions
from cnnkit.runtime.processes import joined
from cnnkit.runtime.ray_session import check_ray
from cnnkit.training.run import StageProgress, silent

CLASS_WEIGHTS = ("auto", "none")


@keeps_inputs
def transfer_learn(
    data: AnyPath,
    output: AnyPath,
    *,
    overwrite: bool = False,
    root: AnyPath | None = None,
    split_file: AnyPath | None = None,
    validation: float = 0.2,
    test: float = 0.0,
    copies: str | None = None,
    max_bad: int | str = "5%",
    seed: int = 0,
    backbone: AnyPath = "auto",
    weights: AnyPath | None = None,
    views: int = 0,
    augment: AnyPath = "light",
    class_weights: str = "auto",
    unknown_precision: float | None = 0.95,
    fine_tune: int = 0,
    from_scratch: str | None = None,
    epochs: int = 30,
    size: int | None = None,
    mix: str = "none",
    stages: int | None = None,
    learning_rate: float | None = None,
    lr_find: bool = False,
    train_bn: bool = False,
    resume: bool = False,
    deterministic: bool = False,
    tensorboard: AnyPath | None = None,
    fit: str | None = None,
    max_pixels: int | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    engine: str | None = None,
    shard_size: int = SHARD_SIZE,
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    progress: StageProgress | None = None,
) -> TrainedModel:
    """Train a classifier on labeled images and write it as a bundle.

    Args:
        data: A folder of class folders, a folder with ``train/`` and ``val/`` (and ``test/``) of
            such folders, or a CSV with the columns file and label. It is never changed.
        output: The folder of the new bundle.
        overwrite: Overwrite an existing bundle.
        root: The folder that the files of a CSV are relative to.
        split_file: The ``split.csv`` of an earlier bundle.
        validation: Share of each class for validation, if the data has no splits.
        test: Share of each class for testing, if the data has no splits.
        copies: ``together`` keeps near-duplicates in one split, ``apart`` only identical files.
            Default: together, except for classes whose images are mostly alike.
        max_bad: Maximum number of unreadable images, or a share such as ``5%``.
        seed: Random seed for the split, the augmented views and the training.
        backbone: An embedded classifier, ``keras:NAME`` or a bundle folder. ``auto`` tries the
            embedded ones on at most 942 images and keeps the best on validation.
        weights: A weights file for ``keras:NAME``.
        views: Number of augmented views of each training image to add.
        augment: ``none``, ``light``, ``strong``, ``boxes`` or a recipe file; used by `views`,
            `fine_tune` and `from_scratch`.
        class_weights: ``auto`` gives rare classes more weight above an imbalance of 3:1; ``none``
            does not.
        unknown_precision: Target precision of the threshold for ``unknown``; None for no
            threshold.
        fine_tune: Maximum number of epochs of fine-tuning the whole network; 0 for none.
        from_scratch: An architecture to train without pretrained weights.
        epochs: Maximum number of epochs with `from_scratch`.
        size: Side of the square input with `from_scratch`.
        mix: ``none``, ``mixup`` or ``cutmix``.
        stages: Number of last stages to unfreeze; all by default.
        learning_rate: Peak learning rate; chosen for the network by default.
        lr_find: Search for the learning rate first.
        train_bn: Train batch normalization during `fine_tune`.
        resume: Resume an interrupted run.
        deterministic: Use only deterministic operations on a GPU.
        tensorboard: A folder for TensorBoard logs.
        fit: ``crop``, ``pad`` or ``stretch``; the backbone's own by default.
        max_pixels: Largest number of pixels, about 179 million by default; larger images count as
            unreadable.
        batch_size: Images per batch; chosen for the runtime by default.
        workers: Threads that read and predict.
        device: ``auto``, ``cpu`` or ``gpu``.
        runtime: ``auto``, ``openvino``, ``xla`` or ``tensorflow``, for computing the features.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``int8``, for the same.
        threads: Number of CPU threads; 0 uses all that are available.
        engine: ``ray`` to compute the features with one process per machine of a Ray cluster: of
            this machine alone, or ``ray:auto`` or ``ray:HOST:PORT``. All else is done here.
        shard_size: With `engine`: largest number of images that a process takes at a time.
        coordinator: ``HOST:PORT`` of process 0 where several processes train together; requires
            `fine_tune` or `from_scratch`, and Keras on JAX (``KERAS_BACKEND=jax``). All return;
            process 0 writes the bundle.
        processes: Number of processes; by default what Slurm, torchrun or Open MPI says.
        process_id: Number of this process, from 0; by default what the launcher says.
        progress: Called with the name of a stage and its number of images. Returns a context
            manager that yields a function to call after each image. None for no progress.

    Returns:
        The model. Its metrics are those of held-out images: ``top_1``, ``top_5``, ``macro_f1`` and
        others, as `evaluate` gives them.

    Raises:
        UsageError: The data is unusable, or an argument is invalid.
        BundleError: The backbone cannot be opened, or is unsafe to open.
        OutputError: The bundle cannot be written.
    """
    if class_weights not in CLASS_WEIGHTS:
        rule = f"be one of {', '.join(CLASS_WEIGHTS)}"
        raise UsageError(broken_rule("`class_weights`", rule, class_weights))
    choice = EngineChoice.of(engine, shard_size)
    if choice is not None and coordinator is not None:
        fix = "Each of several processes computes the features for itself."
        raise UsageError(mutually_exclusive("`engine`", "`coordinator`", fix))
    features = None if choice is None else FeatureCluster(choice)
    settings = ClassifierSettings(
        os.fspath(data),
        Path(output),
        root=text_of(root),
        backbone=os.fspath(backbone),
        weights=text_of(weights),
        fit=fit,
        split_file=text_of(split_file),
        validation=validation,
        test=test,
        copies=copies,
        views=views,
        augment=os.fspath(augment),
        mix=mix,
        fine_tune=fine_tune,
        from_scratch=from_scratch,
        epochs=epochs,
        size=size,
        stages=stages,
        learning_rate=learning_rate,
        lr_find=lr_find,
        train_bn=train_bn,
        resume=resume,
        deterministic=deterministic,
        tensorboard=text_of(tensorboard),
        class_weights=class_weights == "auto",
        unknown_precision=unknown_precision,
        max_bad=bad_limit(max_bad),
        seed=seed,
        overwrite=overwrite,
        max_pixels=pixel_limit(max_pixels),
        batch_size=batch_size,
        workers=workers or threads or None,
        runtime=RuntimeOptions(device, runtime, precision, threads),
        engine=features,
    )
    if coordinator is not None and not settings.trains_network:
        raise UsageError(requires("`coordinator`", "`fine_tune` or `from_scratch`"))
    with joined(coordinator, processes, process_id), contextlib.ExitStack() as ending:
        if features is not None:
            check_ray()  # the images are examined first, which may take long
            ending.callback(features.close)
        trained = train_classifier(settings, progress or silent)
    return TrainedModel(
        settings.output,
        "classify",
        trained.evaluations[trained.judged_on]["metrics"],
        trained.judged_on,
        tuple(history(trained)),
    )
