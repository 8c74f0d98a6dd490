"""`network` and `list_networks`: the layers of a network, and the networks that have a name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnkit.architectures import BUILDERS
from cnnkit.commands.apart import keeps_inputs
from cnnkit.commands.inputs import AnyPath
from cnnkit.lab.arithmetic import as_shape
from cnnkit.lab.networks.catalog import CATALOG, CatalogEntry

if TYPE_CHECKING:
    from cnnkit.lab.networks.opening import DescribedNetwork

DRAWINGS = (".svg", ".png")


def list_networks() -> dict[str, CatalogEntry]:
    """Return what is known about every named network, without building any.

    Returns:
        By the name that `build` and `network` take: ``.title``, ``.variant``, ``.input`` (height,
        width, channels), ``.output``, ``.parameters`` and ``.multiplies`` (for one image), with
        the default input and classes.
    """
    return {name: CATALOG[name] for name in BUILDERS}


@keeps_inputs
def network(
    name: AnyPath,
    *,
    input_shape: str | Sequence[int] | None = None,
    classes: int | None = None,
    diagram: AnyPath | None = None,
    report: AnyPath | None = None,
    overwrite: bool = False,
) -> list[DescribedNetwork]:
    """Describe the layers of a network, with their costs and receptive fields.

    The network is built without memory for its weights, and none are loaded.

    Args:
        name: A name of `list_networks` in any spelling, an embedded model, a bundle folder, a
            ``.keras`` file, or ``keras:NAME``.
        input_shape: Height, width and channels, such as ``(224, 224, 3)`` or ``"224x224x3"``; the
            network's own by default.
        classes: Number of classes of the top; the network's own by default.
        diagram: A drawing to write: a ``.svg`` or ``.png`` file. Those of several networks are
            numbered.
        report: An HTML page to write, with the drawing and the table.
        overwrite: Overwrite existing files.

    Returns:
        The network; all of them for a model of several, such as ``mtcnn``. Each has ``.name``,
        ``.variant``, ``.rows`` (one per layer), ``.totals`` and ``.to_dict()``.

    Raises:
        UsageError: There is no such network, it cannot be built with these arguments, or an
            output already exists.
        BundleError: It exists but cannot be opened, or is unsafe to open.
        OutputError: A file cannot be written.
    """
    from cnnkit.lab.networks.opening import Wish, describe
    from cnnkit.writers.targets import target_file, target_page

    drawing = target_file(
        "`diagram`", diagram, DRAWINGS, overwrite=overwrite, endings=".svg or .png"
    )
    page = target_page(report, overwrite)
    wish = Wish(None if input_shape is None else as_shape(input_shape), classes)
    networks = list(describe(os.fspath(name), wish))
    if drawing is not None:
        _write_diagram(drawing, networks)
    if page is not None:
        _write_report(page, os.fspath(name), networks)
    return networks


def _write_diagram(path: Path, networks: Sequence[DescribedNetwork]) -> None:
    """Write the drawing of a network; of several, each to a file with its own number."""
    from cnnkit.lab.networks.drawing import draw_network, to_png, to_svg
    from cnnkit.writers.replacing import replacing
    from cnnkit.writers.terminal import printable

    for number, one in enumerate(networks, start=1):
        target = path if len(networks) == 1 else path.with_stem(f"{path.stem}-{number}")
        drawing = draw_network(printable(one.name), one.rows)
        png = path.suffix.lower() == ".png"
        data = to_png(drawing) if png else to_svg(drawing).encode("utf-8")
        with replacing(target) as file:
            file.write(data)


def _write_report(path: Path, name: str, networks: Sequence[DescribedNetwork]) -> None:
    """Write the drawings and tables as one HTML file."""
    from cnnkit.lab.networks.drawing import draw_network, to_svg
    from cnnkit.lab.networks.opening import COUNTED
    from cnnkit.reports.network import write_network
    from cnnkit.writers.terminal import printable

    shown = []
    for one in networks:
        drawing = draw_network(printable(one.name), one.rows)
        shown.append(one.to_dict() | {"drawing": to_svg(drawing), "width": drawing.width})
    write_network(path, shown, title=f"Network: {Path(name).name or name}", convention=COUNTED)
