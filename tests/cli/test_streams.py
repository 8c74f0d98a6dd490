"""Standard streams that the caller has closed take no file's place, and hide no lost row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="streams are closed by the shell")


def run_closed(closed: str, arguments: str, folder: Path, environment: dict[str, str]):
    """Run ``cnnkit ARGUMENTS`` with streams closed as the shell words `closed` say."""
    line = f"{sys.executable} -m cnnkit {arguments} {closed}"
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("arguments", ["models list", "--help", "classify none -q"])
def test_rows_for_a_closed_output_are_an_error(
    tmp_path: Path, clean_environment, arguments: str
) -> None:
    done = run_closed(">&-", arguments, tmp_path, clean_environment)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("cnnkit: error: cannot write the output: standard output is closed.")


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_file_is_whole_where_streams_are_closed(
    tmp_path: Path, examples: Path, clean_environment, closed: str
) -> None:
    arguments = f"classify {examples / 'cat.jpg'} -o rows.jsonl"
    assert run_closed(closed, arguments, tmp_path, clean_environment).returncode == 0
    (row,) = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert row.startswith('{"path": ') and row.endswith("}")


def test_a_closed_input_is_an_empty_list(tmp_path: Path, clean_environment) -> None:
    done = run_closed("<&-", "classify -", tmp_path, clean_environment)
    assert done.returncode == 2 and "error: INPUT is required" in done.stderr


_PLACES = """
import os
from cnnkit.cli.streams import open_closed_streams
open_closed_streams()
print(os.open(os.devnull, os.O_RDONLY) > 2, file=open("said", "w"))
"""


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path, clean_environment) -> None:
    """What a library writes to standard error would lie among the rows."""
    (tmp_path / "places.py").write_text(_PLACES)
    line = f"{sys.executable} places.py <&- >&- 2>&-"
    subprocess.run(["sh", "-c", line], cwd=tmp_path, env=clean_environment, check=True)
    assert (tmp_path / "said").read_text() == "True\n"
