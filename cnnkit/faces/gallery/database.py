"""The SQLite file of a gallery: made in one step, and opened as if a stranger had sent it.

Before any row is read, the file must be a regular one of a bounded size, with a gallery's
application id and version, in rollback-journal form, pass SQLite's own check, and hold exactly
the tables below: no view, trigger, index or column more. A rollback journal, unlike a write-ahead
log, leaves one file, and nothing beside it.

What does lie beside it is looked at as well before SQLite is: SQLite would believe a write-ahead
log there, and would delete the file that the end of a rollback journal calls its super-journal. A
killed process of ours leaves a journal without one, which is rolled back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import stat
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from cnnkit.errors import GalleryError, OutputError, UsageError, broken_rule

APPLICATION_ID = 0x636E6667  # "cnfg"
SCHEMA_VERSION = 1
MODE = 0o600
MAX_FILE_BYTES = 8 << 30
# No value, and no row, of a gallery is larger.
MAX_ROW_BYTES = 1 << 17
# How long to wait for other processes that read or write.
WAIT_SECONDS = 60.0
HEADER_BYTES = 100
# With these a rollback journal begins, and ends where it names a super-journal.
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
JOURNAL_HEADER_BYTES = 28

SCHEMA = """
CREATE TABLE gallery (
    id INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL,
    derivation TEXT,
    settings BLOB NOT NULL
) STRICT;
CREATE TABLE person (
    id INTEGER PRIMARY KEY,
    token BLOB NOT NULL UNIQUE,
    name BLOB NOT NULL
) STRICT;
CREATE TABLE photo (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES person (id),
    content BLOB NOT NULL UNIQUE,
    vector BLOB NOT NULL,
    path BLOB
) STRICT;
CREATE INDEX photo_of_person ON photo (person);
"""
OUR_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"


def create_database(path: Path, fill: Callable[[sqlite3.Connection], None]) -> bool:
    """Make a new file, readable by its owner only, that is there whole or not at all.

    Args:
        path: Where.
        fill: Writes the first rows.

    Returns:
        Whether it was made: False where another process was faster.

    Raises:
        OutputError: The output cannot be written.
    """
    if not path.parent.is_dir():
        raise OutputError(broken_rule(str(path), "be in an existing folder", path.parent))
    left = [beside for beside in _beside(path) if os.path.lexists(beside)]
    if left and not os.path.lexists(path):
        raise GalleryError(_foreign(left[0], "a file that belongs to no gallery"))
    part = path.with_name(f".cnnkit-{secrets.token_hex(8)}.part")
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, MODE))
        with contextlib.closing(_connected(part)) as connection, named_errors(path):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.executescript(f"BEGIN;{SCHEMA}")
            fill(connection)
            connection.execute("COMMIT")
        os.link(part, path)  # never replaces what is there
        return True
    except FileExistsError:
        return False
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def open_database(path: Path) -> sqlite3.Connection:
    """Open a gallery's file after all checks.

    Raises:
        UsageError: There is none.
        GalleryError: It is no gallery, or one that must not be opened.
    """
    page_bytes = _check_file(path)
    _check_beside(path, page_bytes)
    with named_errors(path):
        connection = _connected(path)
        try:
            _check_content(connection, path)
            _check_file(path)  # a journal may have brought another beginning back
        except BaseException:  # whatever it is, nobody else could close it
            connection.close()
            raise
        return connection


def _connected(path: Path) -> sqlite3.Connection:
    # As SQLite itself follows links, so that what lies beside the file is what was looked at.
    quoted = urllib.parse.quote(os.fsencode(os.path.realpath(path)))
    connection = sqlite3.connect(
        f"file:{quoted}?mode=rw",
        timeout=WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # `GalleryFile` lets one in at a time
        uri=True,
    )
    # The few texts of a gallery are ASCII: others are somebody else's, and equal to none of ours.
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)  # which VACUUM needs
    for pragma in (
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "mmap_size = 0",
        "secure_delete = ON",
        "foreign_keys = ON",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _beside(path: Path) -> tuple[Path, Path, Path]:
    """Return where SQLite looks for a journal, a write-ahead log and its index."""
    real = os.path.realpath(path)
    return Path(f"{real}-journal"), Path(f"{real}-wal"), Path(f"{real}-shm")


def _foreign(path: Path, received: str) -> str:
    fix = f"Remove or rename {path} if you do not know where it comes from."
    return broken_rule(str(path), "be a rollback journal of cnnkit's, or not there", received, fix)


def _check_beside(path: Path, page_bytes: int) -> None:
    """Refuse a gallery with files beside it that SQLite must not be shown.

    Args:
        path: The gallery.
        page_bytes: Size of one of its pages in bytes.
    """
    journal, *logs = _beside(path)
    for log in logs:
        if os.path.lexists(log):
            raise GalleryError(_foreign(log, "a write-ahead log, which no gallery has"))
    try:
        if not stat.S_ISREG(os.lstat(journal).st_mode):
            raise GalleryError(_foreign(journal, "a link, a folder or a device"))
        with journal.open("rb") as file:
            header = file.read(JOURNAL_HEADER_BYTES)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(JOURNAL_MAGIC)))
            end = file.read(len(JOURNAL_MAGIC))
    except FileNotFoundError:
        return
    except OSError as error:
        raise GalleryError(f"{journal} cannot be read: {error.strerror or error}.") from error
    _check_journal(journal, header, end, size, page_bytes)


def _check_journal(journal: Path, header: bytes, end: bytes, size: int, page_bytes: int) -> None:
    """Refuse a rollback journal, by its first and last bytes, that is not the gallery's own."""
    if size > MAX_FILE_BYTES:
        raise GalleryError(_foreign(journal, f"{size:,} bytes"))
    if size > len(JOURNAL_MAGIC) and end == JOURNAL_MAGIC:
        raise GalleryError(_foreign(journal, "a journal that names another file"))
    if not header.startswith(JOURNAL_MAGIC) or len(header) < JOURNAL_HEADER_BYTES:
        return  # SQLite rolls nothing back from it
    pages, page = int.from_bytes(header[16:20], "big"), int.from_bytes(header[24:28], "big")
    if page != page_bytes:
        raise GalleryError(_foreign(journal, "another file's journal"))
    if pages * page > MAX_FILE_BYTES:
        raise GalleryError(_foreign(journal, f"a journal of {pages * page:,} bytes"))


def _check_file(path: Path) -> int:
    """Refuse what is no gallery by its first bytes, which never change in one.

    Returns:
        How many bytes a page has.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise GalleryError(broken_rule(str(path), "be a file", "a folder or a device"))
            header = file.read(HEADER_BYTES)
    except FileNotFoundError as error:
        fix = "Make one with: cnnkit gallery enroll GALLERY PEOPLE/."
        raise UsageError(broken_rule(str(path), "be a gallery", "no such file", fix)) from error
    except OSError as error:
        raise GalleryError(f"{path} cannot be read: {error.strerror or error}.") from error
    if status.st_size > MAX_FILE_BYTES:
        rule = f"have at most {MAX_FILE_BYTES >> 30} GiB"
        raise GalleryError(broken_rule(str(path), rule, f"{status.st_size:,} bytes"))
    if reason := _not_a_gallery(header):
        raise GalleryError(broken_rule(str(path), "be a face gallery of cnnkit", reason))
    version = int.from_bytes(header[60:64], "big")
    if version != SCHEMA_VERSION:
        fix = "Install a newer cnnkit." if version > SCHEMA_VERSION else ""
        rule = f"be a gallery of version {SCHEMA_VERSION}"
        raise GalleryError(broken_rule(str(path), rule, version, fix))
    page_bytes = int.from_bytes(header[16:18], "big")
    return 65_536 if page_bytes == 1 else page_bytes


def _not_a_gallery(header: bytes) -> str:
    """Return what speaks against a gallery in a file's first bytes, or ""."""
    if len(header) < HEADER_BYTES:
        return f"a file of {len(header)} bytes"
    if not header.startswith(b"SQLite format 3\0"):
        return "another kind of file"
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        return "another SQLite database"
    if header[18:20] != b"\x01\x01":
        return "a database with a write-ahead log, which no gallery has"
    return ""


def _check_content(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute(OUR_OBJECTS).fetchmany(100)
    if found != _expected_objects():
        rule = "hold the tables of a gallery and nothing else"
        known = {entry[1] for entry in _expected_objects()}
        names = ", ".join(sorted(repr(o[1])[:40] for o in found if o[1] not in known)[:5])
        raise GalleryError(broken_rule(str(path), rule, names or "other columns or fewer tables"))
    [verdict] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        reason = " ".join(str(verdict).split())[:100]
        raise GalleryError(f"{path} is damaged or was changed: {reason}.")


def _expected_objects() -> list[tuple[str, str, str, str | None]]:
    """Return what `OUR_OBJECTS` gives in a new gallery."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return connection.execute(OUR_OBJECTS).fetchall()


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says into one line about the file.

    Raises:
        UsageError: It was closed.
        GalleryError: It is damaged, in use, or holds what no gallery has.
        OutputError: The output cannot be written.
    """
    try:
        yield
    except UnicodeDecodeError as error:  # of SQLite's own message, which quotes the file
        raise GalleryError(f"{path} is damaged or was changed: no text of ours.") from error
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in reason:
            rule, fix = "be open", "Open it again with `Gallery.load`."
            raise UsageError(broken_rule(str(path), rule, "a closed gallery", fix)) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            message = f"{path} is in use by another process. Try again when it has ended."
            raise GalleryError(message) from error
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
            raise OutputError(f"{path} cannot be written: {reason}.") from error
        if code == sqlite3.SQLITE_CANTOPEN:
            raise GalleryError(f"{path} cannot be opened: {reason}.") from error
        raise GalleryError(f"{path} is damaged or was changed: {reason}.") from error


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One change: all of it is kept, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # Ctrl-C too: half a change must never stay
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """One look: whatever others write meanwhile is not seen."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("COMMIT")
