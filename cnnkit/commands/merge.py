"""``cnnkit merge`` as a function."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath, path_list
from cnnkit.errors import UsageError, broken_rule, is_required
from cnnkit.writers.merging import MERGED_SUFFIXES, merge_parts, read_parts
from cnnkit.writers.targets import target_file


@keeps_inputs
def merge(parts: Iterable[AnyPath], output: AnyPath, *, overwrite: bool = False) -> int:
    """Merge the files of all shards of a run into the file that one run would have written.

    Rows and embeddings are in the order of the inputs again. The parts are unchanged.

    Args:
        parts: The finished files of all shards, in any order: ``.jsonl``, ``.csv`` or
            ``.parquet`` rows, or ``.npy`` or ``.parquet`` embeddings. Beside each lies its
            record, ``FILE.shard.json``.
        output: The file to write, with the suffix of the parts.
        overwrite: Overwrite an existing file.

    Returns:
        The number of rows.

    Raises:
        UsageError: A part is missing, given twice, unfinished, changed, or of another run.
        OutputError: The file cannot be written.
    """
    paths = [Path(one) for one in path_list(parts)]
    if not paths:
        raise UsageError(is_required("`parts`", "Give the files of all shards."))
    target = target_file("`output`", output, MERGED_SUFFIXES, overwrite=overwrite, endings=_ENDINGS)
    if target is None:
        raise UsageError(is_required("`output`"))
    for path in paths:
        if path.suffix.lower() != target.suffix.lower():
            rule = f"end in {target.suffix.lower()}, as `output` does"
            raise UsageError(broken_rule("`parts`", rule, path))
    return merge_parts(read_parts(paths), target)


_ENDINGS = f"one of {', '.join(MERGED_SUFFIXES)}"
