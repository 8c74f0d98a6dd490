"""What runs in each process of a cluster: opens the model once, makes the rows of one shard."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from cnnkit.cluster.parts import Made, MadeRows, packed
from cnnkit.cluster.plan import input_of
from cnnkit.errors import CnnkitError
from cnnkit.images import Found
from cnnkit.runtime.process import work_in
from cnnkit.storage.places import is_url, split_member
from cnnkit.version import __version__

MakeRows = Callable[[Iterable[Found]], Iterator[Made]]


class OpenedModel(NamedTuple):
    """A model that makes rows.

    Attributes:
        identity: A hash of all that its rows depend on.
        rows: Makes them, in the order of the inputs.
    """

    identity: str
    rows: MakeRows


class WorkOrder(NamedTuple):
    """What each worker is told at its start.

    Attributes:
        opens: Opens the model; a function that can be imported, with its arguments.
        identity: The identity that the model must have.
        folder: The folder that relative paths are relative to.
        version: The version of cnnkit that sends this.
    """

    opens: Callable[[], OpenedModel]
    identity: str
    folder: str
    version: str = __version__


class CannotWork(NamedTuple):
    """Why a worker cannot work: an error of the run, not of an image."""

    message: str


class ImageWorker:
    """One process of a cluster. All that it keeps is the opened model."""

    def __init__(self, order: WorkOrder) -> None:
        self._order = order
        self._model: OpenedModel | None = None
        self._is_in_folder = False

    def open(self) -> CannotWork | None:
        """Open the model, once."""
        order = self._order
        if order.version != __version__:
            return CannotWork(f"cnnkit {order.version} is needed, {__version__} is installed")
        self._is_in_folder = work_in(order.folder)
        try:
            self._model = order.opens()
        except CnnkitError as error:
            return CannotWork(str(error))
        if self._model.identity != order.identity:
            return CannotWork("the model is another one than where the run was started")
        return None

    def make(self, lines: Sequence[dict[str, Any]]) -> MadeRows | CannotWork:
        """Make the rows of some inputs.

        Args:
            lines: The inputs, as `cnnkit.cluster.plan.input_fields` gives them.
        """
        if self._model is None:
            return CannotWork("the model is not open")
        inputs = [input_of(line) for line in lines]
        if not self._is_in_folder and not all(is_independent(one) for one in inputs):
            fix = "give absolute paths"
            return CannotWork(f"there is no folder {self._order.folder}: make it, or {fix}")
        try:
            return packed(self._model.rows(inputs))
        except CnnkitError as error:
            return CannotWork(str(error))


def is_independent(found: Found) -> bool:
    """Return whether an input is the same in any folder: a URL, an absolute path, or none."""
    paths = found.key.split("\0")
    files = [(split_member(path) or (path,))[0] for path in paths]
    return all(is_url(file) or os.path.isabs(file) for file in files) or found.failure is not None
