"""``cnnkit classify``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit classify photos/
  cnnkit classify photos/ -o rows.jsonl --report report.html
  cnnkit classify photos/ -o rows.jsonl --resume
  cnnkit classify 'shoots/**/*.jpg' --threshold 0.5 --sort-into sorted/
  find . -name '*.png' -print0 | cnnkit classify -0 - --top-k 1
  cnnkit classify 's3://bucket/photos/**/*.jpg' shards.tar table.parquet -o rows.jsonl
  cnnkit classify photos/ --examples examples/ --sort-into sorted/
  cnnkit classify photos/ --shard 0/8 -o part-0.jsonl
  cnnkit classify photos/ --engine ray:auto -o rows.jsonl
"""


@click.command("classify", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@shared.model_options("efficientnet-lite0")
@click.option(
    "--examples",
    metavar="DIR",
    help="Name images by their nearest examples: one folder per class with a few images each.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="N",
    help="Predictions per image.",
)
@click.option(
    "--threshold", type=float, metavar="P", help="Minimum score; below it the label is 'unknown'."
)
@shared.frame_options
@shared.output_options
@shared.format_option()
@click.option("--report", metavar="FILE.html", help="HTML report with thumbnails and predictions.")
@click.option(
    "--embeddings",
    metavar="FILE",
    help="Output file for the penultimate features: .npy or .parquet.",
)
@shared.sorting_options("Sort images into one folder per class.")
@shared.column_option
@shared.shard_option
@shared.engine_options
@shared.null_separated_option
@shared.image_options
@shared.runtime_options
@shared.verbosity_options
def command(
    inputs: tuple[str, ...], null_separated: bool, quiet: bool, form: str | None, **chosen: Any
) -> None:
    """Classify images: files, folders, patterns, or - for a list on standard input.

    Writes one row per input, in order, to standard output or to -o FILE. Exit status: 0 if all
    inputs succeeded, 1 if some failed, 2 if the command could not run.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.display import Display
    from cnnkit.commands.classify import classify
    from cnnkit.commands.frames import frame_table
    from cnnkit.writers.row_tables import ClassificationTable

    table = frame_table(ClassificationTable(chosen["top_k"]), paths, chosen)
    with Display(form, bool(chosen["output"]), quiet, table) as display:
        summary = classify(paths, emit=display.show, progress=display.progress, **chosen)
    display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)
