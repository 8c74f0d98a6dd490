"""Galleries that a stranger made: refused with a reason, or read without harm."""

from __future__ import annotations

import os
import sqlite3

import numpy as np
import pytest

from cnnkit.errors import CnnkitError, GalleryError
from cnnkit.faces.gallery import GalleryFile
from cnnkit.faces.gallery.database import MAX_ROW_BYTES
from cnnkit.faces.gallery.records import GallerySettings
from cnnkit.faces.gallery.sealing import KeyDerivation
from tests.faces.gallery.people import DIMENSIONS, make, secret, vector


def look(path, passphrase=None):
    """Read everything that a gallery has."""
    with GalleryFile.open(path, passphrase) as gallery:
        return gallery.people(), gallery.photos(), gallery.index()


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def change(path, *statements, values=()):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.create_function("flipped", 2, flipped)
    for statement in statements:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE VIEW extra AS SELECT load_extension('x')", "extra"),
        ("CREATE TABLE extra (a)", "extra"),
        ("CREATE TRIGGER extra AFTER INSERT ON photo BEGIN DELETE FROM person; END", "extra"),
        ("CREATE INDEX extra ON photo (vector)", "extra"),
        ("ALTER TABLE photo ADD COLUMN more TEXT", "other columns"),
        ("ALTER TABLE photo ADD COLUMN m TEXT AS (hex(vector))", "other columns"),
        ("DROP INDEX photo_of_person", "fewer tables"),
    ],
)
def test_other_tables_than_ours(tmp_path, statement, name):
    path = make(tmp_path / "g")
    change(path, statement)
    with pytest.raises(GalleryError, match=f"nothing else.*{name}"):
        look(path)


def test_a_view_in_the_place_of_a_table(tmp_path):
    path = make(tmp_path / "g")
    change(
        path,
        "PRAGMA foreign_keys = OFF",
        "ALTER TABLE photo RENAME TO hidden",
        "CREATE VIEW photo AS SELECT * FROM hidden",
    )
    with pytest.raises(GalleryError, match="nothing else"):
        look(path)


def test_every_truncation(tmp_path):
    content = make(tmp_path / "g", 40, 3).read_bytes()
    cut = tmp_path / "cut"
    for length in [0, 1, 50, 99, 100, 512, 4095, 4096, *range(5000, len(content), 4097)]:
        cut.write_bytes(content[:length])
        with pytest.raises(GalleryError):
            look(cut)


def test_bytes_changed_at_random_never_do_harm(tmp_path):
    content = make(tmp_path / "g", 5, 2).read_bytes()
    generator = np.random.default_rng(0)
    changed = tmp_path / "changed"
    for _ in range(200):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 8):
            damaged[place] = generator.integers(0, 256)
        changed.write_bytes(damaged)
        changed.chmod(0o600)
        try:
            look(changed)
        except CnnkitError as error:
            assert "changed" in str(error) or "must" in str(error)  # with a reason


@pytest.mark.parametrize("kind", ["empty", "text", "other", "folder", "pipe", "log"])
def test_files_that_are_no_gallery(tmp_path, kind):
    path = tmp_path / "g"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    elif kind == "other":
        change(path, "CREATE TABLE photo (a)")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        change(make(path), "PRAGMA journal_mode = WAL")
    with pytest.raises(GalleryError, match=str(path)):
        look(path)


def test_a_newer_version(tmp_path):
    path = make(tmp_path / "g")
    change(path, "PRAGMA user_version = 2")
    with pytest.raises(GalleryError, match="newer cnnkit"):
        look(path)


def test_a_huge_blob(tmp_path):
    path = make(tmp_path / "g")
    change(path, "UPDATE photo SET vector = zeroblob(3000000) WHERE id = 2")
    with pytest.raises(GalleryError, match="too big"):
        look(path)
    change(path, f"UPDATE photo SET vector = zeroblob({MAX_ROW_BYTES // 2}) WHERE id = 2")
    with pytest.raises(GalleryError, match="a vector must have 512 bytes"):
        look(path)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE photo SET vector = x'00'", "a vector must have"),
        ("UPDATE photo SET person = 99", "belongs to nobody"),
        ("DELETE FROM person", "belongs to nobody"),
        ("UPDATE person SET name = x'1b5b33316d'", "a person's name"),
        ("UPDATE person SET name = x'ff'", "a person's name"),
        ("UPDATE person SET name = 'x'", "damaged or was changed"),
        ("UPDATE gallery SET settings = x'7b7d'", "settings"),
        ("UPDATE gallery SET settings = '[' ", "damaged or was changed"),
        ("UPDATE gallery SET uuid = x'00'", "first table"),
        ("DELETE FROM gallery", "first table"),
        ("UPDATE gallery SET derivation = '{}'", "passphrase"),
    ],
)
def test_rows_that_cnnkit_never_wrote(tmp_path, statement, reason):
    path = make(tmp_path / "g")
    change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '')",
        "PRAGMA writable_schema = RESET",
    )
    change(path, statement)
    change(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE type = 'table'",
    )
    with pytest.raises(CnnkitError, match=reason):
        look(path)


def test_vectors_without_numbers(tmp_path):
    path = make(tmp_path / "g")
    bad = np.full(DIMENSIONS, np.nan, "<f4").tobytes()
    change(path, "UPDATE photo SET vector = ? WHERE id = 3", values=(bad,))
    with pytest.raises(GalleryError, match="finite"):
        look(path)


SOUND = (
    b'{"embedder": {"name": "a", "identity": "b", "alignment": "c", "dimensions": 4}, '
    b'"threshold": 0.6, "calibration": {"far": 0.1}}'
)


def test_sound_settings_are_read():
    assert GallerySettings.from_bytes(SOUND).calibration["far"] == 0.1


@pytest.mark.parametrize(
    "content",
    [
        SOUND.replace(b": 4", b": 99999999999"),
        SOUND.replace(b": 4", b": 4.5"),
        SOUND.replace(b": 4", b": true"),
        SOUND.replace(b'"a"', b'"\\u001b[31m"'),
        SOUND.replace(b'"a"', b"7"),
        SOUND.replace(b"0.6", b"1e999"),
        SOUND.replace(b"0.6", b"-1"),
        SOUND.replace(b"0.6", b'"near"'),
        SOUND.replace(b"0.1", b'"few"'),
        SOUND.replace(b'{"far": 0.1}', b"[1]"),
        SOUND.replace(b'"threshold"', b'"threshhold"'),
        b"[]",
        b"{}",
        b"[" * 60_000,
        b'{"embedder": {}, "threshold": 0.6}',
    ],
)
def test_settings_that_break_their_rules(content):
    with pytest.raises(GalleryError):
        GallerySettings.from_bytes(content)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE photo SET vector = CAST(vector || x'00' AS BLOB) WHERE id = 1",
        "UPDATE photo SET vector = CAST(substr(vector, 1, 539) || x'0000' AS BLOB)",
        "UPDATE photo SET vector = flipped(vector, 0)",  # the nonce
        "UPDATE photo SET vector = flipped(vector, 100)",  # the ciphertext
        "UPDATE photo SET vector = flipped(vector, 539)",  # the tag
        # somebody else's face, another row's, another person's, another name
        "UPDATE photo SET vector = (SELECT vector FROM photo WHERE id = 5) WHERE id = 1",
        "UPDATE photo SET person = 2 WHERE id = 1",
        "UPDATE photo SET id = 77 WHERE id = 1",
        "UPDATE photo SET path = (SELECT path FROM photo WHERE id = 5) WHERE id = 1",
        "UPDATE person SET name = (SELECT name FROM person WHERE id = 2) WHERE id = 1",
        "UPDATE person SET token = x'00' WHERE id = 1",
        "UPDATE gallery SET settings = substr(settings, 1, 40)",
    ],
)
def test_a_tampered_seal(tmp_path, statement):
    path = make(tmp_path / "g", passphrase=secret())
    change(path, "PRAGMA foreign_keys = OFF", statement)
    with pytest.raises(GalleryError, match=r"changed|a vector must"):
        look(path, secret())


def test_a_row_of_another_gallery_with_the_same_passphrase(tmp_path):
    ours, theirs = (make(tmp_path / n, passphrase=secret()) for n in "ab")
    connection = sqlite3.connect(ours)
    connection.execute("ATTACH ? AS theirs", (str(theirs),))
    connection.execute("UPDATE photo SET vector = (SELECT vector FROM theirs.photo WHERE id = 1)")
    connection.commit()
    connection.close()
    with pytest.raises(GalleryError, match="changed"):
        look(ours, secret())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "x" * 600,
        '{"name": "none"}',
        '{"name": "scrypt", "salt": "zz", "cost": 1024}',
        f'{{"name": "scrypt", "salt": "{"00" * 16}", "cost": {1 << 40}}}',
        f'{{"name": "scrypt", "salt": "{"00" * 16}", "cost": 1000}}',
        f'{{"name": "scrypt", "salt": "{"00" * 16}", "cost": 1024, "parallel": 1000000}}',
        f'{{"name": "scrypt", "salt": "{"00" * 16}", "cost": true}}',
        f'{{"name": "scrypt", "salt": "{"00" * 16}", "cost": 1024, "more": 1}}',
        None,
    ],
)
def test_a_derivation_that_would_take_all_memory(text):
    with pytest.raises(GalleryError):
        KeyDerivation.from_text(text)


def test_a_journal_left_by_a_stranger_does_no_harm(tmp_path):
    path = make(tmp_path / "g")
    (tmp_path / "g-journal").write_bytes(os.urandom(10_000))
    people, photos, _ = look(path)
    assert len(people) == 3
    np.testing.assert_array_equal(photos[0].vector, vector(0, 0))


# --- files beside it -----------------------------------------------------------------------

MAGIC = bytes.fromhex("d9d505f920a163d7")


def hot_journal(path, other: str = "", page: int = 4096) -> bytes:
    """Return a journal that SQLite rolls back: the first page as it is, and a super-journal.

    The format is in https://www.sqlite.org/fileformat.html, section 3; the super-journal's
    record is that of `writeSuperJournal` in SQLite's pager.c.
    """
    content = path.read_bytes()
    numbers = (1, 7, len(content) // page, 512, page)
    header = MAGIC + b"".join(number.to_bytes(4, "big") for number in numbers)
    first = content[:page]
    check = (7 + sum(first[place] for place in range(page - 200, 0, -200))) & 0xFFFFFFFF
    record = (1).to_bytes(4, "big") + first + check.to_bytes(4, "big")
    if not other:
        return header.ljust(512, b"\0") + record
    name = other.encode()
    end = (1 << 30).to_bytes(4, "big") + name
    end += len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + MAGIC
    return header.ljust(512, b"\0") + record + end


def test_sqlite_does_delete_what_a_hot_journal_names(tmp_path):
    """So the next test is about a real danger: plain SQLite loses the file."""
    path = make(tmp_path / "g")
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "g-journal").write_bytes(hot_journal(path, str(tmp_path / "thesis.txt")))
    connection = sqlite3.connect(path)
    connection.execute("SELECT count(*) FROM person").fetchone()
    connection.close()
    assert not (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("through", ["file", "link"])
def test_a_journal_that_names_another_file_is_not_rolled_back(tmp_path, through):
    path = make(tmp_path / "g")
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "g-journal").write_bytes(hot_journal(path, str(tmp_path / "thesis.txt")))
    if through == "link":
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "other").symlink_to(path)
        path = tmp_path / "linked" / "other"
    before = (tmp_path / "g").read_bytes()
    with pytest.raises(GalleryError, match=r"names another file\. Remove or rename .*g-journal"):
        look(path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "g").read_bytes() == before and (tmp_path / "g-journal").exists()


def test_a_journal_of_our_own_kind_is_rolled_back(tmp_path):
    path = make(tmp_path / "g")
    (tmp_path / "g-journal").write_bytes(hot_journal(path))
    expected = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"half a change")
    look(path)
    assert path.read_bytes() == expected and not (tmp_path / "g-journal").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"x" * 600 + MAGIC,
        MAGIC + bytes(4) + bytes(4) + b"\xff\xff\xff\xff" + (512).to_bytes(4) + (4096).to_bytes(4),
        MAGIC + bytes(12) + (512).to_bytes(4) + (65_536).to_bytes(4),
    ],
)
def test_what_is_no_journal_of_this_gallery_is_refused(tmp_path, content):
    path = make(tmp_path / "g")
    (tmp_path / "g-journal").write_bytes(content)
    with pytest.raises(GalleryError, match=r"g-journal must be a rollback journal"):
        look(path)
    assert (tmp_path / "g-journal").read_bytes() == content


@pytest.mark.parametrize("name", ["g-wal", "g-shm"])
def test_a_log_beside_a_gallery_is_not_believed(tmp_path, name):
    path = make(tmp_path / "g")
    (tmp_path / name).write_bytes(b"x" * 100)
    with pytest.raises(GalleryError, match="a write-ahead log, which no gallery has"):
        look(path)
    assert (tmp_path / name).exists()


def test_a_link_in_the_journals_place_is_refused(tmp_path):
    path = make(tmp_path / "g")
    (tmp_path / "mine").write_bytes(hot_journal(path))
    (tmp_path / "g-journal").symlink_to(tmp_path / "mine")
    with pytest.raises(GalleryError, match="a link, a folder or a device"):
        look(path)
    assert (tmp_path / "mine").exists()


def test_a_new_gallery_does_not_inherit_a_journal(tmp_path):
    old = make(tmp_path / "old")
    (tmp_path / "g-journal").write_bytes(hot_journal(old))
    with pytest.raises(GalleryError, match="a file that belongs to no gallery"):
        make(tmp_path / "g")
    assert not (tmp_path / "g").exists()
