"""The benchmark on larger tables."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.large import data
from benchmarks.large.__main__ import main


def test_a_run_and_its_report(in_process, tmp_path):
    results, text = tmp_path / "large.csv", tmp_path / "large.md"
    command = ["run", "--models", "logistic-regression", "--sets", "breast-cancer"]
    assert main([*command, "--out", str(results)]) == 0
    main(["report", str(results), "--out", str(text)])
    (row,) = pd.read_csv(results).itertuples()
    assert row.auc > 0.98
    assert row.peak_rss_mib > 10
    assert f"| logistic-regression | {row.auc:.4f} |" in text.read_text()


def test_a_generated_table():
    X, y = data.load("synthetic-5000")
    again, _ = data.load("synthetic-5000")
    np.testing.assert_array_equal(X, again)
    assert X.shape == (5000, 30)
    assert y.sum() == 100
    assert np.isfinite(X).all()
    np.testing.assert_array_equal(X[:, 20:], X[:, 20:].round())


def test_names_of_tables():
    assert [data.n_rows(name) for name in data.NAMES] == [
        *(len(data.load(name)[1]) for name in data.NAMES[:2]),
        *(10_000, 100_000, 1_000_000),
    ]
    with pytest.raises(ValueError, match="'digits-9' is none of"):
        data.n_rows("digits-9")
