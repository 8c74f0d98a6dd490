"""``cnnkit merge``."""

from __future__ import annotations

import click

from cnnkit.cli import options as shared

EXAMPLES = """\b
Examples:
  cnnkit classify photos/ --shard 0/2 -o part-0.jsonl
  cnnkit classify photos/ --shard 1/2 -o part-1.jsonl
  cnnkit merge part-*.jsonl -o rows.jsonl

\b
In a Slurm array (--array=0-7) or an indexed Kubernetes job:
  cnnkit detect photos/ --shard $SLURM_ARRAY_TASK_ID/8 -o part-$SLURM_ARRAY_TASK_ID.jsonl
  cnnkit detect photos/ --shard $JOB_COMPLETION_INDEX/8 -o part-$JOB_COMPLETION_INDEX.jsonl
"""


@click.command("merge", epilog=EXAMPLES)
@click.argument("parts", nargs=-1, required=True, metavar="PART...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="Output file: .jsonl, .csv, .parquet, or .npy, as the parts are.",
)
@click.option("--overwrite", is_flag=True, help="Overwrite an existing file.")
@shared.verbosity_options
def command(parts: tuple[str, ...], output: str, overwrite: bool, quiet: bool) -> None:
    """Merge the files of all shards of a run (--shard) into the file of one run, in input order.

    Beside each PART lies its record, PART.shard.json. Parts that are missing, given twice,
    unfinished, changed, or of another run are refused.
    """
    from cnnkit.commands.merge import merge
    from cnnkit.writers.terminal import printable

    rows = merge(parts, output, overwrite=overwrite)
    if not quiet:
        click.echo(f"{printable(output)}: {rows:,} rows of {len(parts):,} parts", err=True)
