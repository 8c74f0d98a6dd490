"""``cnnkit merge`` as a function."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath, path_list
from cnnkit.errors import UsageError, broken_rule, is_required
from cnnkit.writers.merging import MERGED_SUFFIXES, merge_parts, read_parts
from cnnkit.writers.remote_files import local_file, remote_files
from cnnkit.writers.remote_outputs import RemoteOutputs, fetched_parts
from cnnkit.writers.targets import target_file


@keeps_inputs
def merge(parts: Iterable[AnyPath], output: AnyPath, *, overwrite: bool = False) -> int:
    """Merge the files of all shards of a run into the file that one run would have written.

    Rows and embeddings are in the order of the inputs again. The parts are unchanged.

    Args:
        parts: The finished files of all shards, in any order: ``.jsonl``, ``.csv`` or
            ``.parquet`` rows, or ``.npy`` or ``.parquet`` embeddings. Beside each lies its
            record, ``FILE.shard.json``. They may be objects, which are copied here first.
        output: The file or object to write, with the suffix of the parts.
        overwrite: Overwrite an existing file.

    Returns:
        The number of rows.

    Raises:
        UsageError: A part is missing, given twice, unfinished, changed, or of another run.
        OutputError: The file cannot be written, or an object cannot be read.
    """
    paths = path_list(parts)
    if not paths:
        raise UsageError(is_required("`parts`", "Give the files of all shards."))
    if not output:
        raise UsageError(is_required("`output`"))
    target, objects = local_file(output), remote_files(output)
    suffix = target.suffix.lower()
    if suffix not in MERGED_SUFFIXES:
        raise UsageError(broken_rule("`output`", f"end in {_ENDINGS}", target))
    if not objects:
        target_file("`output`", target, overwrite=overwrite)
    for path in paths:
        if os.path.splitext(path)[1].lower() != suffix:
            rule = f"end in {suffix}, as `output` does"
            raise UsageError(broken_rule("`parts`", rule, path))
    with contextlib.closing(RemoteOutputs(objects, None, None)) as places:
        places.open(resume=False, overwrite=overwrite)
        with fetched_parts(paths) as files:
            rows = merge_parts(read_parts(files), target)
        places.publish()
    return rows


_ENDINGS = f"one of {', '.join(MERGED_SUFFIXES)}"
