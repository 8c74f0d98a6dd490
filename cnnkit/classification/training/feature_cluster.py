"""Features computed on the machines of a cluster, kept in this machine's cache as they come."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from cnnkit.bundles import applications, embedded_name
from cnnkit.classification.training.backbone import open_backbone
from cnnkit.classification.training.features import (
    Computed,
    FeatureExtractor,
    HashedImage,
    library_versions,
)
from cnnkit.cluster import EngineChoice, OpenedModel
from cnnkit.cluster.parts import Made, MadeRows
from cnnkit.cluster.plan import PlannedInput
from cnnkit.cluster.scheduling import missing_elsewhere
from cnnkit.cluster.session import ClusterSession
from cnnkit.cluster.worker import WorkOrder
from cnnkit.data.augment import Augmenter
from cnnkit.data.recipes import Recipe
from cnnkit.errors import RuntimeUnavailableError
from cnnkit.images import Found
from cnnkit.results import Failure, make_row, path_fields
from cnnkit.runtime import RuntimeOptions


class FeatureCluster:
    """A `FeatureEngine` of one run: one process per machine computes the features."""

    def __init__(self, choice: EngineChoice) -> None:
        """Settle where; nothing is started before there is something to compute.

        Args:
            choice: Where.
        """
        self._session = ClusterSession(choice)
        self._orders: dict[FeatureExtractor, WorkOrder] = {}

    def compute(
        self,
        extractor: FeatureExtractor,
        images: Sequence[HashedImage],
        view: int | None,
        keep: Callable[[Sequence[Computed]], None],
    ) -> None:
        """See `FeatureEngine`."""
        if extractor not in self._orders:  # the workers stay for all views of the images
            self._orders = {extractor: order_of(extractor)}
        inputs = [
            PlannedInput(one.path, None, place, {"sha256": one.content.hex(), "view": view})
            for place, one in enumerate(images)
        ]

        def keep_rows(shard: Sequence[PlannedInput], made: MadeRows) -> None:
            start = shard[0].position
            keep(features_of(images[start : start + len(shard)], made))

        uses_gpu = extractor.predictor.device == "gpu"
        self._session.run(self._orders[extractor], inputs, keep_rows, uses_gpu=uses_gpu)

    def close(self) -> None:
        """See `FeatureEngine`."""
        self._session.close()


def order_of(extractor: FeatureExtractor) -> WorkOrder:
    """Return what workers are told, to compute what this process would compute."""
    backbone, compiled = extractor.backbone, extractor.predictor
    augmenter = extractor.augmenter
    opens = partial(
        opened_features,
        backbone=_elsewhere(backbone.name),
        weights=backbone.weights and os.path.abspath(backbone.weights),
        fit=backbone.spec.fit,
        views=None if augmenter is None else (augmenter.recipe, augmenter.seed),
        batch_size=compiled.batch_size,
        workers=extractor.workers,
        max_pixels=extractor.max_pixels,
        versions=library_versions(),
        device=compiled.device,
        runtime=compiled.runtime,
        precision=compiled.precision,
        threads=extractor.options.threads,
    )
    return WorkOrder(opens, extractor.identity, os.getcwd())


def _elsewhere(name: str) -> str:
    """Return a backbone's name as other processes find it: the folder of a bundle absolute."""
    is_name = embedded_name(name) is not None or name.startswith(applications.PREFIX)
    return name if is_name else os.path.abspath(name)


def opened_features(
    *,
    backbone: str,
    weights: str | None,
    fit: str | None,
    views: tuple[Recipe, int] | None,
    batch_size: int | None,
    workers: int | None,
    max_pixels: int,
    versions: dict[str, str],
    device: str,
    runtime: str,
    precision: str,
    threads: int,
) -> OpenedModel:
    """Open the backbone in a process of a cluster; see `FeatureExtractor`.

    Args:
        backbone: See `open_backbone`, like the next two.
        weights: A weights file, or None.
        fit: How images are fitted.
        views: The recipe of augmented views, and its seed.
        batch_size: Images per call.
        workers: Threads that read and predict.
        max_pixels: A larger image is a failure.
        versions: Of the libraries, where the run was started.
        device: See `RuntimeOptions`, like the rest.
        runtime: The runtime.
        precision: The precision.
        threads: Number of CPU threads.

    Raises:
        RuntimeUnavailableError: Other versions are installed here.
    """
    for name, here in library_versions().items():
        if here != versions[name]:
            raise RuntimeUnavailableError(
                f"All machines of the cluster must have the same version of {name}. Received: "
                f"{here or 'none'}, and {versions[name] or 'none'} where the run was started."
            )
    extractor = FeatureExtractor(
        open_backbone(backbone, weights, fit),
        RuntimeOptions(device, runtime, precision, threads),
        augmenter=None if views is None else Augmenter(*views),
        batch_size=batch_size,
        workers=workers,
        max_pixels=max_pixels,
    )
    return OpenedModel(extractor.identity, partial(feature_rows, extractor))


def feature_rows(extractor: FeatureExtractor, found: Iterable[Found]) -> Iterator[Made]:
    """Yield a row and the features of each image; images with one task have one view."""
    inputs = [one for one in found if isinstance(one, PlannedInput) and one.task is not None]
    tasks = [one.task or {} for one in inputs]
    images = [
        HashedImage(one.path, bytes.fromhex(task["sha256"]))
        for one, task in zip(inputs, tasks, strict=True)
    ]
    computed = extractor.computed(images, tasks[0]["view"])
    for image, (_, one) in zip(images, computed, strict=True):
        if isinstance(one, Failure):
            yield make_row(image.path, one), None
        else:
            yield path_fields(image.path) | {"status": "ok"}, one


def features_of(images: Sequence[HashedImage], made: MadeRows) -> list[Computed]:
    """Return the features that workers have sent.

    Args:
        images: The images.
        made: A row for each, in order.

    Raises:
        RuntimeUnavailableError: A machine lacks an image that was read here.
    """
    rows: list[dict[str, Any]] = [json.loads(line) for line in made.text.splitlines()]
    computed: list[Computed] = []
    for image, row, vector in zip(images, rows, made.features, strict=True):
        if row["status"] == "ok":
            computed.append((image.content, vector))
            continue
        failure = Failure(row["error"]["kind"], row["error"]["message"])
        if failure.kind == "missing" and os.path.exists(image.path):
            raise missing_elsewhere(image.path)
        computed.append((image.content, failure))
    return computed
