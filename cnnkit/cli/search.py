"""``cnnkit search``."""

from __future__ import annotations

from typing import Any

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit classify photos/ --embeddings photos.npy -o photos.jsonl
  cnnkit search photos.npy query.jpg
  cnnkit search photos.npy queries/ --top-k 5 --min-score 0.6 --report found.html
  cnnkit search photos.npy query.jpg --update photos/
"""


@click.command("search", epilog=EXAMPLES)
@click.argument("index", metavar="INDEX.npy")
@click.argument("inputs", nargs=-1, metavar="QUERY...")
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Matches per query.",
)
@click.option(
    "--min-score",
    type=float,
    default=-1.0,
    metavar="C",
    help="Minimum cosine similarity, from -1 to 1.  [default: any]",
)
@click.option(
    "--update",
    multiple=True,
    metavar="INPUT",
    help="First add the new and changed images of INPUT, and mark those that are gone. Repeatable.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="Model of the queries, if it has moved.  [default: the index's]",
)
@shared.output_options
@shared.format_option()
@click.option("--report", metavar="FILE.html", help="HTML report with each query's matches.")
@shared.null_separated_option
@shared.max_pixels_option()
@shared.workers_option()
@shared.runtime_options
@shared.verbosity_options
def command(
    inputs: tuple[str, ...], null_separated: bool, quiet: bool, form: str | None, **chosen: Any
) -> None:
    """Find the images of an index that are most similar to each query image.

    INDEX.npy is the file of classify --embeddings, with the file of paths beside it. The search is
    exact. Exit status: 0 if all queries succeeded, 1 if some failed, 2 if the command could not
    run.
    """
    paths: Any = inputs
    if inputs or not chosen["update"]:
        paths = shared.input_arguments(inputs, null_separated)
    from cnnkit.cli.display import Display, MatchesLayout
    from cnnkit.commands.search import MATCHES_TABLE, search

    with Display(
        form,
        bool(chosen["output"]),
        quiet,
        MATCHES_TABLE,
        task="search",
        layout=MatchesLayout,
    ) as display:
        summary = search(inputs=paths, emit=display.show, progress=display.progress, **chosen)
    if paths:
        display.conclude(summary)
    click.get_current_context().exit(1 if summary.failed else 0)
