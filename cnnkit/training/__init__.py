"""Training: the plan, the loop with its checkpoints, unfreezing, the search for a rate.

The whole of it, for a network that ends in logits (batch, classes)::

    plan = TrainingPlan.fine_tuning(epochs=10, stages=3, head_layers=("classifier",))
    result = train(
        model,                                   # functional keras.Model, RGB 0-255 -> logits
        lambda size: Loader(images, size, training=True, augmenter=..., seed=plan.seed),
        lambda size: Loader(held_out, size, training=False),
        plan,
        state_folder=Path("flowers.state"),      # None: nothing is kept for a resume
        resume=True,                             # goes on if there is something, else starts
        identity=hash_of_the_data,               # another one is refused on resume
        on_epoch=lambda report: ...,             # EpochReport, also epoch 0 where start_counts
        on_message=lambda text: ...,             # such as a halved batch or XLA turned off
    )

`train` leaves the best epoch's weights in `model`, its ``trainable`` flags and dtype policies as
they were, and never compiles it: rebuild or save it as usual. What it reads is made by functions
from a batch size to `Batches` (`cnnkit.data.loaders.Loader` is one, `ArrayBatches` another), so
that a batch that does not fit into memory can be halved. Another loss than a classifier's is an
`cnnkit.training.objective.Objective` (``objective=...``). For more than one GPU, build the model
in ``strategy.scope()`` of `cnnkit.runtime.training_devices.strategy` and give ``strategy`` to
`train`. `find_learning_rate` takes the model, the training batches and the plan, and changes
nothing. Importing this package imports no framework.
"""

from __future__ import annotations

from cnnkit.training.batches import ArrayBatches, Batches, BatchMaker
from cnnkit.training.freezing import stage_names
from cnnkit.training.loop import train
from cnnkit.training.plan import TrainingPlan, learning_rate_at
from cnnkit.training.rate_search import LearningRateSearch, find_learning_rate
from cnnkit.training.reports import EpochReport, Scores, TrainingResult

__all__ = [
    "ArrayBatches",
    "BatchMaker",
    "Batches",
    "EpochReport",
    "LearningRateSearch",
    "Scores",
    "TrainingPlan",
    "TrainingResult",
    "find_learning_rate",
    "learning_rate_at",
    "stage_names",
    "train",
]
