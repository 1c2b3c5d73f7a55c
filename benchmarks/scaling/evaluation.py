"""Time a fit of a given size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import GridSearchCV

from benchmarks.harness.measure import peak_rss_mib
from benchmarks.harness.store import Job, Schema
from benchmarks.harness.table import Row
from benchmarks.models.strategies import PLAIN_PERCEPTRON
from skdam import CompositionalAUCClassifier

SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "model": str,
        "seconds": float,
        "data_mib": float,
        "peak_rss_mib": float,
    },
    rows_per_job=1,
)
MODELS: dict[str, dict[str, Any]] = {"default": {}, "plain": dict(PLAIN_PERCEPTRON)}
_CHUNK = 100_000
GRID = {
    "lr": [0.03, 0.1, 0.3],
    "weight_decay": [1e-5, 1e-4],
    "module__dropout": [0.0, 0.1],
    "sampling_rate": [0.3, 0.5],
}
N_FOLDS = 3


@dataclass(frozen=True)
class Size:
    """The size of a problem."""

    rows: int = 20_000
    features: int = 30
    members: int = 8
    batch: int = 1024


AXES: dict[str, tuple[Size, list[int], list[str]]] = {
    "rows": (Size(), [10**4, 10**5, 10**6, 10**7], ["default", "plain"]),
    "features": (Size(), [10, 30, 100, 300, 1000], ["default"]),
    "members": (Size(), [2, 4, 8, 16, 32], ["default"]),
    "batch": (Size(rows=100_000), [64, 128, 256, 512, 1024, 2048, 4096, 8192], ["default"]),
    "n_jobs": (Size(rows=1_000, features=20), [1, 2], ["default"]),
}


def make_data(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a float32 table with about 10 % positives, made in chunks to save memory."""
    rng = np.random.default_rng(seed)
    X = np.empty((rows, features), dtype=np.float32)
    for start in range(0, rows, _CHUNK):
        part = X[start : start + _CHUNK]
        rng.standard_normal(out=part, dtype=np.float32)
    return X, (X[:, 0] + X[:, 1] > 1.8).astype(np.int8)


def evaluate(job: Job) -> list[Row]:
    """Time a fit. Memory is that of the whole process, so each job needs a new one."""
    axis, _, number = job.dataset.partition("=")
    size, value = AXES[axis][0], int(number)
    clf = CompositionalAUCClassifier(max_epochs=1, random_state=job.seed, **MODELS[job.model])
    estimator: Any = clf
    if axis == "n_jobs":
        clf.set_params(max_epochs="auto")
        estimator = GridSearchCV(clf, GRID, scoring="roc_auc", cv=N_FOLDS, n_jobs=value)
    else:
        size = replace(size, **{axis: value})
        clf.set_params(batch_size=size.batch)
        if "n_members" not in MODELS[job.model]:
            clf.set_params(n_members=size.members)
    X, y = make_data(size.rows, size.features, job.seed)
    estimator.fit(X[:200], y[:200])
    start = perf_counter()
    estimator.fit(X, y)
    seconds = perf_counter() - start
    # this process would wait for the idle processes of joblib
    get_reusable_executor().shutdown()
    measured = {
        "seconds": round(seconds, 3),
        "data_mib": round(X.nbytes / 2**20, 1),
        "peak_rss_mib": round(peak_rss_mib(), 1),
    }
    return [job._asdict() | measured]
