"""Cross-validation on a KEEL set."""

from __future__ import annotations

from sklearn.model_selection import StratifiedKFold

from benchmarks.harness.measure import fit_and_score
from benchmarks.harness.store import Job, Schema
from benchmarks.harness.table import Row
from benchmarks.keel import data
from benchmarks.models import catalogue

N_FOLDS = 5
SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "fold": int,
        "model": str,
        "auc": float,
        "fit_seconds": float,
        "score_seconds": float,
    },
    rows_per_job=N_FOLDS,
)


def evaluate(job: Job) -> list[Row]:
    """Cross-validate a model; the folds depend only on the set and the seed."""
    X, y = data.load(job.dataset)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=job.seed).split(X, y)
    create = catalogue.create
    return [
        job._asdict()
        | {"fold": fold}
        | fit_and_score(job, create, X[train], y[train], X[test], y[test])
        for fold, (train, test) in enumerate(folds)
    ]
