"""Train and score on a table in a process of its own."""

from __future__ import annotations

from sklearn.model_selection import train_test_split

from benchmarks.harness.measure import fit_and_score, peak_rss_mib
from benchmarks.harness.store import Job, Schema
from benchmarks.harness.table import Row
from benchmarks.large import data
from benchmarks.models import catalogue

MAX_TEST_ROWS = 100_000
SCHEMA = Schema(
    {
        "dataset": str,
        "seed": int,
        "model": str,
        "auc": float,
        "fit_seconds": float,
        "score_seconds": float,
        "peak_rss_mib": int,
    },
    rows_per_job=1,
)


def evaluate(job: Job) -> list[Row]:
    """Train on a half of a table and score on the other half, or on a part of it.

    Memory is that of the whole process, so each job needs a new one.
    """
    X, y = data.load(job.dataset)
    X_train, X_test, y_train, y_test = train_test_split(
        X,
        y,
        train_size=len(y) - len(y) // 2,
        test_size=min(len(y) // 2, MAX_TEST_ROWS),
        stratify=y,
        random_state=job.seed,
    )
    scores = fit_and_score(job, catalogue.create, X_train, y_train, X_test, y_test)
    return [job._asdict() | scores | {"peak_rss_mib": int(peak_rss_mib())}]
