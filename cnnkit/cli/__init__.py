"""The command line: a lazy click group in sections, and the exit statuses.

Nothing heavy is imported here or by a command's own module; that happens when it runs.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from typing import NoReturn

import click

from cnnkit.cli.flags import with_flags
from cnnkit.cli.interruption import interrupt_outside_locks, was_interrupted
from cnnkit.cli.last_words import last_words
from cnnkit.cli.lazy import LazyGroup
from cnnkit.cli.streams import ClosedOutputError, open_closed_streams
from cnnkit.errors import CnnkitError
from cnnkit.version import __version__

COULD_NOT_RUN = 2
OUR_FAULT = 70
INTERRUPTED = 130
# The errors of a full disk, a quota, and a limit on file size.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Section, then command: its module and the line that `cnnkit --help` shows for it.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Use": {
        "classify": ("cnnkit.cli.classify", "Classify images."),
        "detect": ("cnnkit.cli.detect", "Detect objects in images."),
        "search": ("cnnkit.cli.search", "Find similar images."),
        "serve": ("cnnkit.cli.serve", "Serve models over HTTP, with a page to try them."),
        "stylize": ("cnnkit.cli.stylize", "Apply the style of an image to photos."),
        "verify-face": ("cnnkit.cli.verify_face", "Check whether two images show the same person."),
        "gallery": ("cnnkit.cli.gallery", "Recognize people: enroll, identify, forget."),
    },
    "Train": {
        "transfer-learn": (
            "cnnkit.cli.transfer_learn",
            "Train a classifier on your own labeled images.",
        ),
        "train-style": ("cnnkit.cli.train_style", "Train a fast model for one style."),
        "train-detector": (
            "cnnkit.cli.train_detector",
            "Train an object detector on images with boxes.",
        ),
        "train-face": ("cnnkit.cli.train_face", "Train a face embedding model."),
        "evaluate": ("cnnkit.cli.evaluate", "Evaluate a model on labeled images."),
        "export": ("cnnkit.cli.export", "Export a model to another format and verify it."),
    },
    "Data": {
        "doctor": ("cnnkit.cli.doctor", "Find problems in a dataset before training."),
        "dedupe": ("cnnkit.cli.dedupe", "Find copies among images."),
        "augment": ("cnnkit.cli.augment", "Preview data augmentation."),
        "merge": ("cnnkit.cli.merge", "Merge the results of shards into one file."),
        "convert-boxes": (
            "cnnkit.cli.convert_boxes",
            "Convert boxes between COCO, Pascal VOC, and YOLO.",
        ),
    },
    "Inspect": {
        "models": ("cnnkit.cli.models", "List, show, and verify models."),
        "network": ("cnnkit.cli.network", "Show the layers of a network and their costs."),
        "convolve": ("cnnkit.cli.convolve", "Apply a filter to images, or learn one."),
        "shapes": ("cnnkit.cli.shapes", "Compute the shapes and costs of a chain of layers."),
        "explain": ("cnnkit.cli.explain", "Show which image regions drive a prediction."),
        "visualize": (
            "cnnkit.cli.visualize",
            "Visualize what a network has learned.",
        ),
        "experiment": (
            "cnnkit.cli.experiment",
            "Run a classroom experiment: plain and residual networks.",
        ),
    },
}

COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: cnnkit classify PHOTOS/",
)
@click.version_option(__version__, prog_name="cnnkit", message="%(prog)s %(version)s")
def group() -> None:
    """Computer vision on the command line: classify, detect, recognize, stylize, train. Offline."""


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    open_closed_streams()
    interrupt_outside_locks()
    try:
        with last_words():
            status = _run()
        sys.stdout.flush()
    except OSError as error:
        # Keep Python from complaining at exit of what can still not be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has left: that is its right
            sys.exit(0)
        fix = "Free some space, or write elsewhere."
        status = _say(f"error: cannot write the output: {error.strerror}. {fix}", COULD_NOT_RUN)
    sys.exit(status)


def _run() -> int:
    """Run a command and return its status; only an output that takes no more comes through."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries talk to programmers: our user has rows
    try:
        status = group.main(standalone_mode=False, prog_name="cnnkit")
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return COULD_NOT_RUN
    except click.ClickException as error:
        return _say(f"error: {_one_line(error)}", COULD_NOT_RUN)
    except CnnkitError as error:
        return _say(f"error: {with_flags(str(error))}", COULD_NOT_RUN)
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _say("interrupted", INTERRUPTED)
    except (BrokenPipeError, ClosedOutputError):
        raise
    except Exception as error:  # the last line before the user: never a traceback
        if getattr(error, "errno", None) in NO_ROOM and not was_interrupted(error):
            raise
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """Say in one line what no part of the program has foreseen, and return the status."""
    if was_interrupted(error):
        return _say("interrupted", INTERRUPTED)
    if getattr(error, "errno", None) == errno.ENAMETOOLONG:  # wherever a name is looked up
        received = f"{str(getattr(error, 'filename', ''))[:60]}..."
        return _say(f"error: the file name is too long: {received}", COULD_NOT_RUN)
    logging.getLogger("cnnkit").debug("Internal error.", exc_info=True)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    fix = "Please report it with the command and its output with -v."
    return _say(f"internal error: {what}. {fix}", OUR_FAULT)


def _one_line(error: click.ClickException) -> str:
    """Return click's message with the command whose help says more."""
    context = getattr(error, "ctx", None)
    command = context.command if context else None
    message = with_flags(" ".join(error.format_message().split()), command)
    more = f" See {context.command_path} --help." if context and "--help" not in message else ""
    return f"{message}{more}"


def _say(message: str, status: int) -> int:
    from cnnkit.writers.terminal import printable

    click.echo(f"cnnkit: {printable(message)}", err=True)
    return status
