"""Files of pairs, verified: pairs in, rows and files out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from cnnkit.faces.verifying import FaceVerifier
from cnnkit.folder_job import FolderJob, Outputs, RowAndFeatures, RowEngine, Summary
from cnnkit.formats.face_pairs import FacePair
from cnnkit.images import Found
from cnnkit.results import key_of, make_pair_row, pair_key
from cnnkit.writers.row_tables import Column, FlatTable


def _as_digit(name: str) -> Callable[[dict[str, Any]], int | None]:
    return lambda row: None if row.get(name) is None else int(row[name])


PAIR_TABLE = FlatTable(
    columns=(
        Column("same", "integer", _as_digit("same")),
        Column("distance", "number", lambda row: row.get("distance")),
        Column("threshold", "number", lambda row: row.get("threshold")),
        Column("probability", "number", lambda row: row.get("probability")),
        Column("expected", "integer", _as_digit("expected")),
    ),
    paths=("a", "b"),
)


def verify_listed_pairs(
    verifier: FaceVerifier,
    pairs: Sequence[FacePair],
    outputs: Outputs,
    *,
    options: dict[str, Any],
    workers: int | None = None,
    emit: Callable[[dict[str, Any]], None] | None = None,
    engine: RowEngine | None = None,
) -> Summary:
    """Compare every pair and leave what was requested; each image is described once.

    Args:
        verifier: Loaded.
        pairs: What to compare; a pair that comes again is compared once.
        outputs: The outputs to write.
        options: Options that must be the same when a run is resumed.
        workers: Threads that read and embed.
        emit: Called with each row as it is produced.
        engine: Makes the rows elsewhere, by `verified_rows`.

    Raises:
        UsageError: An output already exists, or the run to resume has other settings.
        OutputError: An output cannot be written; the rows written so far are kept.
    """
    keyed: dict[str, FacePair] = {}
    for pair in pairs:
        earlier = keyed.setdefault(pair_key(pair.a, pair.b), pair)
        if earlier.same is None:  # one of two lines may say what the pair is
            keyed[pair_key(pair.a, pair.b)] = pair
    header = {
        "command": "verify-face",
        "model": verifier.embedder.bundle.identity,
        "options": options,
    }
    job = FolderJob(outputs, header, table=PAIR_TABLE, engine=engine)
    try:
        found = (Found(key) for key in keyed)
        for row, _ in job.made(found, partial(verified_rows, verifier, workers)):
            job.record(with_expected(row, keyed[key_of(row)]), emit=emit)
        summary = job.finish()
    finally:
        job.close()
    return summary


def verified_rows(
    verifier: FaceVerifier, workers: int | None, found: Iterable[Found]
) -> Iterator[RowAndFeatures]:
    """Yield the row of each pair, in order; each image is described once.

    Args:
        verifier: Loaded.
        workers: Threads that read and embed.
        found: The pairs, by their keys; some may have failed already.
    """
    items = list(found)
    pairs = [_pair_of(one) for one in items if one.failure is None]
    outcomes = (outcome for _, outcome in verifier.stream(pairs, workers))
    for item in items:
        pair = _pair_of(item)
        yield make_pair_row(pair.a, pair.b, item.failure or next(outcomes)), None


def _pair_of(found: Found) -> FacePair:
    a, b = found.key.split("\0")
    return FacePair(a, b)


def with_expected(row: dict[str, Any], pair: FacePair) -> dict[str, Any]:
    """Return a row with what the list says of the pair, where it says it."""
    return row if pair.same is None else row | {"expected": pair.same}
