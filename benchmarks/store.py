"""Results of jobs, in a CSV file that outlives a killed run."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TextIO

Row = dict[str, Any]


class Job(NamedTuple):
    """What a worker does in one go: a model on a data set, with a seed."""

    dataset: str
    seed: int
    model: str

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}, seed {self.seed}"


@dataclass(frozen=True)
class Schema:
    """Columns of a file of results, what reads their cells, and how many rows a job has."""

    columns: Mapping[str, Callable[[str], Any]]
    rows_per_job: int


def read(path: Path, schema: Schema) -> dict[Job, list[Row]]:
    """Return the rows of each finished job.

    A killed run leaves a job that has not all of its rows, or a line without its end;
    both are passed over.

    Raises
    ------
    ValueError
        If the file has other columns, or a job more than once.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader([line for line in file if line.endswith("\n")])
    if reader.fieldnames is not None and list(reader.fieldnames) != list(schema.columns):
        raise ValueError(f"{path} has the columns {reader.fieldnames}, not {list(schema.columns)}.")
    jobs: dict[Job, list[Row]] = defaultdict(list)
    for line in reader:
        row = {name: convert(line[name]) for name, convert in schema.columns.items()}
        jobs[Job(row["dataset"], row["seed"], row["model"])].append(row)
    for job, rows in jobs.items():
        if len(rows) > schema.rows_per_job:
            raise ValueError(f"{path} has {job} more than once.")
    return {job: rows for job, rows in jobs.items() if len(rows) == schema.rows_per_job}


def read_rows(path: Path, schema: Schema) -> list[Row]:
    """Return the rows of all finished jobs."""
    return [row for rows in read(path, schema).values() for row in rows]


class ResultsFile:
    """A file of results that grows by a whole job at a time.

    Opening it drops what a killed run left unfinished. One process writes to it.

    Parameters
    ----------
    path : Path
    schema : Schema

    Attributes
    ----------
    done : set of Job
        The jobs that were finished when the file was opened.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        finished = read(path, schema) if path.exists() else {}
        self.done = set(finished)
        # the old file stays until the new one is whole
        successor = path.with_name(path.name + ".new")
        with successor.open("w", newline="") as file:
            writer = _writer(file, schema)
            writer.writeheader()
            for rows in finished.values():
                writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(successor, path)
        self._file = path.open("a", newline="")
        self._writer = _writer(self._file, schema)

    def append(self, rows: Iterable[Row]) -> None:
        """Add the rows of a finished job."""
        self._writer.writerows(rows)
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _writer(file: TextIO, schema: Schema) -> csv.DictWriter[str]:
    return csv.DictWriter(file, list(schema.columns), lineterminator="\n")
