"""The file of speeds, to which each run appends."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness.table import Columns, Row, read_table, write_table

ROOT = Path(__file__).parents[2]


def _number(text: str) -> float | None:
    return float(text) if text else None


# a row is a ratio, or seconds if ``by`` is empty; ``first`` is the call before the repeats
COLUMNS: Columns = {
    "date": str,
    "commit": str,
    "torch": str,
    "threads": int,
    "cpu": str,
    "measured": str,
    "network": str,
    "device": str,
    "rows": int,
    "repeats": int,
    "name": str,
    "by": str,
    "first": _number,
    "median": float,
    "lower_quartile": float,
    "upper_quartile": float,
    "fastest": float,
}


@dataclass(frozen=True)
class Measurement:
    """Seconds of several functions, called in turn.

    Parameters
    ----------
    measured : str
        "epochs", "scores", "fits" or "imports".
    network, device : str
    rows : int
        Of the data.
    seconds : mapping of str to ndarray of shape (1 + repeats,)
        As of :func:`benchmarks.harness.timing.interleave`.
    pairs : sequence of pairs of str
        The ratios to report: the first name by the second. Names without seconds are skipped.
    """

    measured: str
    network: str
    device: str
    rows: int
    seconds: Mapping[str, np.ndarray]
    pairs: Sequence[tuple[str, str]]

    def to_rows(self) -> list[Row]:
        """Return a row for the seconds of each name, and for each ratio within a repeat."""
        rows = [
            self._row(name, "", times[1:], times[1:].min(), first=_rounded(times[0]))
            for name, times in self.seconds.items()
        ]
        for name, by in self.pairs:
            if name in self.seconds and by in self.seconds:
                times, others = self.seconds[name][1:], self.seconds[by][1:]
                rows.append(self._row(name, by, times / others, times.min() / others.min()))
        return rows

    def _row(
        self, name: str, by: str, values: np.ndarray, fastest: float, first: float | None = None
    ) -> Row:
        lower, median, upper = np.quantile(values, [0.25, 0.5, 0.75])
        return {
            "measured": self.measured,
            "network": self.network,
            "device": self.device,
            "rows": self.rows,
            "repeats": len(values),
            "name": name,
            "by": by,
            "first": first,
            "median": _rounded(median),
            "lower_quartile": _rounded(lower),
            "upper_quartile": _rounded(upper),
            "fastest": _rounded(fastest),
        }


def append(path: Path, measurements: Iterable[Measurement]) -> list[Row]:
    """Append the rows of a run to the file, which may not exist yet, and return them.

    Raises
    ------
    ValueError
        If the file has other columns.
    """
    run = _run()
    rows = [run | row for measurement in measurements for row in measurement.to_rows()]
    write_table(path, COLUMNS, [*(read(path) if path.exists() else []), *rows])
    return rows


def read(path: Path) -> list[Row]:
    """Return all rows of the file."""
    return read_table(path, COLUMNS)


def last_runs(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of the last run of each measurement, network, device and number of rows."""
    runs: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("measured", "network", "device", "rows"))
        run = runs.setdefault(key, [])
        if run and run[-1]["date"] != row["date"]:
            run.clear()
        run.append(row)
    return list(runs.values())


def commit_of(checkout: Path) -> str:
    """Return the commit of a checkout, with "-dirty" if its ``skdam/`` was changed since."""
    commit = _git(checkout, "rev-parse", "--short", "HEAD")
    if commit.returncode:
        return "unknown"
    changed = _git(checkout, "diff", "--quiet", "HEAD", "--", "skdam").returncode
    return commit.stdout.strip() + ("-dirty" if changed else "")


def _git(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True)


def n_threads() -> int:
    """Return the number of threads of ``OMP_NUM_THREADS``, by default 1."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def _run() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit_of(ROOT),
        "torch": torch.__version__,
        "threads": n_threads(),
        "cpu": _cpu(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
