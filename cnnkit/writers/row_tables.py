"""The columns of each capability's rows in CSV and Parquet; JSON Lines needs none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

Row = dict[str, Any]


class Column(NamedTuple):
    """One column of a table of rows.

    Attributes:
        name: Its heading.
        kind: ``text``, ``integer`` or ``number``.
        value: Returns the value of a row, or None if it has none.
    """

    name: str
    kind: str
    value: Callable[[Row], Any]


class RowTable(Protocol):
    """How the rows of a capability become CSV and Parquet.

    A table whose rows have several lines of CSV also has ``lines``, which returns the cells of
    each line.
    """

    def header(self) -> list[str]:
        """Return the columns of the CSV."""
        ...

    def cells(self, row: Row) -> list[str]:
        """Return a row's cells; the caller makes them harmless for spreadsheets."""
        ...

    def schema(self, pyarrow: Any) -> Any:
        """Return the schema of the Parquet file."""
        ...

    def flat(self, row: Row) -> Row:
        """Return a row with the fields of that schema."""
        ...


def error_fields(row: Row) -> Row:
    """Return ``error_kind`` and ``error_message`` of a row, None without an error."""
    error = row.get("error", {})
    return {"error_kind": error.get("kind"), "error_message": error.get("message")}


@dataclass(frozen=True)
class ClassificationTable:
    """Path, status, label, score, error; then the further predictions.

    Attributes:
        top_k: Number of predictions in a CSV row.
    """

    top_k: int = 5

    def header(self) -> list[str]:
        """See `RowTable`."""
        columns = ["path", "status", "label", "score", "error_kind", "error_message"]
        for rank in range(2, self.top_k + 1):
            columns += [f"label_{rank}", f"score_{rank}"]
        return columns

    def cells(self, row: Row) -> list[str]:
        """See `RowTable`."""
        error = row.get("error", {})
        cells = [
            row["path"],
            row["status"],
            row.get("label", ""),
            f"{row['score']:.6f}" if "score" in row else "",
            error.get("kind", ""),
            error.get("message", ""),
        ]
        guesses = row.get("predictions", [])[1 : self.top_k]
        for guess in guesses:
            cells += [guess["label"], f"{guess['score']:.6f}"]
        return cells + [""] * (2 * (self.top_k - 1 - len(guesses)))

    def schema(self, pyarrow: Any) -> Any:
        """See `RowTable`."""
        guess = pyarrow.struct(
            [
                ("class_id", pyarrow.int32()),
                ("label", pyarrow.string()),
                ("score", pyarrow.float32()),
            ]
        )
        texts = ("path", "status", "label", "error_kind", "error_message")
        return pyarrow.schema(
            [(name, pyarrow.string()) for name in (*texts, "path_base64", "sorted_to")]
            + [("score", pyarrow.float32()), ("predictions", pyarrow.list_(guess))]
        )

    def flat(self, row: Row) -> Row:
        """See `RowTable`."""
        return row | error_fields(row)


@dataclass(frozen=True)
class DetectionTable:
    """One line of CSV for each box, and one for an image without any; Parquet keeps lists.

    Attributes:
        tracks: Whether objects are tracked: then each box has a number.
    """

    tracks: bool = False

    def header(self) -> list[str]:
        """See `RowTable`."""
        box = ["label", "class_id", "score", "left", "top", "box_width", "box_height"]
        box += ["track"] if self.tracks else []
        return ["path", "status", "width", "height", *box, "error_kind", "error_message"]

    def cells(self, row: Row) -> list[str]:
        """Return the cells of a row's first line."""
        return self.lines(row)[0]

    def lines(self, row: Row) -> list[list[str]]:
        """Return the cells of each line."""
        image = [row["path"], row["status"], *(str(row.get(n, "")) for n in ("width", "height"))]
        error = [text or "" for text in error_fields(row).values()]
        boxes = [
            [one["label"], str(one["class_id"]), f"{one['score']:.6f}", *map(str, one["box"])]
            + ([str(one.get("track") or "")] if self.tracks else [])
            for one in row.get("detections", ())
        ]
        return [[*image, *box, *error] for box in boxes or [[""] * (8 if self.tracks else 7)]]

    def schema(self, pyarrow: Any) -> Any:
        """See `RowTable`."""
        box = pyarrow.struct(
            [
                ("label", pyarrow.string()),
                ("class_id", pyarrow.int32()),
                ("score", pyarrow.float32()),
                ("box", pyarrow.list_(pyarrow.float32())),
            ]
            + ([("track", pyarrow.int64())] if self.tracks else [])
        )
        texts = ("path", "status", "error_kind", "error_message", "path_base64", "sorted_to")
        return pyarrow.schema(
            [(name, pyarrow.string()) for name in texts]
            + [(name, pyarrow.int32()) for name in ("width", "height")]
            + [("detections", pyarrow.list_(box))]
        )

    def flat(self, row: Row) -> Row:
        """See `RowTable`."""
        return row | error_fields(row)


@dataclass(frozen=True)
class FrameTable:
    """The table of a run with videos: frame and time after the path; images have neither.

    Attributes:
        inner: The capability's own table.
    """

    inner: RowTable

    def header(self) -> list[str]:
        """See `RowTable`."""
        path, *rest = self.inner.header()
        return [path, "frame", "time", *rest]

    def cells(self, row: Row) -> list[str]:
        """See `RowTable`."""
        return self.lines(row)[0]

    def lines(self, row: Row) -> list[list[str]]:
        """Return the cells of each line."""
        several = getattr(self.inner, "lines", None)
        lines = several(row) if several is not None else [self.inner.cells(row)]
        place = [str(row.get("frame", "")), f"{row['time']:.3f}" if "time" in row else ""]
        return [[path, *place, *rest] for path, *rest in lines]

    def schema(self, pyarrow: Any) -> Any:
        """See `RowTable`."""
        inner = self.inner.schema(pyarrow)
        path, *rest = [inner.field(number) for number in range(len(inner.names))]
        frame = pyarrow.field("frame", pyarrow.int64())
        return pyarrow.schema([path, frame, pyarrow.field("time", pyarrow.float64()), *rest])

    def flat(self, row: Row) -> Row:
        """See `RowTable`."""
        place = {"frame": row.get("frame"), "time": row.get("time")}
        return self.inner.flat(row) | place


@dataclass(frozen=True)
class FlatTable:
    """Path, status, columns of the capability's own, error: one line for each row.

    Attributes:
        columns: The capability's own.
        paths: The fields with a path that a row begins with.
    """

    columns: Sequence[Column]
    paths: Sequence[str] = ("path",)

    def header(self) -> list[str]:
        """See `RowTable`."""
        own = [column.name for column in self.columns]
        return [*self.paths, "status", *own, "error_kind", "error_message"]

    def cells(self, row: Row) -> list[str]:
        """See `RowTable`."""
        flat = self.flat(row)
        kinds = {column.name: column.kind for column in self.columns}
        return [_cell(flat[name], kinds.get(name, "text")) for name in self.header()]

    def schema(self, pyarrow: Any) -> Any:
        """See `RowTable`."""
        types = {
            "text": pyarrow.string(),
            "integer": pyarrow.int64(),
            "number": pyarrow.float64(),
        }
        kinds = {column.name: column.kind for column in self.columns}
        names = (*self.header(), *(f"{name}_base64" for name in self.paths))
        return pyarrow.schema([(name, types[kinds.get(name, "text")]) for name in names])

    def flat(self, row: Row) -> Row:
        """See `RowTable`."""
        own = {column.name: column.value(row) for column in self.columns}
        exact = (f"{name}_base64" for name in self.paths)
        rest = {name: row.get(name) for name in (*self.paths, "status", *exact)}
        return rest | own | error_fields(row)


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if kind == "number" else str(value)
