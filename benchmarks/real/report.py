"""Report a run on real tables."""

from __future__ import annotations

import pandas as pd

from benchmarks.harness import comparison
from benchmarks.harness.markdown import markdown_table
from benchmarks.real import tables

_EXPLANATION = """\
Means over the tables, of which each is the mean over its seeds and folds; a table and a seed count
if every model has them. Ranks are of the AUC, 1 is the best. Seconds are of one fold and one CPU
thread.
"""


def summary(results: pd.DataFrame) -> str:
    """Return how the models compare on all tables, on those of each purpose, and on each."""
    rows = comparison.common_rows(results)
    seeds = ", ".join(map(str, sorted(rows["seed"].unique())))
    text = f"# Real tables\n\nSeeds {seeds}.\n\n{_EXPLANATION}"
    for_tuning = rows["dataset"].map(tables.is_for_tuning)
    parts = {"All": rows, "Judged": rows[~for_tuning], "Tuning": rows[for_tuning]}
    for title, part in parts.items():
        if len(part):
            text += f"\n## {title}, {part['dataset'].nunique()} tables\n\n{_models(part)}"
    return text + f"\n## AUC of each table\n\n{_per_table(results)}"


def _models(rows: pd.DataFrame) -> str:
    ranks = comparison.mean_ranks(comparison.mean_auc(rows))
    means = rows.groupby(["model", "dataset"]).mean(numeric_only=True)
    lines = []
    for model in ranks.index:
        of_model = means.loc[model]
        lines.append(
            [
                model,
                f"{of_model['auc'].mean():.4f}",
                f"{ranks[model]:.2f}",
                f"{of_model['brier'].mean():.4f}",
                f"{of_model['log_loss'].mean():.4f}",
                f"{of_model['fit_seconds'].median():.2f}",
                f"{of_model['fit_seconds'].sum():.0f}",
                f"{of_model['predict_seconds'].median():.3f}",
            ]
        )
    header = ["model", "mean AUC", "mean rank", "Brier", "log loss"]
    return markdown_table([*header, "median fit s", "total fit s", "median predict s"], lines)


def _per_table(results: pd.DataFrame) -> str:
    means = comparison.mean_auc(results)
    order = means.mean().sort_values(ascending=False, kind="stable").index
    lines = [
        [str(name), *("" if pd.isna(auc) else f"{auc:.4f}" for auc in row)]
        for name, row in means[order].iterrows()
    ]
    return markdown_table(["table", *order], lines)
