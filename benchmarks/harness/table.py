"""CSV files with given columns."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from benchmarks.harness.files import replacing

Row = dict[str, Any]
# the names of the columns, and what converts the text of a cell
Columns = Mapping[str, Callable[[str], Any]]


def read_table(path: Path, columns: Columns) -> list[Row]:
    """Return the rows of a file. A last line without a line break is incomplete and skipped.

    Raises
    ------
    ValueError
        If the file has other columns.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader([line for line in file if line.endswith("\n")])
    if reader.fieldnames is not None and list(reader.fieldnames) != list(columns):
        raise ValueError(f"{path} has the columns {reader.fieldnames}, not {list(columns)}.")
    return [{name: convert(line[name]) for name, convert in columns.items()} for line in reader]


def write_table(path: Path, columns: Columns, rows: Iterable[Row]) -> None:
    """Replace a file by one with these rows."""
    with replacing(path, "w", newline="") as file:
        writer = row_writer(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def row_writer(file: IO[str], columns: Columns) -> csv.DictWriter[str]:
    """Return what writes rows to an open file."""
    return csv.DictWriter(file, list(columns), lineterminator="\n")
