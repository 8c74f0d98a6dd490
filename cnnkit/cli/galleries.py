"""Options and functions for face galleries, shared by their commands and ``verify-face``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnkit.cli.options import Command, apply
from cnnkit.errors import UsageError, broken_rule, is_required

if TYPE_CHECKING:
    from cnnkit.faces import FaceEmbedder
    from cnnkit.faces.gallery import GalleryFile

log = logging.getLogger("cnnkit")

MAX_PASSPHRASE_BYTES = 4096


def passphrase_options(function: Command) -> Command:
    """``--passphrase-file``."""
    option = click.option(
        "--passphrase-file",
        metavar="FILE",
        help="File whose first line is the passphrase.  [default: prompt if needed]",
    )
    return apply([option], function)


def decision_options(function: Command) -> Command:
    """``--threshold`` and ``--margin``."""
    return apply(
        [
            click.option(
                "--threshold",
                type=float,
                metavar="D",
                help="Distance beyond which a face is 'unknown'.  [default: the gallery's]",
            ),
            click.option(
                "--margin",
                type=float,
                metavar="D",
                help="Minimum lead over the second-nearest person.  [default: the gallery's]",
            ),
        ],
        function,
    )


def open_gallery(path: str, passphrase_file: str | None) -> GalleryFile:
    """Open a gallery, asking for its passphrase if it has one and no file was given.

    Raises:
        UsageError: There is no such file, or no terminal to ask in.
        GalleryError: It cannot, or must not, be opened.
    """
    from cnnkit.faces.gallery import GalleryFile

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
        if new:
            from cnnkit.faces.gallery.sealing import check_new_passphrase

            check_new_passphrase(text, "a passphrase")
        return text.encode("utf-8")

    return give


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PASSPHRASE_BYTES + 1)
        if path.stat().st_mode & 0o077:
            told = "%s holds a passphrase, but other users can read it. Run: chmod 600 %s"
            log.warning(told, path, path)
        text = content.decode("utf-8").split("\n", 1)[0].rstrip("\r")
    except OSError as error:
        received = f"{path}: {error.strerror or error}"
        raise UsageError(broken_rule("--passphrase-file", "be readable", received)) from error
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


def open_embedder(
    gallery: GalleryFile | None,
    *,
    embedder: str,
    detector: str | None,
    min_face: int,
    min_score: float | None,
    mirror: bool,
    max_pixels: int | None,
    device: str,
    runtime: str,
    precision: str,
    threads: int,
    expected: int | None = None,
) -> FaceEmbedder:
    """Open the embedder that the options of `face_options` and `runtime_options` ask for.

    Args:
        gallery: The file that it must fit; None where there is none.
        embedder: See `FaceEmbedder.load`, as for all below.
        detector: See there.
        min_face: See there.
        min_score: See there.
        mirror: See there.
        max_pixels: See there; None for its default.
        device: See there.
        runtime: See there.
        precision: See there.
        threads: See there.
        expected: See there.

    Raises:
        UsageError: The gallery was filled with a model that has to be named.
        GalleryError: The gallery was filled with another model.
    """
    from cnnkit.bundles import embedded_names
    from cnnkit.faces import FaceEmbedder
    from cnnkit.faces.gallery.embedders import detector_name, record_of
    from cnnkit.images import DEFAULT_MAX_PIXELS

    if gallery is not None and embedder == "dlib-face":
        ours = gallery.settings.embedder.name
        if ours != embedder and ours not in embedded_names():
            fix = "Give its folder with --embedder."
            rule = f"be {ours}, the model of {gallery.path}"
            raise UsageError(broken_rule("--embedder", rule, embedder, fix))
    opened = FaceEmbedder.load(
        detector if gallery is None else detector_name(gallery, detector),
        embedder,
        min_face=min_face,
        min_score=min_score,
        mirror=mirror,
        device=device,
        runtime=runtime,
        precision=precision,
        threads=threads,
        max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
        expected=expected,
    )
    if gallery is not None:
        gallery.check_embedder(record_of(opened))
    return opened
