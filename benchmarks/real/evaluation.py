"""Cross-validation on a table."""

from __future__ import annotations

from time import perf_counter

from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.harness.measure import fit
from benchmarks.harness.store import Job, Schema
from benchmarks.harness.table import Row
from benchmarks.models import frames
from benchmarks.real import tables

N_FOLDS = 3
SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "fold": int,
        "model": str,
        "auc": float,
        "brier": float,
        "log_loss": float,
        "fit_seconds": float,
        "predict_seconds": float,
    },
    rows_per_job=N_FOLDS,
)


def evaluate(job: Job) -> list[Row]:
    """Cross-validate a model; the folds depend only on the table and the seed."""
    table = tables.load(job.dataset)
    X, y = table.X, table.target
    rows = []
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=job.seed).split(X, y)
    for fold, (train, test) in enumerate(folds):
        model, fit_seconds = fit(job, frames.create, X.iloc[train], y[train])
        start = perf_counter()
        p = model.predict_proba(X.iloc[test])[:, 1]
        predict_seconds = perf_counter() - start
        scores = {
            "auc": float(roc_auc_score(y[test], p)),
            "brier": float(brier_score_loss(y[test], p)),
            "log_loss": float(log_loss(y[test], p)),
            "fit_seconds": round(fit_seconds, 4),
            "predict_seconds": round(predict_seconds, 4),
        }
        rows.append(job._asdict() | {"fold": fold} | scores)
    return rows
