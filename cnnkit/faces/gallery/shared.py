"""A gallery's people as the threads of a process share them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from cnnkit.faces.gallery.search import FaceIndex
from cnnkit.faces.gallery.store import GalleryFile, NewGalleryFile


class SharedPeople:
    """A gallery's file and its embeddings in memory, for all that decide by other rules.

    Attributes:
        file: The file, or one to make with the first photo.
    """

    def __init__(self, file: GalleryFile | NewGalleryFile) -> None:
        self.file = file
        self._index: FaceIndex | None = file.index()
        self._turn = threading.RLock()

    def index(self) -> FaceIndex:
        """Return the embeddings, read again after a change."""
        index = self._index
        if index is None:
            with self._turn:  # what is read beside a change would be kept after it
                index = self._index
                if index is None:
                    index = self._index = self.file.index()
        return index

    @contextlib.contextmanager
    def changed(self) -> Iterator[GalleryFile]:
        """Give the file, made if need be, to be changed by one thread at a time."""
        with self._turn:
            if isinstance(self.file, NewGalleryFile):
                self.file = self.file.made()
            try:
                yield self.file
            finally:
                self._index = None
