"""Classify a folder in two shards, as two machines would, and merge their rows.

python examples/merge_shards.py [FOLDER]
"""

import json
import sys
import tempfile
from pathlib import Path

import cnnkit

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"

with tempfile.TemporaryDirectory() as scratch:
    parts = [Path(scratch) / f"part-{index}.jsonl" for index in range(2)]
    for index, part in enumerate(parts):  # each of these may run anywhere
        summary = cnnkit.classify(folder, shard=(index, len(parts)), output=part)
        print(f"shard {index}/{len(parts)}: {summary.ok + summary.failed} images")

    rows = Path(scratch) / "rows.jsonl"
    print(f"merged: {cnnkit.merge(parts, rows)} rows in the order of the images")
    for line in rows.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        print(f"{Path(row['path']).name}: {row.get('label', row['status'])}")
