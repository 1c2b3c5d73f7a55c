"""What a run on images says, as Markdown, curves and projections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.report import markdown_table
from benchmarks.store import Job, Row, Schema

_EXPLANATION = """\
ROC AUC on the test images, mean and standard deviation over seeds: of the last epoch, and of the
epoch that is best on the validation images; by how much the last epoch of compositional training
is ahead, over the seeds that both have; of a logistic regression on the features that the network
has after an epoch; seconds of training, without scoring, of one thread or one GPU. By the last
epoch. Curves of test images are for information: nothing is chosen by them.
"""
_SEARCH_EXPLANATION = """\
AUC on validation images after a short training, by which the rates of a model are chosen; the
best in bold.
"""
_REFERENCE = "compositional"


class Curve(tuple[float, ...]):
    """Numbers that a cell of a CSV file holds."""

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
# of short trainings that rates are chosen by: test images play no part
SEARCH_SCHEMA = Schema(
    {
        name: convert
        for name, convert in SCHEMA.columns.items()
        if name not in ("test_auc", "probe_epochs", "probe_auc")
    },
    rows_per_job=1,
)


def projections_of(results: Path) -> Path:
    """Return the directory for the projected features of a run."""
    return results.with_name(f"{results.stem}_projections")


def file_name(job: Job) -> str:
    """Return the name, without its end, of files of a job."""
    return f"{job.dataset}-{job.seed}-{job.model.replace(':', '-')}"


def projection_file(directory: Path, job: Job) -> Path:
    """Return the file for the projected features of a job."""
    return directory / f"{file_name(job)}.npz"


def write(
    rows: list[Row], projections: Path, directory: Path, searched: Iterable[Row] = ()
) -> None:
    """Write ``report.md`` and, for each set, curves and projections as PNG files.

    Parameters
    ----------
    rows : list of Row
        Of the jobs that have ended, be they all or not.
    projections : Path
        The directory for projected features.
    directory : Path
    searched : iterable of Row
        Of the search for rates, if there was one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    results = pd.DataFrame(rows, columns=list(SCHEMA.columns))
    results["last"] = [curve[-1] for curve in results["test_auc"]]
    results["chosen"] = [
        test[int(np.argmax(valid))]
        for valid, test in zip(results["valid_auc"], results["test_auc"], strict=True)
    ]
    text = f"# Images\n\n{_EXPLANATION}"
    for (preset, dataset), of_set in results.groupby(["preset", "dataset"]):
        text += f"\n## {dataset}, {preset}\n\n{_table(of_set)}"
        _save_curves(of_set, directory / f"{dataset}_curves.png")
        _save_projections(of_set, projections, directory / f"{dataset}_features.png")
    text += _search_text(searched)
    (directory / "report.md").write_text(text)


def _by_model(results: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    means = results.groupby("model")["last"].mean().sort_values(ascending=False, kind="stable")
    for model in means.index:
        yield str(model), results[results["model"] == model]


def _table(results: pd.DataFrame) -> str:
    reference = _reference(results)
    probed = sorted({epoch for epochs in results["probe_epochs"] for epoch in epochs})
    header = ["model", "last epoch", "chosen epoch", f"{_REFERENCE} ahead by"]
    header += [*(f"probe, epoch {epoch:g}" for epoch in probed), "fit s", "seeds"]
    lines = [
        [
            model,
            *(_mean_and_deviation(rows[name]) for name in ("last", "chosen")),
            _lead(reference, rows),
            *(_mean_and_deviation(_probes(rows, epoch)) for epoch in probed),
            f"{rows['fit_seconds'].mean():.1f}",
            str(len(rows)),
        ]
        for model, rows in _by_model(results)
    ]
    return markdown_table(header, lines)


def _reference(results: pd.DataFrame) -> pd.DataFrame | None:
    """Return the rows of compositional training, if it has been trained at one rate only."""
    rows = results[results["model"].map(_name) == _REFERENCE]
    return rows if rows["model"].nunique() == 1 else None


def _name(model: str) -> str:
    return model.partition(":")[0]


def _lead(reference: pd.DataFrame | None, rows: pd.DataFrame) -> str:
    if reference is None or reference["model"].iloc[0] == rows["model"].iloc[0]:
        return ""
    pairs = reference.merge(rows, on="seed")
    return _mean_and_deviation(pairs["last_x"] - pairs["last_y"], "+.4f")


def _probes(rows: pd.DataFrame, epoch: float) -> pd.Series:
    """Return the AUC of the probes after an epoch."""
    pairs = zip(rows["probe_epochs"], rows["probe_auc"], strict=True)
    probes = [dict(zip(epochs, aucs, strict=True)) for epochs, aucs in pairs]
    return pd.Series([probe[epoch] for probe in probes if epoch in probe], dtype=float)


def _mean_and_deviation(values: pd.Series, form: str = ".4f") -> str:
    if values.empty:
        return ""
    mean = format(values.mean(), form)
    return mean if len(values) < 2 else f"{mean} ± {values.std():.4f}"


def _save_curves(results: pd.DataFrame, path: Path) -> None:
    figure = Figure(figsize=(13, 5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (column, images) in zip(
        panels, (("valid_auc", "validation"), ("test_auc", "test")), strict=True
    ):
        for index, (model, rows) in enumerate(_by_model(results)):
            curves = np.array(list(rows[column]))
            style = "-" if index < 10 else "--"  # matplotlib has ten colours
            axes.plot(rows["epochs"].iloc[0], curves.mean(0), style, label=model)
        axes.set(xlabel="epochs", ylabel=f"ROC AUC on {images} images, mean over seeds")
    panels[1].legend(fontsize=8)
    figure.savefig(path, dpi=120)


def _search_text(searched: Iterable[Row]) -> str:
    results = pd.DataFrame(searched, columns=list(SEARCH_SCHEMA.columns))
    if results.empty:
        return ""
    results["last"] = [curve[-1] for curve in results["valid_auc"]]
    results["name"] = results["model"].map(_name)
    text = f"\n## Search for rates\n\n{_SEARCH_EXPLANATION}"
    for dataset, of_set in results.groupby("dataset"):
        lines = [
            [name, ", ".join(_tried(rows))] for name, rows in of_set.groupby("name", sort=False)
        ]
        text += f"\n{markdown_table([f'{dataset}: model', 'rates tried'], lines)}"
    return text


def _tried(rows: pd.DataFrame) -> Iterator[str]:
    best = rows["last"].idxmax()
    for index, row in rows.sort_values("model").iterrows():
        rates = row["model"].partition(":")[2].replace(":", " ")
        cell = f"{rates}: {row['last']:.4f}"
        yield f"**{cell}**" if index == best else cell


def _save_projections(results: pd.DataFrame, projections: Path, path: Path) -> None:
    seed = results["seed"].min()
    rows = results[results["seed"] == seed]
    files = {
        model: projection_file(projections, Job(of_model["dataset"].iloc[0], seed, model))
        for model, of_model in _by_model(rows)
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
        panel.set_title(model, fontsize=9)
    panels[0].legend(fontsize=7)
    figure.suptitle(f"features of test images, two principal components, seed {seed}", fontsize=10)
    figure.savefig(path, dpi=100)
