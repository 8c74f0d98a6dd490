"""``cnnkit verify-face``."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cnnkit.cli import galleries
from cnnkit.cli import options as shared
from cnnkit.cli.apart import keeps_inputs
from cnnkit.errors import UsageError, mutually_exclusive, requires

if TYPE_CHECKING:
    from cnnkit.commands.verify_face import Verified
    from cnnkit.results import FaceMatch, Failure

log = logging.getLogger("cnnkit")

SAME, DIFFERENT, UNDECIDED = 0, 1, 2
FORMS = "Use A B, PHOTO --gallery FILE --as NAME, or --pairs FILE."

EXAMPLES = """\b
Examples:
  cnnkit verify-face passport.jpg selfie.jpg
  cnnkit verify-face passport.jpg selfie.jpg --annotate why.png
  cnnkit verify-face selfie.jpg --gallery team.gallery --as ann
  cnnkit verify-face --pairs pairs.csv --root photos/ -o rows.jsonl
There is no liveness check, and error rates differ between demographic groups.
"""


@click.command("verify-face", epilog=EXAMPLES)
@click.argument("images", nargs=-1, metavar="[A B | PHOTO]")
@click.option(
    "--pairs", metavar="FILE", help="CSV of pairs with the columns a, b, and optionally same."
)
@click.option("--root", metavar="DIR", help="Folder that the paths of --pairs are relative to.")
@click.option("--gallery", metavar="FILE", help="Compare PHOTO with a person in this gallery.")
@click.option("--as", "claimed", metavar="NAME", help="Claimed identity of PHOTO.")
@click.option(
    "--passphrase-file",
    metavar="FILE",
    help="Passphrase file of an encrypted gallery.  [default: prompt]",
)
@click.option(
    "--faces",
    type=click.Choice(["one", "largest", "all"]),
    default="one",
    show_default=True,
    help="For images with several faces: reject, use the largest, or use the closest pair.",
)
@click.option(
    "--threshold",
    type=float,
    metavar="D",
    help="Maximum distance for the same person.  [default: the model's]",
)
@click.option("--json", "as_json", is_flag=True, help="Write the row as JSON.")
@click.option("--annotate", metavar="FILE", help="Image file of both images with faces and result.")
@shared.output_options
@shared.shard_option
@shared.engine_options
@shared.format_option("Format of --pairs on standard output; with -o, rows go there too.")
@shared.face_options
@shared.runtime_options
@shared.verbosity_options
@keeps_inputs
def command(
    images: tuple[str, ...],
    pairs: str | None,
    root: str | None,
    gallery: str | None,
    claimed: str | None,
    passphrase_file: str | None,
    faces: str,
    threshold: float | None,
    as_json: bool,
    annotate: str | None,
    output: str | None,
    resume: bool,
    overwrite: bool,
    retry_errors: bool,
    shard: str | None,
    engine: str | None,
    shard_size: int,
    form: str | None,
    workers: int | None,
    quiet: bool,
    **of_embedder: Any,
) -> None:
    """Check whether two images show the same person.

    Exit status: 0 for the same person, 1 for different people, 2 if undecided (no face, several
    faces, or an unreadable file). With --pairs: 0 if all pairs succeeded, 1 if some failed.
    """
    check_form(len(images), pairs, gallery, claimed)
    of_two = {"--annotate": annotate, "--json": as_json}
    of_pairs = {"--root": root, "-o": output, "--resume": resume, "--retry-errors": retry_errors}
    of_pairs |= {"--shard": shard, "--engine": engine}
    of_pairs["--shard-size"] = "--shard-size" in shared.given_options(click.get_current_context())
    for option, value in (of_two if pairs else of_pairs | {"--format": form}).items():
        if value:
            relation = mutually_exclusive if pairs else requires
            raise UsageError(relation(option, "--pairs"))
    if passphrase_file and not gallery:
        raise UsageError(requires("--passphrase-file", "--gallery"))
    if pairs:
        from cnnkit.cli.display import Display
        from cnnkit.commands.verify_pairs import verify_pairs
        from cnnkit.faces.pair_files import PAIR_TABLE

        to_file = bool(output)
        with Display(form, to_file, quiet, PAIR_TABLE, "verify-face", layout=PairLayout) as display:
            summary = verify_pairs(
                pairs,
                root=root,
                faces=faces,
                threshold=threshold,
                output=output,
                resume=resume,
                overwrite=overwrite,
                retry_errors=retry_errors,
                shard=shard,
                engine=engine,
                shard_size=shard_size,
                workers=workers,
                emit=display.show,
                progress=display.progress,
                **of_embedder,
            )
        display.conclude(summary)
        click.get_current_context().exit(1 if summary.failed else 0)
    if gallery:
        verified = check_claim(
            images[0],
            str(claimed),
            gallery,
            passphrase_file,
            faces=faces,
            threshold=threshold,
            annotate=annotate,
            overwrite=overwrite,
            of_embedder=of_embedder,
        )
    else:
        from cnnkit.commands.verify_face import verify_images

        verified = verify_images(
            (images[0], images[1]),
            faces=faces,
            threshold=threshold,
            annotate=annotate,
            overwrite=overwrite,
            **of_embedder,
        )
    show(verified, as_json)
    click.get_current_context().exit(status_of(verified.outcome))


def check_claim(
    photo: str,
    claimed: str,
    gallery: str,
    passphrase_file: str | None,
    *,
    faces: str,
    threshold: float | None,
    annotate: str | None,
    overwrite: bool,
    of_embedder: dict[str, Any],
) -> Verified:
    """Compare a photo with a person of a gallery, with all checks before the models load."""
    from cnnkit.commands.verify_face import check_drawing, enrolled_name, verify_claim
    from cnnkit.faces.gallery import Gallery
    from cnnkit.faces.verifying import FaceChoice

    FaceChoice(faces)
    check_drawing(annotate, overwrite)
    with galleries.open_gallery(gallery, passphrase_file) as file:
        name = enrolled_name(claimed, list(file.people()), gallery)
        embedder = galleries.open_embedder(file, **of_embedder)
        opened = Gallery(file, embedder, faces=faces, threshold=threshold)
        verified = verify_claim(photo, name, opened, annotate=annotate, overwrite=overwrite)
    return replace(verified, row=verified.row | {"gallery": gallery})  # as it was typed


def check_form(count: int, pairs: str | None, gallery: str | None, claimed: str | None) -> None:
    """Reject anything but the three forms of the command.

    Args:
        count: How many images were given.
        pairs: The list of pairs, or None.
        gallery: The gallery, or None.
        claimed: The claimed name, or None.

    Raises:
        UsageError: With the rule that is broken.
    """
    if pairs and gallery:
        raise UsageError(mutually_exclusive("--pairs", "--gallery", FORMS))
    if bool(gallery) != bool(claimed):
        given, missing = ("--gallery", "--as") if gallery else ("--as", "--gallery")
        raise UsageError(requires(given, missing, FORMS))
    wanted = 0 if pairs else 1 if gallery else 2
    if count != wanted:
        said = "--pairs takes no images", "--gallery takes one PHOTO", "Two images are required"
        raise UsageError(f"{said[wanted]}. Received: {count}. {FORMS}")


def show(verified: Verified, as_json: bool) -> None:
    """Show the row as JSON, or the verdict as text; report images that are not upright."""
    from cnnkit.commands.verify_face import verdict
    from cnnkit.writers.row_files import json_line

    if as_json:
        click.echo(json_line(verified.row), nl=False)
    else:
        click.echo(verdict(verified.outcome))
    for path, words in verified.turned:
        log.info("%s %s.", path, words)


def status_of(outcome: FaceMatch | Failure) -> int:
    """Return the exit status of a verdict."""
    from cnnkit.results import Failure

    if isinstance(outcome, Failure):
        return UNDECIDED
    return SAME if outcome.same else DIFFERENT


class PairLayout:
    """The columns of pairs."""

    def __init__(self, width: int) -> None:
        """Ignore the terminal's width."""

    def header(self) -> str:
        """See `cnnkit.cli.display.Layout`."""
        return f"{'A':<30}  {'B':<30}  DISTANCE  PROBABILITY"

    def line(self, row: dict[str, Any]) -> str:
        """See `cnnkit.cli.display.Layout`."""
        from cnnkit.commands.verify_face import percent
        from cnnkit.writers.terminal import fitted, printable

        names = f"{fitted(row['a'], 30, keep_end=True)}  {fitted(row['b'], 30, keep_end=True)}"
        if row["status"] == "error":
            error = row["error"]
            text = printable(f"{error['kind']}: {error['message']}")
            return f"{names}  {click.style(text, fg='red')}"
        words = "same person" if row["same"] else "different people"
        word = click.style(words, bold=row["same"])
        return f"{names}  {row['distance']:8.3f}  {percent(row['probability']):>11}  {word}"
