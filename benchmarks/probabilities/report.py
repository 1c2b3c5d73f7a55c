"""Report a run on probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.harness import comparison
from benchmarks.harness.markdown import markdown_table
from benchmarks.probabilities.evaluation import is_real

_EXPLANATION = """\
Means over the tables, of which each is the mean over its seeds and folds. A table and a seed
count if every model has them.
"""


def summary(results: pd.DataFrame) -> str:
    """Return the losses of probabilities by model, and the error of the out-of-bag ROC AUC."""
    text = f"# Probabilities and out-of-bag scores\n\n{_EXPLANATION}"
    of_real = results["dataset"].map(is_real)
    for title, part in {"Real tables": results[of_real], "KEEL": results[~of_real]}.items():
        rows = comparison.common_rows(part)
        if len(rows):
            text += f"\n## {title}, {rows['dataset'].nunique()} tables\n\n{_models(rows)}"
    scored = results.dropna(subset="oob_auc")
    if len(scored):
        text += f"\n## Out-of-bag ROC AUC less that on new data\n\n{_out_of_bag(scored)}"
    return text


def _models(rows: pd.DataFrame) -> str:
    means = rows.groupby(["model", "dataset"]).mean(numeric_only=True).groupby("model")
    table = means[["auc", "brier", "log_loss"]].mean()
    table["seconds"] = means["fit_seconds"].sum()
    lines = [
        [
            str(name),
            *(f"{row[name_of]:.4f}" for name_of in ("brier", "log_loss", "auc")),
            f"{row['seconds']:.0f}",
        ]
        for name, row in table.sort_values("brier", kind="stable").iterrows()
    ]
    return markdown_table(["model", "Brier", "log loss", "AUC", "total fit s"], lines)


def _out_of_bag(scored: pd.DataFrame) -> str:
    means = scored.groupby("dataset")[["oob_auc", "auc"]].mean()
    means["error"] = means["oob_auc"] - means["auc"]
    of_real = np.array([is_real(str(name)) for name in means.index])
    parts = {"all": means, "real tables": means[of_real], "KEEL": means[~of_real]}
    lines = [
        [
            title,
            str(len(part)),
            f"{part['error'].mean():+.4f}",
            f"{part['error'].median():+.4f}",
            f"{part['error'].std(ddof=0):.4f}",
        ]
        for title, part in parts.items()
        if len(part)
    ]
    text = markdown_table(["tables", "number", "mean", "median", "deviation"], lines)
    each = [
        [
            str(name),
            *(f"{row[column]:.4f}" for column in ("oob_auc", "auc")),
            f"{row['error']:+.4f}",
        ]
        for name, row in means.sort_values("error", kind="stable").iterrows()
    ]
    return text + "\n" + markdown_table(["table", "out-of-bag", "new data", "difference"], each)
