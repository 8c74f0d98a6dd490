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
from cnnkit.cli.lazy import LazyGroup
from cnnkit.errors import CnnkitError
from cnnkit.version import __version__

COULD_NOT_RUN = 2
OUR_FAULT = 70
INTERRUPTED = 130
# What a full disk, a quota and a limit of a file's size come to.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Section, then command: its module and the line that `cnnkit --help` shows for it.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Use": {
        "classify": ("cnnkit.cli.classify", "Name what is in images."),
        "detect": ("cnnkit.cli.detect", "Find the objects in images."),
        "stylize": ("cnnkit.cli.stylize", "Paint photos in the style of an image."),
        "verify-face": ("cnnkit.cli.verify_face", "Say whether two images show one person."),
        "gallery": ("cnnkit.cli.gallery", "Recognize people: enrol, identify, forget."),
    },
    "Train": {
        "transfer-learn": (
            "cnnkit.cli.transfer_learn",
            "Make a model of your own from labeled images.",
        ),
        "train-style": ("cnnkit.cli.train_style", "Learn one style, to paint in it at once."),
        "train-detector": (
            "cnnkit.cli.train_detector",
            "Make a detector of your own from images with boxes.",
        ),
        "train-face": ("cnnkit.cli.train_face", "Learn which faces are alike."),
        "evaluate": ("cnnkit.cli.evaluate", "Measure a model on labeled images."),
        "export": ("cnnkit.cli.export", "Write a model for another engine, checked."),
    },
    "Data": {
        "doctor": ("cnnkit.cli.doctor", "Say what is wrong with a training set."),
        "augment": ("cnnkit.cli.augment", "Show what augmentation does to images."),
        "convert-boxes": ("cnnkit.cli.convert_boxes", "Convert boxes: COCO, Pascal VOC, YOLO."),
    },
    "Look inside": {
        "models": ("cnnkit.cli.models", "List, show and verify the embedded models."),
        "network": ("cnnkit.cli.network", "Show the layers of a network, and what they cost."),
        "convolve": ("cnnkit.cli.convolve", "Slide a filter over images, or learn one."),
        "shapes": ("cnnkit.cli.shapes", "Compute a chain of layers, formula by formula."),
        "explain": ("cnnkit.cli.explain", "Show what in an image speaks for its class."),
        "visualize": (
            "cnnkit.cli.visualize",
            "Show what a network looks for: filters, patches, dreams.",
        ),
        "experiment": (
            "cnnkit.cli.experiment",
            "Try what a course says: depth with and without skips.",
        ),
    },
}

COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class MainGroup(LazyGroup):
    """All commands of cnnkit."""

    sections = SECTIONS


@click.group(
    cls=MainGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: cnnkit classify PHOTOS/",
)
@click.version_option(__version__, prog_name="cnnkit", message="%(prog)s %(version)s")
def group() -> None:
    """Applied vision from the shell: on folders of images, offline, losing nothing."""


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    try:
        status = _run()
        sys.stdout.flush()
    except OSError as error:
        # Keep Python from complaining at exit of what can still not be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has left: that is its right
            sys.exit(0)
        fix = "Make room, or write it elsewhere."
        status = _say(
            f"error: the output cannot be written: {error.strerror}. {fix}", COULD_NOT_RUN
        )
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
    except BrokenPipeError:
        raise
    except Exception as error:  # the last line before the user: never a traceback
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:  # wherever a name is looked up
            received = f"{str(getattr(error, 'filename', ''))[:60]}..."
            return _say(
                f"error: a file's name must be shorter. Received: {received}", COULD_NOT_RUN
            )
        if getattr(error, "errno", None) in NO_ROOM:
            raise
        logging.getLogger("cnnkit").debug("A fault of cnnkit's.", exc_info=True)
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        fix = "Please report it with the command and the output of the same command with -v."
        return _say(f"a fault of cnnkit's own: {what}. {fix}", OUR_FAULT)


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
