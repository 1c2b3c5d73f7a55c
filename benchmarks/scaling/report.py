"""Report how time and memory grow."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from sklearn.model_selection import ParameterGrid

from benchmarks.harness.markdown import markdown_table
from benchmarks.harness.store import read_rows
from benchmarks.scaling.evaluation import AXES, GRID, N_FOLDS, SCHEMA


def summary(results: pd.DataFrame) -> str:
    """Return a Markdown table for each axis."""
    text = "# Scaling\n\nAn epoch of training, in one process with one CPU thread. Memory is that\n"
    text += "of the process at its peak, Python and its libraries included, less the table.\n"
    for (axis, model), rows in results.groupby(["axis", "model"], sort=False):
        size = AXES[str(axis)][0]
        if axis == "n_jobs":
            text += f"\n## GridSearchCV, {len(ParameterGrid(GRID))} candidates, {N_FOLDS} folds, "
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
    """Plot time, and memory beyond the table, along each axis."""
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


def read_results(path: Path) -> pd.DataFrame:
    """Return the median over seeds of each axis, model and value, in the order of the axes."""
    rows = []
    for row in read_rows(path, SCHEMA):
        axis, _, value = row["dataset"].partition("=")
        rows.append(row | {"axis": axis, "value": int(value)})
    results = pd.DataFrame(rows)
    keys = ["axis", "model", "value"]
    results = results.groupby(keys, as_index=False).median(numeric_only=True)
    order = results["axis"].map({axis: index for index, axis in enumerate(AXES)})
    return results.assign(order=order).sort_values(["order", "model", "value"])
