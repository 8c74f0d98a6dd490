"""``cnnkit gallery identify``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs

PATH_WIDTH = 44

EXAMPLES = """\b
Examples:
  cnnkit gallery identify team.gallery party.jpg
  cnnkit gallery identify team.gallery photos/ -o rows.jsonl
  cnnkit gallery identify team.gallery photos/ -o rows.jsonl --resume
  cnnkit gallery identify team.gallery door.jpg --faces largest --threshold 0.5
"""


@click.command("identify", epilog=EXAMPLES)
@click.argument("gallery", metavar="GALLERY")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@galleries.decision_options
@click.option(
    "--faces",
    type=click.Choice(["all", "largest", "one"]),
    default="all",
    show_default=True,
    help="Which faces of an image to identify; one rejects images with several.",
)
@galleries.passphrase_options
@shared.output_options
@shared.format_option()
@shared.column_option
@shared.shard_option
@shared.engine_options
@shared.null_separated_option
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(
    gallery: str,
    inputs: tuple[str, ...],
    threshold: float | None,
    margin: float | None,
    faces: str,
    passphrase_file: str | None,
    output: str | None,
    resume: bool,
    overwrite: bool,
    retry_errors: bool,
    column: str | None,
    shard: str | None,
    engine: str | None,
    shard_size: int,
    form: str | None,
    null_separated: bool,
    workers: int | None,
    quiet: bool,
    **of_embedder: Any,
) -> None:
    """Identify the faces in images: a person of the gallery, or 'unknown'.

    Writes one row per input, in order, to standard output or to -o FILE. An image without a face
    has a row with no faces. Exit status: 1 if some inputs failed.
    """
    paths = list(shared.input_arguments(inputs, null_separated))
    from cnnkit.cli.display import Display
    from cnnkit.commands.identify import identify
    from cnnkit.commands.inputs import path_of, prefix_of
    from cnnkit.faces.gallery import Gallery
    from cnnkit.faces.gallery.identifying import IDENTIFY_TABLE
    from cnnkit.folder_job import Outputs
    from cnnkit.writers.remote_files import remote_files
    from cnnkit.writers.shards import Shard

    Outputs(  # refused before models load
        path_of(output),
        resume=resume,
        overwrite=overwrite,
        retry_errors=retry_errors,
        shard=Shard.of(shard),
        prefix=prefix_of(output),
        remote=remote_files(output),
    )
    with galleries.open_gallery(gallery, passphrase_file) as file:
        file.settings.deciding(threshold, margin)  # refuses them before models load
        embedder = galleries.open_embedder(file, **of_embedder)
        opened = Gallery(file, embedder, faces=faces, threshold=threshold, margin=margin)
    display = Display(form, bool(output), quiet, IDENTIFY_TABLE, "identify", layout=NameLayout)
    with display:
        summary = identify(
            opened,
            paths,
            output=output,
            resume=resume,
            overwrite=overwrite,
            retry_errors=retry_errors,
            shard=shard,
            engine=engine,
            shard_size=shard_size,
            column=column,
            workers=workers,
            emit=display.show,
            progress=display.progress,
        )
    display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)


class NameLayout:
    """The columns of identifications: the image and the people in it."""

    def __init__(self, width: int) -> None:
        """Ignore the terminal's width: lines with many faces are long."""

    def header(self) -> str:
        """See `cnnkit.cli.display.Layout`."""
        return f"{'IMAGE':<{PATH_WIDTH}}  PEOPLE"

    def line(self, row: dict[str, Any]) -> str:
        """See `cnnkit.cli.display.Layout`."""
        from cnnkit.writers.terminal import fitted, printable

        path = fitted(row["path"], PATH_WIDTH, keep_end=True)
        if row["status"] == "error":
            error = row["error"]
            text = printable(f"{error['kind']}: {error['message']}")
            return f"{path}  {click.style(text, fg='red')}"
        if not row["faces"]:
            return f"{path}  {click.style('no face', dim=True)}"
        return f"{path}  {', '.join(map(in_words, row['faces']))}"


def in_words(face: dict[str, Any]) -> str:
    """Return the text of a face: the name and distance, or who is nearest and why unknown."""
    from cnnkit.results import UNKNOWN
    from cnnkit.writers.terminal import printable

    if "distance" not in face:
        return face["name"]
    distance = f"{face['distance']:.3f}"
    if face["name"] != UNKNOWN:
        return f"{click.style(printable(face['name']), bold=True)} ({distance})"
    nearest = printable(face["nearest"][0]["name"])
    return f"{UNKNOWN} ({face['reason']}: {nearest} {distance})"
