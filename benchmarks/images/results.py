"""Files of results of a run on images."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from benchmarks.harness.store import Job, Schema


class Curve(tuple[float, ...]):
    """Numbers in one cell of a CSV file."""

    def __str__(self) -> str:
        return " ".join(f"{value:.6g}" for value in self)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the numbers of a cell."""
        return cls(float(word) for word in text.split())


SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "model": str,
        "preset": str,
        "epochs": Curve.parse,
        "valid_auc": Curve.parse,
        "test_auc": Curve.parse,
        "probe_epochs": Curve.parse,
        "probe_auc": Curve.parse,
        "fit_seconds": float,
    },
    rows_per_job=1,
)
# of the short trainings by which rates are chosen; no test image is used
SEARCH_SCHEMA = Schema(
    {
        name: convert
        for name, convert in SCHEMA.columns.items()
        if name not in ("test_auc", "probe_epochs", "probe_auc")
    },
    rows_per_job=1,
)


def projections_of(results: Path) -> Path:
    """Return the directory of the projected features of a run."""
    return results.with_name(f"{results.stem}_projections")


def file_name(job: Job) -> str:
    """Return the name of the files of a job, without the suffix."""
    return f"{job.dataset}-{job.seed}-{job.model.replace(':', '-')}"


def projection_file(directory: Path, job: Job) -> Path:
    """Return the file of the projected features of a job."""
    return directory / f"{file_name(job)}.npz"


def search_file(results: Path) -> Path:
    """Return the file of the short trainings by which the rates of a run are chosen."""
    return results.with_name(f"{results.stem}_search.csv")
