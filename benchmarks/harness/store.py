"""Results of jobs, in a CSV file from which a killed run resumes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.harness.table import Columns, Row, read_table, row_writer, write_table


class Job(NamedTuple):
    """One unit of work: a model on a data set, with a seed."""

    dataset: str
    seed: int
    model: str

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}, seed {self.seed}"


@dataclass(frozen=True)
class Schema:
    """The columns of a file of results, and the number of rows of a job."""

    columns: Columns
    rows_per_job: int


def read(path: Path, schema: Schema) -> dict[Job, list[Row]]:
    """Return the rows of each finished job.

    A killed run can leave a job with too few rows; such a job is skipped.

    Raises
    ------
    ValueError
        If the file has other columns, or a job more than once.
    """
    jobs: dict[Job, list[Row]] = defaultdict(list)
    for row in read_table(path, schema.columns):
        jobs[Job(row["dataset"], row["seed"], row["model"])].append(row)
    for job, rows in jobs.items():
        if len(rows) > schema.rows_per_job:
            raise ValueError(f"{path} has {job} more than once.")
    return {job: rows for job, rows in jobs.items() if len(rows) == schema.rows_per_job}


def read_rows(path: Path, schema: Schema) -> list[Row]:
    """Return the rows of all finished jobs."""
    return [row for rows in read(path, schema).values() for row in rows]


class ResultsFile:
    """A file of results to which whole jobs are appended.

    Opening it drops the rows of unfinished jobs. Only one process may write to it.

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
        finished = read(path, schema) if path.exists() else {}
        self.done = set(finished)
        write_table(path, schema.columns, (row for rows in finished.values() for row in rows))
        self._file = path.open("a", newline="")
        self._writer = row_writer(self._file, schema.columns)

    def append(self, rows: Iterable[Row]) -> None:
        """Append the rows of a finished job."""
        self._writer.writerows(rows)
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
