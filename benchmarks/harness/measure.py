"""Measure a model: AUC, seconds, memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.harness.store import Job
from benchmarks.harness.table import Row

# Linux counts kibibytes, macOS bytes
_RSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10

# makes an estimator from the name of a model and a seed
Create = Callable[[str, int], Any]


def peak_rss_mib() -> float:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_PER_MIB


def fit(job: Job, create: Create, X: Any, y: Any) -> tuple[Any, float]:
    """Return a job's model, fitted, and the seconds it took."""
    _warm_up(create, job.model)
    model = create(job.model, job.seed)
    start = perf_counter()
    model.fit(X, y)
    return model, perf_counter() - start


def fit_and_score(
    job: Job, create: Create, X_train: Any, y_train: Any, X_test: Any, y_test: Any
) -> Row:
    """Return the test AUC of a job's model, and the seconds of fitting and scoring."""
    model, fit_seconds = fit(job, create, X_train, y_train)
    start = perf_counter()
    if hasattr(model, "decision_function"):
        scores = model.decision_function(X_test)
    else:
        scores = model.predict_proba(X_test)[:, 1]
    score_seconds = perf_counter() - start
    return {
        "auc": float(roc_auc_score(y_test, scores)),
        "fit_seconds": round(fit_seconds, 4),
        "score_seconds": round(score_seconds, 4),
    }


@cache
def _warm_up(create: Create, name: str) -> None:
    # the first fit of a library imports and compiles, which is not the model's time
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    create(name, 0).fit(X, (X[:, 0] > np.sort(X[:, 0])[-21]).astype(int))
