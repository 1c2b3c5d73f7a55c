r"""How time and memory of a fit grow with rows, features, members and batches.

From the repository root, on an otherwise idle machine::

    python -m benchmarks.scaling run --out scaling.csv
    python -m benchmarks.scaling report scaling.csv --out-dir scaling

An epoch of each, in a process and with a thread of its own, after a small fit that is not timed.
``run`` goes on where a killed run of the same file stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from matplotlib.figure import Figure
from sklearn.model_selection import GridSearchCV, ParameterGrid

from benchmarks.measure import peak_rss_mib
from benchmarks.models import PLAIN_NETWORK
from benchmarks.report import markdown_table
from benchmarks.runner import comma_list, command_line, report_to_directory, run_command
from benchmarks.store import Job, Row, Schema, read_rows
from skdam import CompositionalAUCClassifier

SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "model": str,
        "seconds": float,
        "data_mib": float,
        "peak_rss_mib": float,
    },
    rows_per_job=1,
)
MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {"n_members": 1} | {f"module__{name}": value for name, value in PLAIN_NETWORK.items()},
}
_CHUNK = 100_000
_GRID = {
    "lr": [0.03, 0.1, 0.3],
    "weight_decay": [1e-5, 1e-4],
    "module__dropout": [0.0, 0.1],
    "sampling_rate": ["auto", 0.5],
}
_N_FOLDS = 3


@dataclass(frozen=True)
class Size:
    """What is trained."""

    rows: int = 20_000
    features: int = 30
    members: int = 8
    batch: int = 1024


AXES: dict[str, tuple[Size, list[int], list[str]]] = {
    "rows": (Size(), [10**4, 10**5, 10**6, 10**7], ["default", "plain"]),
    "features": (Size(), [10, 30, 100, 300, 1000], ["default"]),
    "members": (Size(), [2, 4, 8, 16, 32], ["default"]),
    "batch": (Size(rows=100_000), [64, 128, 256, 512, 1024, 2048, 4096, 8192], ["default"]),
    "n_jobs": (Size(rows=1_000, features=20), [1, 2], ["default"]),
}


def make_data(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a float32 table with some 10 % positives, made without a second copy of it."""
    rng = np.random.default_rng(seed)
    X = np.empty((rows, features), dtype=np.float32)
    for start in range(0, rows, _CHUNK):
        part = X[start : start + _CHUNK]
        rng.standard_normal(out=part, dtype=np.float32)
    return X, (X[:, 0] + X[:, 1] > 1.8).astype(np.int8)


def evaluate(job: Job) -> list[Row]:
    """Time a fit; the worker is the job's own."""
    axis, _, number = job.dataset.partition("=")
    size, value = AXES[axis][0], int(number)
    clf = CompositionalAUCClassifier(max_epochs=1, random_state=job.seed, **MODELS[job.model])
    estimator: Any = clf
    if axis == "n_jobs":
        clf.set_params(max_epochs="auto")
        estimator = GridSearchCV(clf, _GRID, scoring="roc_auc", cv=_N_FOLDS, n_jobs=value)
    else:
        size = replace(size, **{axis: value})
        clf.set_params(batch_size=size.batch)
        if "n_members" not in MODELS[job.model]:
            clf.set_params(n_members=size.members)
    X, y = make_data(size.rows, size.features, job.seed)
    estimator.fit(X[:200], y[:200])
    start = perf_counter()
    estimator.fit(X, y)
    seconds = perf_counter() - start
    # joblib's processes wait for more to do, and this one would wait for them
    get_reusable_executor().shutdown()
    measured = {
        "seconds": round(seconds, 3),
        "data_mib": round(X.nbytes / 2**20, 1),
        "peak_rss_mib": round(peak_rss_mib(), 1),
    }
    return [job._asdict() | measured]


def summary(results: pd.DataFrame) -> str:
    """Return a Markdown table for each axis."""
    text = "# Scaling\n\nAn epoch of training, in one process with one CPU thread. Memory is that\n"
    text += "of the process at its peak, Python and its libraries included, less the table.\n"
    for (axis, model), rows in results.groupby(["axis", "model"], sort=False):
        size = AXES[str(axis)][0]
        if axis == "n_jobs":
            text += f"\n## GridSearchCV, {len(ParameterGrid(_GRID))} candidates, {_N_FOLDS} folds, "
            text += f"{size.rows} x {size.features}, all epochs\n\n"
        else:
            others = {k: v for k, v in vars(size).items() if k != axis}
            fixed = ", ".join(f"{name} {value}" for name, value in others.items())
            text += f"\n## {axis}, {model} network ({fixed})\n\n"
        lines = []
        for row in rows.to_dict("records"):
            line = [f"{row['value']}", f"{row['seconds']:.2f}"]
            if axis == "rows":
                line.append(f"{row['seconds'] / row['value'] * 1e6:.2f}")
            if axis != "n_jobs":
                line.append(f"{row['peak_rss_mib'] - row['data_mib']:.0f}")
            lines.append(line)
        header = [str(axis), "seconds"]
        header += ["us a row"] if axis == "rows" else []
        header += ["MiB beyond the table"] if axis != "n_jobs" else []
        text += markdown_table(header, lines)
    return text


def plot(results: pd.DataFrame) -> Figure:
    """Return time, and memory beyond the table, along each axis."""
    axes = [axis for axis in AXES if axis != "n_jobs" and (results["axis"] == axis).any()]
    figure = Figure(figsize=(3.2 * len(axes), 5.2), layout="constrained")
    grid = figure.subplots(2, len(axes), squeeze=False, sharex="col")
    for column, axis in zip(grid.T, axes, strict=True):
        for model, rows in results[results["axis"] == axis].groupby("model", sort=False):
            column[0].semilogx(rows["value"], rows["seconds"], "o-", label=str(model))
            beyond = rows["peak_rss_mib"] - rows["data_mib"]
            column[1].semilogx(rows["value"], beyond, "o-", label=str(model))
        column[0].set_title(axis)
        if axis == "rows":
            column[0].set_yscale("log")
        else:
            column[0].set_ylim(bottom=0)
            values = sorted(set(results.loc[results["axis"] == axis, "value"]))
            column[1].set_xticks(values, values, fontsize=7)
            column[1].minorticks_off()
        column[1].set_ylim(bottom=0)
        column[1].set_xlabel(axis)
    grid[0, 0].set_ylabel("seconds an epoch")
    grid[1, 0].set_ylabel("MiB beyond the table")
    grid[0, 0].legend()
    return figure


def _table(path: Path) -> pd.DataFrame:
    rows = []
    for row in read_rows(path, SCHEMA):
        axis, _, value = row["dataset"].partition("=")
        rows.append(row | {"axis": axis, "value": int(value)})
    results = pd.DataFrame(rows)
    keys = ["axis", "model", "value"]
    results = results.groupby(keys, as_index=False).median(numeric_only=True)
    order = results["axis"].map({axis: place for place, axis in enumerate(AXES)})
    return results.assign(order=order).sort_values(["order", "model", "value"])


def _run(arguments: argparse.Namespace) -> int:
    status = 0
    for axis in arguments.axes:
        if axis not in AXES:
            raise ValueError(f"{axis!r} is no axis; there are {', '.join(AXES)}.")
        _, values, names = AXES[axis]
        wanted = [value for value in values if value <= arguments.most]
        costs = {f"{axis}={value}": float(value) for value in wanted}
        status |= run_command(arguments, names, costs, evaluate, SCHEMA, fresh=True)
    return status


def _report(arguments: argparse.Namespace) -> int:
    results = _table(arguments.results)
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    (arguments.out_dir / "scaling.md").write_text(summary(results))
    plot(results).savefig(arguments.out_dir / "scaling.png", dpi=120)
    return 0


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--axes", type=comma_list, default=list(AXES), help=f"comma list of {', '.join(AXES)}"
    )
    parser.add_argument("--most", type=float, default=np.inf, help="largest value on any axis")
    parser.set_defaults(command=_run)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    return command_line(__doc__, argv, run=_add_run, report=report_to_directory(_report))


if __name__ == "__main__":
    sys.exit(main())
