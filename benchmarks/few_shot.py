"""Measures ``cnnkit transfer-learn`` on a few photos of each of ten kinds of things.

    python benchmarks/few_shot.py [--data imagenet200] [--splits 10]

Labeled photos of ImageNet's classes are grouped into kinds such as birds, dogs, and food. Of each
kind a few photos are learned from, one or two choose the head and the backbone, and the rest is the
test. Every backbone gets the same splits; `auto` chooses for each.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
from pathlib import Path

import cnnkit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from photos import add_data  # noqa: E402 - the script's own neighbor

# ImageNet's classes by index: first and last index of each range.
KINDS = {
    "birds": ((7, 24), (80, 100), (127, 146)),
    "reptiles": ((25, 68),),
    "insects": ((69, 79), (300, 326)),
    "dogs": ((151, 268),),
    "cats and bears": ((269, 299),),
    "hoofed animals": ((339, 355),),
    "primates": ((365, 384),),
    "landscapes": ((970, 980),),
    "food": ((924, 965),),
    "fish and crustaceans": ((0, 6), (389, 397), (118, 126)),
}
BACKBONES = ("squeezenet-1.1", "efficientnet-lite0", "efficientnet-lite3", "auto")
SHARES = {"validation": 0.25, "test": 0.25}


def write_table(data: Path, table: Path) -> int:
    """Write the photos of the kinds as a CSV of files and labels; return their number."""
    rows = []
    with (data / "labels.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            index = int(row["class_index"])
            for name, ranges in KINDS.items():
                if any(low <= index <= high for low, high in ranges):
                    rows.append([f"images/{row['file']}", name])
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "label"], *rows])
    return len(rows)


def main() -> None:
    """Measure every backbone and print the figures as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser, "imagenet200")
    parser.add_argument("--splits", type=int, default=10)
    chosen = parser.parse_args()
    accuracies: dict[str, list[float]] = {name: [] for name in BACKBONES}
    kept: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cnnkit-benchmark-") as temporary:
        table = Path(temporary, "kinds.csv")
        # A split depends on the files' names: relative ones are the same everywhere.
        Path(temporary, "images").symlink_to(chosen.data.resolve() / "images")
        count = write_table(chosen.data, table)
        for seed in range(chosen.splits):
            for name in BACKBONES:
                bundle = Path(temporary, f"{name}-{seed}")
                made = cnnkit.transfer_learn(table, bundle, backbone=name, seed=seed, **SHARES)
                accuracies[name].append(made.metrics["top_1"])
                if name == "auto":
                    kept.append(made.card["training"]["backbone"]["name"])
    print(f"{count} photos of {len(KINDS)} kinds, {chosen.splits} splits\n")
    print("| backbone | mean test accuracy | standard error |\n|---|---|---|")
    for name, values in accuracies.items():
        error = statistics.stdev(values) / len(values) ** 0.5
        print(f"| {name} | {statistics.mean(values):.3f} | {error:.3f} |")
    print(f"\nauto kept {', '.join(f'{n} {kept.count(n)} times' for n in sorted(set(kept)))}.")


if __name__ == "__main__":
    main()
