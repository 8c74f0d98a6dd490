"""The outputs of `visualize`: contact sheets and a report, checked before the work begins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.bundles import Bundle
from cnnkit.errors import UsageError, broken_rule, is_required
from cnnkit.explanation.sheets import check_image_target, write_image
from cnnkit.images import has_image_suffix
from cnnkit.reports.visualize import Section, write_sections
from cnnkit.writers.targets import claimed_folders, target_file, target_page


class SheetOutputs:
    """Where contact sheets and a report are written.

    Attributes:
        output: The file or folder of `output`, or None.
        sheets: The folder of `sheets`, or None.
    """

    def __init__(
        self,
        output: Path | None,
        report: Path | None,
        overwrite: bool,
        sheets: Path | None = None,
    ) -> None:
        """Check the report's path.

        Args:
            output: The file or folder of `output`, or None.
            report: The HTML report, or None.
            overwrite: Whether existing files may be overwritten.
            sheets: A folder of contact sheets beside `output`, or None.

        Raises:
            UsageError: All are None, or the report cannot be written there.
        """
        if output is None and report is None and sheets is None:
            raise UsageError(is_required("`output` or `report`"))
        self.output = output
        self.sheets = sheets
        self._report = report
        self._overwrite = overwrite
        target_page(report, overwrite)

    def check_table(self) -> None:
        """Refuse an `output` that is not a CSV file that can be written.

        Raises:
            UsageError: It is not.
        """
        target_file("`output`", self.output, (".csv",), overwrite=self._overwrite)

    def check_image(self) -> None:
        """Refuse an `output` that is not an image file that can be written.

        Raises:
            UsageError: It is not.
        """
        if self.output is not None:
            check_image_target("`output`", self.output, self._overwrite)

    @contextlib.contextmanager
    def folder(self, name: str, path: Path | None) -> Iterator[Path | None]:
        """Make a folder of sheets, and keep other runs from writing into it meanwhile.

        Args:
            name: The parameter that names it, in backticks.
            path: The folder; None gives None.

        Raises:
            UsageError: It is an image file, another run writes into it, or it holds files and must
                not be overwritten.
            OutputError: It cannot be made.
        """
        if path is None:
            yield None
            return
        if has_image_suffix(path.name) and not path.is_dir():
            fix = f"There are several images; use {path.with_suffix('')}/."
            raise UsageError(broken_rule(name, "name a folder", path, fix))
        with claimed_folders([path], replaces=self._overwrite):
            yield path

    def write(self, pixels: np.ndarray) -> None:
        """Write `output`, if there is one: a uint8 RGB image (height, width, 3)."""
        if self.output is not None:
            write_image(self.output, pixels)

    def report(
        self,
        sections: Iterable[Section],
        title: str,
        bundle: Bundle,
        options: Mapping[str, object],
        failures: Iterable[tuple[str, Mapping[str, Any]]] = (),
    ) -> None:
        """Write the report, if there is one.

        Args:
            sections: Taken one by one.
            title: The heading of the page.
            bundle: The model.
            options: Options of the run to show, name to value.
            failures: Paths, each with ``kind`` and ``message``.
        """
        if self._report is not None:
            write_sections(
                self._report,
                sections,
                title=title,
                model_name=bundle.card.name,
                options=options,
                failures=failures,
            )
