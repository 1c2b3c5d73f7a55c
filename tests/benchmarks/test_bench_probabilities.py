"""The benchmark of probabilities and out-of-bag scores."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.harness.store import Job
from benchmarks.keel import data as keel
from benchmarks.models import frames
from benchmarks.probabilities.__main__ import main
from benchmarks.probabilities.evaluation import SCHEMA, evaluate
from benchmarks.probabilities.report import summary
from benchmarks.real import sources


def _raw():
    rng = np.random.default_rng(0)
    x = rng.normal(size=90)
    state = np.where(x + rng.normal(size=90) > 1, "bad", "good")
    return pd.DataFrame({"x": x, "colour": rng.choice(["red", "green"], 90), "state": state})


@pytest.fixture(autouse=True)
def two_tables(in_process, monkeypatch):
    """A real table of 90 rows, and KEEL sets of 60 rows."""
    X = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] > 1).astype(int)
    source = sources.Source("first", "pandas", "", _raw, "state", "bad", True)
    for name in list(sources.SOURCES):
        monkeypatch.delitem(sources.SOURCES, name)
    monkeypatch.setitem(sources.SOURCES, "first", source)
    monkeypatch.setattr(keel, "names", lambda: ["a", "b", "c", "d"])
    monkeypatch.setattr(keel, "load", lambda name: (X, y))


def test_groups_run_and_resume(tmp_path):
    path = tmp_path / "results.csv"
    command = ["run", "--models", "logistic-regression", "--out", str(path)]
    assert main(command) == 0
    results = pd.read_csv(path)
    assert list(results) == list(SCHEMA.columns)
    # of the held-out sets b and c every second one
    assert list(results["dataset"].unique()) == ["first", "b"]
    assert len(results) == 2 * 3
    assert main(command) == 0
    pd.testing.assert_frame_equal(pd.read_csv(path), results)


def test_scores_are_those_of_the_folds():
    model = "logistic-regression"
    rows = evaluate(Job("b", 3, model))
    X, y = keel.load("b")
    X = pd.DataFrame(X, columns=["x0", "x1"])
    folds = StratifiedKFold(3, shuffle=True, random_state=3).split(X, y)
    for row, (train, test) in zip(rows, folds, strict=True):
        p = frames.create(model, 3).fit(X.iloc[train], y[train]).predict_proba(X.iloc[test])[:, 1]
        assert row["brier"] == brier_score_loss(y[test], p)
        assert row["auc"] == roc_auc_score(y[test], p)
        assert np.isnan(row["oob_auc"])


def test_the_out_of_bag_score_is_recorded():
    (row, *_) = evaluate(Job("first", 0, "skdam"))
    assert 0 <= row["oob_auc"] <= 1


def _row(dataset, model, oob_auc, brier):
    scores = {"oob_auc": oob_auc, "auc": 0.8, "brier": brier, "log_loss": 0.3, "fit_seconds": 2.0}
    return {"dataset": dataset, "seed": 0, "fold": 0, "model": model} | scores


def test_report():
    rows = [
        _row("first", "ours", 0.83, 0.1),
        _row("first", "theirs", np.nan, 0.2),
        _row("b", "ours", 0.79, 0.05),
        _row("b", "theirs", np.nan, 0.04),
        # no such table of the other
        _row("c", "ours", 0.80, 0.9),
    ]
    text = summary(pd.DataFrame(rows))
    assert "## Real tables, 1 tables" in text
    assert "| ours | 0.1000 | 0.3000 | 0.8000 | 2 |" in text
    assert "## KEEL, 1 tables" in text
    assert "| theirs | 0.0400 |" in text
    assert "| all | 3 | +0.0067 | +0.0000 | 0.0170 |" in text
    assert "| real tables | 1 | +0.0300 | +0.0300 | 0.0000 |" in text
    assert "| b | 0.7900 | 0.8000 | -0.0100 |" in text


def test_report_is_written(tmp_path):
    path = tmp_path / "results.csv"
    main(["run", "--models", "logistic-regression", "--sets", "first", "--out", str(path)])
    assert main(["report", str(path), "--out", str(tmp_path / "r.md")]) == 0
    assert "| logistic-regression |" in (tmp_path / "r.md").read_text()
