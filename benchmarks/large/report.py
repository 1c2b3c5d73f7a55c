"""Report a run on larger tables."""

from __future__ import annotations

import pandas as pd

from benchmarks.harness.markdown import markdown_table
from benchmarks.large import data


def summary(results: pd.DataFrame) -> str:
    """Return a Markdown table for each data set, the models sorted by mean AUC over seeds."""
    text = "# Larger tables\n\nMeans over seeds, of one CPU thread; memory is the largest peak of\n"
    text += "a process, Python, its libraries and the data included.\n"
    for dataset in sorted(results["dataset"].unique(), key=data.n_rows):
        groups = results[results["dataset"] == dataset].groupby("model")
        table = groups[["auc", "fit_seconds", "score_seconds"]].mean()
        table["peak"] = groups["peak_rss_mib"].max()
        table["seeds"] = groups["seed"].nunique()
        lines = [
            [
                str(name),
                f"{row['auc']:.4f}",
                f"{row['fit_seconds']:.2f}",
                f"{row['score_seconds']:.2f}",
                f"{row['peak']:.0f}",
                f"{row['seeds']:.0f}",
            ]
            for name, row in table.sort_values("auc", ascending=False, kind="stable").iterrows()
        ]
        header = ["model", "AUC", "fit s", "score s", "peak MiB", "seeds"]
        text += f"\n## {dataset}, {data.n_rows(dataset)} rows\n\n"
        text += markdown_table(header, lines)
    return text
