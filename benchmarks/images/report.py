"""Report a run on images as Markdown, curves and projections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.harness.markdown import markdown_table
from benchmarks.harness.table import Row
from benchmarks.images.figures import by_model, save_curves, save_projections
from benchmarks.images.results import SCHEMA, SEARCH_SCHEMA

_EXPLANATION = """\
ROC AUC on the test images, mean and standard deviation over seeds: of the last epoch, and of the
epoch that is best on the validation images; by how much the last epoch of compositional training,
at the rates that are best on the validation images, is ahead, over the seeds that both models have;
of a logistic regression on the features of the network after an epoch. Seconds are of training,
without scoring, on one thread or one GPU. Models are sorted by the last epoch. Curves of test
images are for information only: nothing is chosen by them.
"""
_SEARCH_EXPLANATION = """\
AUC on validation images after a short training, by which the rates of a model are chosen; the
best in bold.
"""
_REFERENCE = "compositional"


def write(
    rows: list[Row], projections: Path, directory: Path, searched: Iterable[Row] = ()
) -> None:
    """Write ``report.md`` and, for each set, curves and projections as PNG files.

    Parameters
    ----------
    rows : list of Row
        Of the finished jobs, which need not be all jobs.
    projections : Path
        The directory of the projected features.
    directory : Path
    searched : iterable of Row
        Of the search for rates, if there was one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    results = pd.DataFrame(rows, columns=list(SCHEMA.columns))
    results["last"] = [curve[-1] for curve in results["test_auc"]]
    results["best_valid"] = results["valid_auc"].map(max)
    results["chosen"] = [
        test[int(np.argmax(valid))]
        for valid, test in zip(results["valid_auc"], results["test_auc"], strict=True)
    ]
    text = f"# Images\n\n{_EXPLANATION}"
    for (preset, dataset), of_set in results.groupby(["preset", "dataset"]):
        text += f"\n## {dataset}, {preset}\n\n{_table(of_set)}"
        save_curves(of_set, directory / f"{dataset}_curves.png")
        save_projections(of_set, projections, directory / f"{dataset}_features.png")
    text += _search_text(searched)
    (directory / "report.md").write_text(text)


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
        for model, rows in by_model(results)
    ]
    return markdown_table(header, lines)


def _reference(results: pd.DataFrame) -> pd.DataFrame | None:
    """Return the rows of compositional training, at its best rates in validation, if any."""
    rows = results[results["model"].map(_name) == _REFERENCE]
    if rows.empty:
        return None
    best = rows.groupby("model")["best_valid"].mean().idxmax()
    return rows[rows["model"] == best]


def _name(model: str) -> str:
    return model.partition(":")[0]


def _lead(reference: pd.DataFrame | None, rows: pd.DataFrame) -> str:
    if reference is None or reference["model"].iloc[0] == rows["model"].iloc[0]:
        return ""
    pairs = reference.merge(rows, on="seed")
    return _mean_and_deviation(pairs["last_x"] - pairs["last_y"], "+.4f")


def _probes(rows: pd.DataFrame, epoch: float) -> pd.Series:
    """Return the AUC of the probes after an epoch, of the rows that have it."""
    pairs = zip(rows["probe_epochs"], rows["probe_auc"], strict=True)
    probes = [dict(zip(epochs, aucs, strict=True)) for epochs, aucs in pairs]
    return pd.Series([probe[epoch] for probe in probes if epoch in probe], dtype=float)


def _mean_and_deviation(values: pd.Series, form: str = ".4f") -> str:
    if values.empty:
        return ""
    mean = format(values.mean(), form)
    return mean if len(values) < 2 else f"{mean} ± {values.std():.4f}"


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
