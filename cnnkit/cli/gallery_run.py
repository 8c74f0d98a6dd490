"""Functions that the commands of ``cnnkit gallery`` share."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cnnkit.bundles import embedded_names
from cnnkit.errors import UsageError, broken_rule, is_required
from cnnkit.faces import FaceEmbedder
from cnnkit.faces.gallery import GalleryFile
from cnnkit.faces.gallery.embedders import record_of
from cnnkit.images import DEFAULT_MAX_PIXELS

log = logging.getLogger("cnnkit")

EMBEDDER_OPTIONS = ("min_face", "min_score", "mirror", "device", "runtime", "precision", "threads")
MAX_PASSPHRASE_BYTES = 4096
LEAST_PASSPHRASE = 8


def open_gallery(path: str, passphrase_file: str | None) -> GalleryFile:
    """Open a gallery, asking for its passphrase if it has one and no file was given.

    Raises:
        UsageError: There is no such file, or no terminal to ask in.
        GalleryError: It cannot, or must not, be opened.
    """
    source = passphrase_source(passphrase_file, new=False)
    return GalleryFile.open(path, source, optional=passphrase_file is None)


def passphrase_source(file: str | None, *, new: bool) -> Callable[[], bytes]:
    """Return a function that gives the passphrase: the first line of a file, or from a prompt.

    Args:
        file: The file, or None to prompt.
        new: Whether it is for a new gallery; then the prompt repeats, and it must not be short.
    """

    def give() -> bytes:
        text = _of_file(Path(file)) if file is not None else _asked(new)
        if new and len(text) < LEAST_PASSPHRASE:
            rule = f"have at least {LEAST_PASSPHRASE} characters"
            raise UsageError(broken_rule("a passphrase", rule, len(text)))
        return text.encode("utf-8")

    return give


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PASSPHRASE_BYTES + 1)
        if path.stat().st_mode & 0o077:
            log.warning("%s holds a passphrase, but other users can read it.", path)
        text = content.decode("utf-8").split("\n", 1)[0].rstrip("\r")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(broken_rule("--passphrase-file", "be readable", reason)) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            broken_rule("--passphrase-file", "be UTF-8 text", "another encoding")
        ) from error
    if not text or len(content) > MAX_PASSPHRASE_BYTES:
        rule = f"hold a passphrase in its first line, at most {MAX_PASSPHRASE_BYTES} bytes"
        raise UsageError(broken_rule("--passphrase-file", rule, f"{len(content)} bytes"))
    return text


def _asked(new: bool) -> str:
    if not sys.stdin.isatty():
        fix = "There is no terminal to ask for the passphrase."
        raise UsageError(is_required("--passphrase-file", fix))
    return click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)


def load_embedder(chosen: dict[str, Any], gallery: GalleryFile | None = None) -> FaceEmbedder:
    """Load the embedder that the options ask for, and hold it to the gallery's.

    Args:
        chosen: The options of `face_options` and `runtime_options`.
        gallery: Or None where there is none yet.

    Raises:
        GalleryError: The gallery's vectors are of another embedder.
    """
    name = chosen["embedder"]
    if gallery is not None and name == "dlib-face":
        ours = gallery.settings.embedder.name
        if ours != name and ours not in embedded_names():
            fix = "Give its folder with --embedder."
            rule = f"be {ours}, the model of {gallery.path}"
            raise UsageError(broken_rule("--embedder", rule, name, fix))
    embedder = FaceEmbedder.load(
        chosen["detector"],
        name,
        **{name: chosen[name] for name in EMBEDDER_OPTIONS},
        max_pixels=chosen["max_pixels"] or DEFAULT_MAX_PIXELS,
    )
    if gallery is not None:
        gallery.check_embedder(record_of(embedder))
    return embedder
