"""Options that several commands share, and their effects."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from cnnkit.cli.flags import runs, with_flags
from cnnkit.errors import UsageError, broken_rule, is_required, requires

Command = Callable[..., Any]

# By the unit of a duration, as users type it.
SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def apply(options: Sequence[Command], function: Command) -> Command:
    """Put click decorators on a function, the first one topmost in the help."""
    for option in reversed(options):
        function = option(function)
    return function


def model_options(default: str) -> Callable[[Command], Command]:
    """``--model``, ``--weights`` and ``--labels``."""
    return lambda function: apply(
        [
            click.option(
                "--model",
                default=default,
                show_default=True,
                metavar="MODEL",
                help="Embedded model, bundle or SavedModel folder, .keras, .onnx, .tflite, or "
                "OpenVINO .xml file, keras:NAME, or FILE.cfg.",
            ),
            click.option(
                "--weights",
                metavar="FILE",
                help="Weights file for keras:NAME (instead of a download) or for a FILE.cfg.",
            ),
            click.option(
                "--labels",
                metavar="FILE",
                help="Text file with one label per line, for a model without labels.",
            ),
        ],
        function,
    )


def runtime_options(function: Command) -> Command:
    """``--device``, ``--runtime``, ``--precision``, ``--threads``."""
    told = "auto uses int8 or bfloat16 where it is fast and accurate."
    return runtime_options_in("auto|float32|bfloat16|int8", told)(function)


def runtime_options_in(precisions: str, told: str) -> Callable[[Command], Command]:
    """Return `runtime_options` for a command that does not compute in every precision.

    Args:
        precisions: Those of ``--precision``, with ``|`` between.
        told: What the help says of them.
    """
    options = [
        click.option(
            "--device",
            default="auto",
            show_default=True,
            metavar="auto|cpu|gpu",
            help="Device to run on.",
        ),
        click.option(
            "--runtime",
            default="auto",
            show_default=True,
            metavar="auto|openvino|xla|tensorflow",
            help="Inference runtime.",
        ),
        click.option(
            "--precision",
            default="auto",
            show_default=True,
            metavar=precisions,
            help=f"Numeric precision; {told}",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=0),
            default=0,
            metavar="N",
            help="Number of CPU threads.  [default: all]",
        ),
    ]
    return lambda function: apply(options, function)


def max_pixels_option(
    told: str | None = "Reject larger images before decoding.  [default: about 179 million]",
) -> Command:
    """``--max-pixels``."""
    return click.option("--max-pixels", type=click.IntRange(min=1), metavar="N", help=told)


def workers_option(
    told: str | None = "Worker threads for reading and prediction.  [default: CPUs + 1]",
) -> Command:
    """``--workers``."""
    return click.option("--workers", type=click.IntRange(min=1), metavar="N", help=told)


def csv_root_option(function: Command) -> Command:
    """``--root``, for DATA that may be a CSV."""
    told = "Folder that the paths in a CSV are relative to."
    return click.option("--root", metavar="DIR", help=told)(function)


def null_separated_option(function: Command) -> Command:
    """``-0``; see `input_arguments`."""
    told = "Paths on standard input are NUL-separated."
    return click.option("-0", "null_separated", is_flag=True, help=told)(function)


def loss_network_options(function: Command) -> Command:
    """``--network`` and ``--weights`` of the loss network."""
    return apply(
        [
            click.option(
                "--network",
                default="squeezenet-1.1",
                show_default=True,
                metavar="NAME",
                help="Loss network: squeezenet-1.1, keras:vgg16, or keras:vgg19.",
            ),
            click.option(
                "--weights",
                metavar="FILE",
                help="Weights file for keras:NAME, instead of a download.",
            ),
        ],
        function,
    )


def image_options(function: Command, fits: str = "crop|pad|stretch") -> Command:
    """``--fit``, ``--max-pixels``, ``--batch-size``, ``--workers``."""
    return apply(
        [
            click.option(
                "--fit",
                metavar=fits,
                help="How to fit images to the input size.  [default: the model's own]",
            ),
            max_pixels_option(),
            click.option(
                "--batch-size",
                type=click.IntRange(min=1),
                metavar="N",
                help="Images per batch.  [default: chosen for the runtime]",
            ),
            workers_option(),
        ],
        function,
    )


def face_options(function: Command) -> Command:
    """The face models, which faces to detect, ``--max-pixels``, ``--workers``."""
    return apply(
        [
            click.option(
                "--embedder",
                default="dlib-face",
                show_default=True,
                metavar="MODEL",
                help="Face embedding model: an embedded model or a bundle folder.",
            ),
            click.option(
                "--detector",
                metavar="MODEL",
                help="Face detector: yunet, mtcnn, or a bundle folder.  [default: the embedder's, "
                "or the gallery's]",
            ),
            click.option(
                "--min-face",
                type=click.IntRange(min=1),
                default=40,
                show_default=True,
                metavar="PIXELS",
                help="Smallest face to detect; half the size takes about four times as long.",
            ),
            click.option(
                "--min-score",
                type=float,
                metavar="P",
                help="Minimum detection score.  [default: the detector's]",
            ),
            click.option(
                "--mirror",
                is_flag=True,
                help="Average with the mirrored face; takes twice as long.",
            ),
            max_pixels_option(),
            workers_option(),
        ],
        function,
    )


def frame_options(function: Command) -> Command:
    """``--every``, ``--from``, ``--to``, ``--frames``: which frames of videos are wanted."""
    return apply(
        [
            click.option(
                "--every",
                metavar="0.5s|10f|key",
                help="Videos: one frame per time or number of frames, or key frames only; also "
                "find the videos in folders.  [default: all frames]",
            ),
            click.option(
                "--from", "from_time", metavar="TIME", help="Videos: start, such as 90 or 1:30."
            ),
            click.option("--to", "to_time", metavar="TIME", help="Videos: end, exclusive."),
            click.option(
                "--frames",
                is_flag=True,
                help="Take all frames of animated GIF, WebP, and PNG files, and all TIFF pages.",
            ),
        ],
        function,
    )


def output_options(function: Command) -> Command:
    """``-o`` and the options about resuming and overwriting."""
    rows = click.option(
        "-o",
        "--output",
        metavar="FILE",
        help="Output file or URL for the rows: .jsonl, .csv, or .parquet.",
    )
    return _resumable(rows, function)


def box_output_options(function: Command) -> Command:
    """``-o`` for rows and annotations, repeatable, and the options about resuming."""
    several = click.option(
        "-o",
        "--output",
        multiple=True,
        metavar="OUTPUT",
        help="FILE.jsonl, .csv, or .parquet; coco:FILE.json, yolo:DIR, or voc:DIR. Repeatable.",
    )
    return _resumable(several, function)


def format_option(told: str = "Format of standard output; with -o, rows go there too.") -> Command:
    """``--format`` of rows."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "jsonl", "csv"]),
        help=f"{told}  [default: table in a terminal, otherwise jsonl]",
    )


def sorting_options(told: str) -> Callable[[Command], Command]:
    """``--sort-into`` and ``--how``."""
    return lambda function: apply(
        [
            click.option("--sort-into", metavar="DIR", help=told),
            click.option(
                "--how",
                type=click.Choice(["copy", "link", "move"]),
                default="copy",
                show_default=True,
                help="How --sort-into places the files.",
            ),
        ],
        function,
    )


def _resumable(output: Command, function: Command) -> Command:
    return apply(
        [
            output,
            click.option("--resume", is_flag=True, help="Resume an interrupted run of -o FILE."),
            click.option("--overwrite", is_flag=True, help="Overwrite existing files."),
            click.option(
                "--retry-errors", is_flag=True, help="With --resume: retry inputs that failed."
            ),
        ],
        function,
    )


def column_option(function: Command) -> Command:
    """``--column``."""
    told = "Column of the images in Parquet files.  [default: image or bytes]"
    return click.option("--column", metavar="NAME", help=told)(function)


def shard_option(function: Command) -> Command:
    """``--shard``."""
    told = "Take only the inputs I, I+N, I+2N, ... from 0; cnnkit merge joins the N files."
    return click.option("--shard", metavar="I/N", help=told)(function)


def engine_options(function: Command, does: str = "Run") -> Command:
    """``--engine`` and ``--shard-size``.

    Args:
        function: The command.
        does: What the help says that the processes are for.
    """
    return apply(
        [
            click.option(
                "--engine",
                metavar="ray[:ADDRESS]",
                help=f"{does} one process per machine of a Ray cluster: ray for this machine "
                "alone, ray:auto, or ray:HOST:PORT.",
            ),
            click.option(
                "--shard-size",
                type=click.IntRange(min=1),
                default=1000,
                show_default=True,
                metavar="N",
                help="With --engine: inputs per shard.",
            ),
        ],
        function,
    )


def verbosity_options(function: Command) -> Command:
    """``-q`` and ``-v``, which set up the messages on standard error. Every command has them."""

    def quiet(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
        runs(ctx.command)
        configure_messages(logging.ERROR if value else logging.INFO)
        return value

    def verbose(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
        if value:
            configure_messages(logging.DEBUG)
        return value

    return apply(
        [
            click.option(
                "-q",
                "--quiet",
                is_flag=True,
                callback=quiet,
                help="Show only errors; no progress or summary.",
            ),
            click.option(
                "-v",
                "--verbose",
                is_flag=True,
                callback=verbose,
                expose_value=False,
                help="Show debug messages.",
            ),
        ],
        function,
    )


class MessageHandler(logging.Handler):
    """Writes the library's messages to standard error, safe for a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        from cnnkit.writers.terminal import printable

        lines = with_flags(self.format(record)).splitlines()
        for line in lines:
            click.echo(f"cnnkit: {printable(line)}", err=True)


def configure_messages(level: int) -> None:
    """Show cnnkit's own messages from `level` up on standard error."""
    logger = logging.getLogger("cnnkit")
    logger.setLevel(level)
    logger.propagate = False
    # Pillow logs what our rows already say about broken files.
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    # Each new image size compiles again: that is intended, and no news to a user.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if not any(isinstance(handler, MessageHandler) for handler in logger.handlers):
        logger.addHandler(MessageHandler())


def input_arguments(inputs: tuple[str, ...], null_separated: bool) -> Any:
    """Return the inputs, with those listed on standard input replacing ``-``.

    Raises:
        click.UsageError: There are none, or ``-0`` is given without ``-``.
        UsageError: An output is among those listed.
    """
    if not inputs:
        fix = "Give an image, a folder, a pattern, or - for a list on standard input."
        raise click.UsageError(is_required("`inputs`", fix))
    if null_separated and "-" not in inputs:
        raise click.UsageError(requires("-0", "- (a list on standard input)"))
    if "-" not in inputs:
        return inputs
    paths = list(_expanded(inputs, null_separated))
    context = click.get_current_context()
    if getattr(context.command.callback, "keeps_inputs", False):
        from cnnkit.cli.apart import check

        check(context, paths)
    return paths


def given_options(context: click.Context, but: Sequence[str] = ()) -> list[str]:
    """Return the options that the user gave besides -q and -v, by their first spelling.

    Args:
        context: Of the command, its parameters read.
        but: Names of parameters to leave out.
    """
    default = click.core.ParameterSource.DEFAULT
    return [
        one.opts[0]
        for one in context.command.params
        if isinstance(one, click.Option)
        and one.name not in ("quiet", "verbose", *but)
        and context.get_parameter_source(str(one.name)) != default
    ]


def seconds_of(text: str | None, option: str = "--time-budget") -> float | None:
    """Return a duration such as ``60s``, ``5m``, or ``90`` in seconds.

    Raises:
        UsageError: It is not a duration.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)?\s*", text)
    if found is None:
        raise UsageError(broken_rule(option, "be a duration such as 60s or 5m", repr(text)))
    return float(found[1]) * SECONDS[found[2] or ""]


def _expanded(inputs: tuple[str, ...], null_separated: bool) -> Any:
    from cnnkit.images import read_list

    for item in inputs:
        if item == "-":
            yield from read_list(sys.stdin.buffer, null_separated)
        else:
            yield item


class Size(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.5 only
    """A height and a width in pixels, as ``480x640``, or one number for both."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            height, width = value
            return height, width
        sides = [side for side in value.lower().split("x") if side.isdecimal()]
        if len(sides) != value.lower().count("x") + 1 or len(sides) > 2:
            self.fail(f"must be HEIGHTxWIDTH or one number, in pixels. Received: {value}.")
        height, width = int(sides[0]), int(sides[-1])
        if not (1 <= height <= 4096 and 1 <= width <= 4096):
            self.fail(f"must have sides from 1 to 4096 pixels. Received: {value}.")
        return height, width


class NumberList(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.5 only
    """Numbers between commas, as ``123.7,116.3,103.5``, or one."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"must be numbers between commas. Received: {value}.")
