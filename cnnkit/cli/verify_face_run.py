"""What ``cnnkit verify-face`` does once its options are read: the heavy part, imported late."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cnnkit.cli.display import Display
from cnnkit.commands.verify_pairs import verify_pairs
from cnnkit.errors import UsageError, broken_rule, mutually_exclusive, requires
from cnnkit.faces import FaceEmbedder, FaceVerifier, ImageFaces
from cnnkit.faces.pair_files import PAIR_TABLE
from cnnkit.faces.turning import turned_words
from cnnkit.faces.verifying import FaceChoice
from cnnkit.images import DEFAULT_MAX_PIXELS
from cnnkit.results import FaceMatch, Failure, make_claim_row, make_pair_row, path_fields
from cnnkit.writers.row_files import json_line
from cnnkit.writers.terminal import fitted, printable

log = logging.getLogger("cnnkit")

SAME, DIFFERENT, CANNOT_TELL = 0, 1, 2
# What only --pairs has, by its parameter.
OF_PAIRS = {
    "root": "--root",
    "output": "-o",
    "resume": "--resume",
    "overwrite": "--overwrite",
    "retry_errors": "--retry-errors",
    "form": "--format",
}
NOT_OF_PAIRS = ("gallery", "claimed", "passphrase_file", "as_json", "annotate", "form")


def run(images: tuple[str, ...], *, quiet: bool, **chosen: Any) -> int:
    """Compare, show, and return the exit status."""
    check_form(images, chosen)
    FaceChoice(chosen["faces"])
    if chosen["pairs"]:
        return run_pairs(quiet, chosen)
    if chosen["annotate"]:
        check_drawing(Path(chosen["annotate"]), chosen["overwrite"])
    if chosen["gallery"]:
        return run_claim(images[0], chosen)
    return run_two(images[0], images[1], chosen)


def check_form(images: tuple[str, ...], chosen: dict[str, Any]) -> None:
    """Reject anything but the three forms of the command.

    Raises:
        UsageError: With the rule that is broken.
    """
    wanted = 0 if chosen["pairs"] else 1 if chosen["gallery"] else 2
    forms = "Use A B, PHOTO --gallery FILE --as NAME, or --pairs FILE."
    if chosen["pairs"] and chosen["gallery"]:
        raise UsageError(mutually_exclusive("--pairs", "--gallery", forms))
    if bool(chosen["gallery"]) != bool(chosen["claimed"]):
        given, missing = ("--gallery", "--as") if chosen["gallery"] else ("--as", "--gallery")
        raise UsageError(requires(given, missing, forms))
    if len(images) != wanted:
        said = "--pairs takes no images", "--gallery takes one PHOTO", "Two images are required"
        raise UsageError(f"{said[wanted]}. Received: {len(images)}. {forms}")
    for name in ("annotate", "as_json") if chosen["pairs"] else ():
        if chosen[name]:
            option = "--json" if name == "as_json" else "--annotate"
            raise UsageError(mutually_exclusive("--pairs", option))
    for name, option in OF_PAIRS.items():
        if chosen[name] and not chosen["pairs"] and name != "overwrite":
            raise UsageError(requires(option, "--pairs"))


def load_embedder(chosen: dict[str, Any], expected: int | None) -> FaceEmbedder:
    """Open and compile what the options name."""
    names = ("min_face", "min_score", "mirror", "device", "runtime", "precision", "threads")
    return FaceEmbedder.load(
        chosen["detector"],
        chosen["embedder"],
        **{name: chosen[name] for name in names},
        max_pixels=chosen["max_pixels"] or DEFAULT_MAX_PIXELS,
        expected=expected,
    )


def load_verifier(chosen: dict[str, Any], expected: int | None) -> FaceVerifier:
    """Open and compile what the options name, with their threshold and choice of faces."""
    return FaceVerifier(load_embedder(chosen, expected), chosen["faces"], chosen["threshold"])


# --- two images ------------------------------------------------------------------------


def run_two(a: str, b: str, chosen: dict[str, Any]) -> int:
    """Compare two images and return the exit status."""
    verifier = load_verifier(chosen, expected=2 if chosen["faces"] != "all" else None)
    described = verifier.embedder.predict([a, b])
    outcome = verifier.compare(described[0], described[1], a, b)
    show(make_pair_row(a, b, outcome), outcome, chosen["as_json"])
    tell_of_turned((a, b), described)
    if chosen["annotate"]:
        images = [
            None if isinstance(one, Failure) else verifier.embedder.read(path)
            for path, one in zip((a, b), described, strict=True)
        ]
        write_drawing(Path(chosen["annotate"]), images, described, outcome)
    return status_of(outcome)


def run_claim(photo: str, chosen: dict[str, Any]) -> int:
    """Compare an image with a person of a gallery and return the exit status."""
    from cnnkit.cli.verify_gallery_run import compare_with_gallery

    name, outcome, image, described = compare_with_gallery(photo, chosen)
    row = make_claim_row(claim_row(photo, chosen["gallery"], name), outcome)
    show(row, outcome, chosen["as_json"])
    tell_of_turned([photo], [described])
    if chosen["annotate"]:
        write_drawing(Path(chosen["annotate"]), [image], [described], outcome, name)
    return status_of(outcome)


def status_of(outcome: FaceMatch | Failure) -> int:
    """Return the exit status of a verdict."""
    if isinstance(outcome, Failure):
        return CANNOT_TELL
    return SAME if outcome.same else DIFFERENT


def tell_of_turned(names: Sequence[str], described: Sequence[ImageFaces | Failure]) -> None:
    """Report images that are not upright."""
    for name, image in zip(names, described, strict=True):
        if isinstance(image, ImageFaces) and (words := turned_words(image.faces)):
            log.info("%s %s.", name, words)


def show(row: dict[str, Any], outcome: FaceMatch | Failure, as_json: bool) -> None:
    """Show the row as JSON, or the verdict in words."""
    if as_json:
        click.echo(json_line(row), nl=False)
    else:
        click.echo(verdict(outcome))


def verdict(match: FaceMatch | Failure) -> str:
    """Return a verdict as text."""
    if isinstance(match, Failure):
        return f"undecided: {printable(match.message)}"
    words = "same person" if match.same else "different people"
    parts = [f"distance {match.distance:.3f}", f"threshold {match.threshold:.3f}"]
    if match.probability is not None:
        parts.append(f"probability of the same person {percent(match.probability)}")
    return f"{words}: {', '.join(parts)}"


def percent(probability: float) -> str:
    """Return a probability as text that never claims certainty."""
    if probability > 0.999:
        return "over 99.9%"
    return "below 0.1%" if probability < 0.001 else f"{probability:.1%}"


def claim_row(photo: str, gallery: str, claimed: str) -> dict[str, Any]:
    """Return the first fields of the row of an image and a claimed name."""
    return path_fields(photo, "a") | {"gallery": gallery, "as": claimed}


# --- the drawing -------------------------------------------------------------------------


def check_drawing(path: Path, overwrite: bool) -> None:
    """Check the path of the drawing before the work begins."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(broken_rule("--annotate", "end in .png or .jpg", path))
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(broken_rule("--annotate", "name a file in a folder that exists", path))
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already. Use --overwrite to overwrite it.")


def write_drawing(
    path: Path,
    images: Sequence[Any],
    described: Sequence[ImageFaces | Failure],
    outcome: FaceMatch | Failure,
    name: str | None = None,
) -> None:
    """Draw the images side by side with the verdict.

    Marks the faces of the verdict, or all faces if undecided.

    Args:
        path: Of the drawing.
        images: The images, or None where one could not be read.
        described: What was found in each.
        outcome: The verdict, or why there is none.
        name: The person of a gallery whom the image was compared with.
    """
    from cnnkit.reports.face_match import Marked, write_faces

    marked = []
    for number, (image, found) in enumerate(zip(images, described, strict=True)):
        if image is None or isinstance(found, Failure):
            continue
        faces = [outcome.faces[number]] if isinstance(outcome, FaceMatch) else found.faces
        marked.append(Marked(image, faces))
    if not marked:
        return
    said = verdict(outcome) if name is None else f"{printable(name)}: {verdict(outcome)}"
    write_faces(path, marked, None if isinstance(outcome, Failure) else outcome.same, said)


class PairLayout:
    """The columns of pairs."""

    def __init__(self, width: int) -> None:
        """Ignore the terminal's width."""

    def header(self) -> str:
        """See `cnnkit.cli.display.Layout`."""
        return f"{'A':<30}  {'B':<30}  DISTANCE  PROBABILITY"

    def line(self, row: dict[str, Any]) -> str:
        """See `cnnkit.cli.display.Layout`."""
        names = f"{fitted(row['a'], 30, keep_end=True)}  {fitted(row['b'], 30, keep_end=True)}"
        if row["status"] == "error":
            error = row["error"]
            text = printable(f"{error['kind']}: {error['message']}")
            return f"{names}  {click.style(text, fg='red')}"
        words = "same person" if row["same"] else "different people"
        word = click.style(words, bold=row["same"])
        return f"{names}  {row['distance']:8.3f}  {percent(row['probability']):>11}  {word}"


# --- many pairs --------------------------------------------------------------------------


def run_pairs(quiet: bool, chosen: dict[str, Any]) -> int:
    """Compare the pairs of a list; the status tells whether all rows are ok."""
    form, to_file = chosen["form"], bool(chosen["output"])
    of_pairs = {name: value for name, value in chosen.items() if name not in NOT_OF_PAIRS}
    with Display(form, to_file, quiet, PAIR_TABLE, "verify-face", layout=PairLayout) as display:
        summary = verify_pairs(emit=display.show, progress=display.progress, **of_pairs)
    display.conclude(summary)
    return 1 if summary.failed else 0
