"""Measures the search by image and the search for copies, at several sizes.

    python benchmarks/search.py [--images 10000 100000] [--copies 10000 100000]
        [--alike 10000 20000] [--rounds 5]

Search: made-up embeddings of 1,280 numbers, mapped from a file in the disk's cache; one query and
batches of 64, against NumPy's product with the whole array and a full sort, and, where it is
installed (``pip install usearch``), usearch's exact search in half precision, in turns.
Copies: made-up fingerprints, a tenth of which are copies; the images are not read, which takes
most of the time of ``cnnkit dedupe``. Look-alikes: made-up embeddings, all pairs compared as by
``cnnkit dedupe --look-alikes``; the network is not run.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from cnnkit.commands.look_alikes import ROWS_AT_ONCE
from cnnkit.diagnosis.duplicates import find_originals, stars
from cnnkit.diagnosis.fingerprints import Fingerprints
from cnnkit.neighbors import lengths_of, most_similar, similar_pairs

DIMENSIONS, BATCH, TOP = 1_280, 64, 10

Searcher = Callable[[np.ndarray], object]


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def made_up_index(folder: Path, count: int) -> np.ndarray:
    """Write embeddings like those behind a ReLU, and map them."""
    random, path = np.random.default_rng(0), folder / f"{count}.npy"
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (count, DIMENSIONS))
    for start in range(0, count, 10_000):
        block = random.standard_normal((min(10_000, count - start), DIMENSIONS), np.float32)
        vectors[start : start + len(block)] = np.maximum(block, 0)
    vectors.flush()
    return np.load(path, mmap_mode="r")


def numpy_search(vectors: np.ndarray, lengths: np.ndarray) -> Searcher:
    """Return a search by one product with everything and a sort of all scores."""
    whole = np.ascontiguousarray(vectors)

    def search(queries: np.ndarray) -> object:
        scores = queries @ whole.T / lengths
        return np.argsort(-scores, axis=1, kind="stable")[:, :TOP]

    return search


def usearch_search(vectors: np.ndarray) -> Searcher | None:
    """Return usearch's exact search, or None where it is not installed."""
    try:
        from usearch.index import MetricKind, search
    except ImportError:
        return None
    halves = np.asarray(vectors, np.float16)
    return lambda queries: search(
        halves, queries.astype(np.float16), TOP, MetricKind.Cos, exact=True
    )


def measure_search(folder: Path, count: int, rounds: int) -> None:
    """Print the milliseconds per query of each contestant."""
    vectors = made_up_index(folder, count)
    lengths = lengths_of(vectors)
    contestants: dict[str, Searcher | None] = {
        "cnnkit": lambda queries: most_similar(vectors, queries, TOP, lengths),
        "NumPy, whole array and full sort": numpy_search(vectors, lengths),
        "usearch, exact, half precision": usearch_search(vectors),
    }
    random = np.random.default_rng(1)
    queries = np.maximum(random.standard_normal((BATCH, DIMENSIONS), np.float32), 0)
    running = {name: search for name, search in contestants.items() if search is not None}
    found: dict[tuple[str, int], list[float]] = {}
    for round_number in range(rounds + 1):
        for name, search in running.items():
            for size in (1, BATCH):
                taken = seconds(lambda s=search, n=size: s(queries[:n])) / size
                if round_number:  # the first one warms up
                    found.setdefault((name, size), []).append(1000 * taken)
    print(f"\n{count:,} images, milliseconds per query, medians of {rounds}")
    for name in running:
        one, many = (statistics.median(found[name, size]) for size in (1, BATCH))
        print(f"  {name:<34} one {one:8.1f}   in batches of {BATCH} {many:8.2f}")
    for rest in contestants.keys() - running.keys():
        print(f"  {rest:<34} not installed")


def made_up_fingerprints(count: int) -> Fingerprints:
    """Return fingerprints of which a tenth are copies with two other bits."""
    random = np.random.default_rng(2)
    prints = Fingerprints.empty(count)
    prints.sha256[:] = random.integers(0, 256, prints.sha256.shape, np.uint8)
    prints.sizes[:], prints.formats[:], prints.deviations[:] = 256, 0, 50
    for name in ("hashes", "mirrored_hashes"):
        getattr(prints, name)[:] = random.integers(0, 2**64, count, np.uint64)
    prints.thumbnails[:] = random.integers(0, 256, prints.thumbnails.shape, np.uint8)
    copies = count // 10
    prints.hashes[-copies:] = prints.hashes[:copies] ^ np.uint64(0b11)
    prints.thumbnails[-copies:] = prints.thumbnails[:copies]
    return prints


def measure_copies(count: int) -> None:
    """Print the time of comparing all fingerprints, and the memory of the process."""
    prints = made_up_fingerprints(count)
    before = peak_megabytes()
    result: list[np.ndarray] = []
    taken = seconds(lambda: result.append(find_originals(prints, np.arange(count))))
    found = int((result[0] != np.arange(count)).sum())
    print(
        f"{count:,} fingerprints: {taken:.1f} s, {found:,} copies, "
        f"peak memory {peak_megabytes():.0f} MB ({before:.0f} MB before)"
    )


def measure_look_alikes(folder: Path, count: int) -> None:
    """Print the time of comparing all embeddings, and the memory of the process."""
    vectors = made_up_index(folder, count)
    lengths = lengths_of(vectors)[:, None]
    path = folder / f"unit-{count}.npy"
    unit = np.lib.format.open_memmap(path, "w+", np.float32, vectors.shape)
    for start in range(0, count, 10_000):
        piece = slice(start, start + 10_000)
        unit[piece] = vectors[piece] / lengths[piece]
    unit.flush()
    unit = np.load(path, mmap_mode="r")
    taken = seconds(lambda: stars(count, partial(similar_pairs, unit, min_score=0.8), ROWS_AT_ONCE))
    print(f"{count:,} embeddings, all pairs: {taken:.1f} s, peak memory {peak_megabytes():.0f} MB")


def peak_megabytes() -> float:
    """Return the peak memory of this process; `getrusage` would count its parent's, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--copies", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--alike", type=int, nargs="*", default=[10_000, 20_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        measure_copies(options.alone)
        return
    with tempfile.TemporaryDirectory() as folder:
        for count in options.images:
            measure_search(Path(folder), count, options.rounds)
        for count in options.alike:
            measure_look_alikes(Path(folder), count)
    for count in options.copies:  # each in a process of its own, for its memory
        subprocess.run([sys.executable, __file__, "--alone", str(count)], check=True)


if __name__ == "__main__":
    main()
