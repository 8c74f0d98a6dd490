"""Making a bundle of a graph: the file under a fixed name, its labels, and a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cnnkit.bundles.card import CARD, check_labels, file_sha256
from cnnkit.bundles.graphs.graph_card import FILES, SECTION, WEIGHTS_FILE
from cnnkit.bundles.graphs.graph_wish import GraphWish
from cnnkit.bundles.graphs.opening_graphs import elsewhere
from cnnkit.bundles.graphs.planning import Planned, families, plan
from cnnkit.bundles.graphs.reading import graph_model
from cnnkit.bundles.graphs.said import Said, said_by
from cnnkit.bundles.graphs.scanning import GraphFile, scan
from cnnkit.bundles.opening import LABELS
from cnnkit.errors import OutputError, UsageError, broken_rule
from cnnkit.runtime.process import import_openvino

ASK = (
    "Name a family with `like` ({families}), or give `mean` and `std`, of pixels from 0 to 255; "
    "the code that trained or exported it says them."
)


class Import:
    """A graph that is to become a bundle, checked and planned.

    Attributes:
        file: The file.
        said: What it says of itself.
        planned: How it will be opened.
    """

    def __init__(self, path: Path, wish: GraphWish) -> None:
        """Read a graph.

        Raises:
            BundleError: It cannot be opened, or is unsafe to open.
            UsageError: Something of it is not known, or contradicts the file.
        """
        export = None if path.exists() else elsewhere(str(path))
        if export is not None:
            rule = "be a file on this machine"
            raise UsageError(broken_rule("`model`", rule, repr(str(path)), export))
        self.file: GraphFile = scan(path)
        self.said: Said = said_by(self.file)
        self._model = graph_model(self.file)
        ask = ASK.format(families=families())
        self.planned: Planned = plan(self.file, self._model, self.said, wish, ask)
        check_labels(self.planned.labels, str(path))

    def write(self, folder: Path) -> None:
        """Write the bundle into an empty folder, as `cnnkit.bundles.writing` gives it.

        Raises:
            OutputError: The file changed meanwhile.
        """
        card = dict(self.planned.card.content)
        form = self.file.form if len(self.file.parts) == 1 else "openvino"
        graph: dict[str, Any] = card[SECTION] | {"form": form}
        path = folder / FILES.get(form, FILES["openvino"])
        if form in ("onnx", "tflite"):
            shutil.copyfile(self.file.path, path)
            if file_sha256(path) != self.file.sha256:
                rule = "stay as it is while it is copied"
                raise OutputError(broken_rule(str(self.file.path), rule, "a changed file"))
        else:  # what consists of several files is kept as OpenVINO has read it
            graph |= {"form": "openvino"}
            import_openvino().save_model(self._model, path, compress_to_fp16=False)
            graph["weights"] = _entry(folder / WEIGHTS_FILE)
        graph["source"] = {"file": self.file.path.name, "sha256": self.file.sha256}
        text = "".join(f"{label}\n" for label in self.planned.labels)
        (folder / LABELS).write_text(text, "utf-8")
        card |= {
            "weights": _entry(path) | {"bytes": path.stat().st_size},
            "labels": _entry(folder / LABELS),
            SECTION: graph,
        }
        written = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
        (folder / CARD).write_bytes(written.encode("utf-8", "backslashreplace"))


def _entry(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": file_sha256(path)}
