"""What is measured of a model."""

from __future__ import annotations

import resource
import sys
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import models
from benchmarks.store import Job, Row

# Linux counts kibibytes, macOS bytes
_RSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


def peak_rss_mib() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_PER_MIB


def fit_and_score(job: Job, X_train: Any, y_train: Any, X_test: Any, y_test: Any) -> Row:
    """Return the test AUC of a job's model, and the seconds that fit and scores took."""
    _warm_up(job.model)
    model = models.create(job.model, job.seed)
    start = perf_counter()
    model.fit(X_train, y_train)
    fitted = perf_counter()
    if hasattr(model, "decision_function"):
        scores = model.decision_function(X_test)
    else:
        scores = model.predict_proba(X_test)[:, 1]
    scored = perf_counter()
    return {
        "auc": float(roc_auc_score(y_test, scores)),
        "fit_seconds": round(fitted - start, 4),
        "score_seconds": round(scored - fitted, 4),
    }


@cache
def _warm_up(name: str) -> None:
    # a library's first fit imports and compiles, on an account that is not the model's
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    models.create(name, 0).fit(X, (X[:, 0] > np.sort(X[:, 0])[-21]).astype(int))
