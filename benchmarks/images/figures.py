"""Plots of a run on images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.harness.store import Job
from benchmarks.images.results import projection_file


def by_model(results: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each model with its rows, the highest mean AUC of the last epoch first."""
    means = results.groupby("model")["last"].mean().sort_values(ascending=False, kind="stable")
    for model in means.index:
        yield str(model), results[results["model"] == model]


def save_curves(results: pd.DataFrame, path: Path) -> None:
    """Plot AUC against epochs for the models on a set."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (column, images) in zip(
        panels, (("valid_auc", "validation"), ("test_auc", "test")), strict=True
    ):
        for index, (model, rows) in enumerate(by_model(results)):
            pairs = zip(rows["epochs"], rows[column], strict=True)
            curves = pd.DataFrame([dict(zip(*pair, strict=True)) for pair in pairs])
            # over the epochs after which all seeds were scored
            mean = curves.dropna(axis=1).mean()
            style = "-" if index < 10 else "--"  # matplotlib has ten colours
            axes.plot(mean.index, mean, style, label=model)
        axes.set(xlabel="epochs", ylabel=f"ROC AUC on {images} images, mean over seeds")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, dpi=120)


def save_projections(results: pd.DataFrame, projections: Path, path: Path) -> None:
    """Plot the projected features of the models on a set, with the smallest seed."""
    seed = results["seed"].min()
    rows = results[results["seed"] == seed]
    files = {
        model: projection_file(projections, Job(of_model["dataset"].iloc[0], seed, model))
        for model, of_model in by_model(rows)
    }
    files = {model: file for model, file in files.items() if file.exists()}
    if not files:
        return
    n_columns = min(len(files), 4)
    n_rows = -(-len(files) // n_columns)
    figure = Figure(figsize=(3 * n_columns, 3 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, (model, file) in zip(panels, files.items(), strict=False):
        with np.load(file) as projection:
            X, y = projection["X"], projection["y"]
        for label, name in enumerate(("negative", "positive")):
            panel.scatter(*X[y == label].T, s=5, alpha=0.6, label=name)
        panel.set_title(model.replace(":", "\n"), fontsize=8)
    panels[0].legend(fontsize=7)
    figure.suptitle(f"features of test images, two principal components, seed {seed}", fontsize=10)
    figure.savefig(path, dpi=100)
