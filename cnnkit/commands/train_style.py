"""`train_style`: trains a network that paints in one style."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath, Inputs, path_list, pixel_limit, text_of
from cnnkit.commands.training import TrainedModel, bad_limit
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
    progress: Callable[[PainterStep], None] | None = None,
) -> TrainedModel:
    """Learn one style and write a network that paints any photo in it in one pass.

    Args:
        photos: Images or folders of them, a few hundred of the kind that will be painted.
        output: The bundle's new folder.
        styles: One or several images of the style.
        overwrite: Whether an existing bundle is replaced.
        resume: Resume an interrupted run.
        steps: Total number of steps.
        time_budget: Seconds after which training ends early; None: no limit.
        strength: 0 is the photo, 1 the style.
        style_size: Long side of the style images in pixels; larger gives larger brush strokes.
        variation: Weight of smoothness (total variation).
        size: Side of the crops of photos to learn from.
        batch_size: Crops per batch.
        filters: Number of filters of the network's first layer; 8 is faster.
        learning_rate: The highest learning rate.
        network: The loss network: ``squeezenet-1.1``, ``keras:vgg16`` or ``keras:vgg19``.
        weights: A weights file for ``keras:NAME``.
        max_bad: How many photos may be unreadable: a number, or a share such as ``5%``.
        max_pixels: Largest number of pixels, about 179 million by default; larger images count as
            unreadable.
        seed: Random seed for the whole run.
        progress: Called after each step. None: silent.

    Returns:
        The model; its metrics are the losses ``content`` and ``style`` on held-out photos, and
        ``content_before`` and ``style_before``, those of the untrained network.

    Raises:
        UsageError: An image or a value cannot be used.
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
    trained = learn_style(settings, progress)
    losses = dict(zip(("content", "style"), trained.after, strict=True))
    losses |= dict(zip(("content_before", "style_before"), trained.before, strict=True))
    curve = trained.record["curve"]
    steps_made = tuple(dict(zip(curve["columns"], row, strict=True)) for row in curve["rows"])
    return TrainedModel(settings.output, "stylize", losses, "val", steps_made)
