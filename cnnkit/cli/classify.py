"""``cnnkit classify``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit classify photos/
  cnnkit classify photos/ -o rows.jsonl --report report.html
  cnnkit classify photos/ -o rows.jsonl --resume
  cnnkit classify 'shoots/**/*.jpg' --threshold 0.5 --sort-into sorted/
  find . -name '*.png' -print0 | cnnkit classify -0 - --top-k 1
"""


@click.command("classify", epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@shared.model_options("efficientnet-lite0")
@click.option(
    "--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Guesses an image."
)
@click.option("--threshold", type=float, metavar="P", help="Below it the label is 'unknown'.")
@shared.output_options
@shared.format_option()
@click.option("--report", metavar="FILE.html", help="A page with thumbnails and guesses.")
@click.option("--embeddings", metavar="FILE", help="Penultimate features, .npy or .parquet.")
@shared.sorting_options("Put images into folders by class.")
@shared.null_separated_option
@shared.image_options
@shared.runtime_options
@shared.verbosity_options
def command(
    inputs: tuple[str, ...], null_separated: bool, quiet: bool, form: str | None, **chosen
) -> None:
    """Name what is in images: files, folders, patterns, or - for a list.

    Rows go to standard output, or to -o FILE: one for each input, in order, `ok` or `error`.
    The exit status is 0 if all are ok, 1 if some failed, 2 if nothing could run.
    """
    paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.display import Display
    from cnnkit.commands.classify import classify
    from cnnkit.writers.row_tables import ClassificationTable

    table = ClassificationTable(chosen["top_k"])
    with Display(form, bool(chosen["output"]), quiet, table) as display:
        summary = classify(paths, emit=display.show, progress=display.progress, **chosen)
    display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)
