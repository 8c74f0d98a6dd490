"""`train_style`: trains a fast style transfer network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath, Inputs, path_list, pixel_limit, text_of
from cnnkit.commands.training import TrainedModel, bad_limit
from cnnkit.runtime.processes import joined
from cnnkit.style.training.learning import PainterSettings, PainterStep, learn_style


@keeps_inputs
def train_style(
    photos: Inputs,
    output: AnyPath,
    *,
    styles: Inputs,
    overwrite: bool = False,
    resume: bool = False,
    steps: int = 4000,
    time_budget: float | None = None,
    strength: float = 0.9,
    style_size: int = 512,
    variation: float = 1.0,
    size: int = 128,
    batch_size: int = 4,
    filters: int = 16,
    learning_rate: float = 2e-3,
    network: str = "squeezenet-1.1",
    weights: AnyPath | None = None,
    max_bad: int | str = "5%",
    max_pixels: int | None = None,
    seed: int = 0,
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    progress: Callable[[PainterStep], None] | None = None,
) -> TrainedModel:
    """Train a network that applies one style to any photo in a single pass, and write a bundle.

    Args:
        photos: Images or folders, a few hundred photos like those to be stylized.
        output: The folder of the new bundle.
        styles: One or more images of the style.
        overwrite: Overwrite an existing bundle.
        resume: Resume an interrupted run.
        steps: Total number of steps.
        time_budget: Time limit of the training in seconds; None for no limit.
        strength: Strength of the style, from 0 (the photo) to 1 (the style).
        style_size: Long side of the style images in pixels; a larger value gives larger strokes.
        variation: Weight of the total variation loss, which smooths the result.
        size: Side of the training crops in pixels.
        batch_size: Crops per batch.
        filters: Number of filters of the first layer; 8 is faster.
        learning_rate: Peak learning rate.
        network: The loss network: ``squeezenet-1.1``, ``keras:vgg16`` or ``keras:vgg19``.
        weights: A weights file for ``keras:NAME``.
        max_bad: Maximum number of unreadable photos, or a share such as ``5%``.
        max_pixels: Largest number of pixels, about 179 million by default; larger images count as
            unreadable.
        seed: Random seed for the whole run.
        coordinator: ``HOST:PORT`` of process 0 where several processes train together; requires
            Keras on JAX (``KERAS_BACKEND=jax``). All return; process 0 writes the bundle.
        processes: Number of processes; by default what Slurm, torchrun or Open MPI says.
        process_id: Number of this process, from 0; by default what the launcher says.
        progress: Called after each step. None for no progress.

    Returns:
        The model. Its metrics are the losses ``content`` and ``style`` on held-out photos, and
        ``content_before`` and ``style_before``, those of the untrained network.

    Raises:
        UsageError: An image is unusable, or an argument is invalid.
        OutputError: The bundle cannot be written.
        CnnkitError: The loss became NaN or infinite.
    """
    settings = PainterSettings(
        path_list(photos),
        path_list(styles),
        Path(output),
        steps=steps,
        time_budget=time_budget,
        size=size,
        batch_size=batch_size,
        style_size=style_size,
        strength=strength,
        variation=variation,
        filters=filters,
        learning_rate=learning_rate,
        network=network,
        weights=text_of(weights),
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        max_bad=bad_limit(max_bad),
        max_pixels=pixel_limit(max_pixels),
    )
    with joined(coordinator, processes, process_id):
        trained = learn_style(settings, progress)
    losses = dict(zip(("content", "style"), trained.after, strict=True))
    losses |= dict(zip(("content_before", "style_before"), trained.before, strict=True))
    curve = trained.record["curve"]
    steps_made = tuple(dict(zip(curve["columns"], row, strict=True)) for row in curve["rows"])
    return TrainedModel(settings.output, "stylize", losses, "val", steps_made)
