"""Cross-validate a model on a real or a KEEL table: its probabilities and out-of-bag score."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.harness.measure import fit
from benchmarks.harness.packages import can_run
from benchmarks.harness.store import Job, Schema
from benchmarks.harness.table import Row
from benchmarks.keel import data as keel
from benchmarks.models import frames
from benchmarks.real import tables as real

N_FOLDS = 3
# larger real tables would take most of the time
_MAX_ROWS = 21_000
SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "fold": int,
        "model": str,
        "oob_auc": float,
        "auc": float,
        "brier": float,
        "log_loss": float,
        "fit_seconds": float,
    },
    rows_per_job=N_FOLDS,
)


def costs_of(selection: Iterable[str]) -> dict[str, int]:
    """Return the rows of each table of these names, and of the groups "real" and "keel".

    "real" are the installed tables of at most 21,000 rows, "keel" every second held-out set.
    """
    names = [name for group in selection for name in _members(group)]
    return {name: len(_load(name)[1]) for name in names}


def is_real(name: str) -> bool:
    """Return whether this is a table of the benchmark on real tables."""
    return name in real.SOURCES


def evaluate(job: Job) -> list[Row]:
    """Cross-validate a model; the folds depend only on the table and the seed."""
    X, y = _load(job.dataset)
    rows = []
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=job.seed).split(X, y)
    for fold, (train, test) in enumerate(folds):
        model, fit_seconds = fit(job, frames.create, X.iloc[train], y[train])
        p = model.predict_proba(X.iloc[test])[:, 1]
        scores = {
            "oob_auc": float(getattr(model, "oob_score_", math.nan)),
            "auc": float(roc_auc_score(y[test], p)),
            "brier": float(brier_score_loss(y[test], p)),
            "log_loss": float(log_loss(y[test], p)),
            "fit_seconds": round(fit_seconds, 4),
        }
        rows.append(job._asdict() | {"fold": fold} | scores)
    return rows


def _members(group: str) -> list[str]:
    if group == "keel":
        return keel.select(["held-out"])[::2]
    if group != "real":
        return [group]
    installed = [name for name, source in real.SOURCES.items() if can_run(name, source.package)]
    return [name for name in installed if len(real.load(name).y) <= _MAX_ROWS]


def _load(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    if is_real(name):
        table = real.load(name)
        return table.X, table.target
    X, y = keel.load(name)
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]), y
