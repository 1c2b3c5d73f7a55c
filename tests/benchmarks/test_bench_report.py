"""The report of a comparison over data sets."""

import pandas as pd
import pytest

from benchmarks.harness import report


class TestReport:
    @pytest.fixture
    def results(self):
        aucs = {
            "one": {"a": 0.9, "b": 0.8, "c": 0.9},
            "two": {"a": 0.8, "b": 0.7, "c": 0.85},
            "three": {"a": 0.7, "b": 0.6, "c": 0.5},
            "not of all": {"a": 0.1, "b": 0.9},
        }
        return pd.DataFrame(
            [
                {
                    "dataset": dataset,
                    "seed": 0,
                    "fold": fold,
                    "model": model,
                    "auc": auc + deviation,
                    "fit_seconds": 1.0 + fold,
                    "score_seconds": 0.1,
                }
                for dataset, row in aucs.items()
                for model, auc in row.items()
                for fold, deviation in enumerate([-0.02, 0.02])
            ]
        )

    def test_numbers_computed_by_hand(self, results, tmp_path):
        report.write(results, None, "a", tmp_path)
        text = (tmp_path / "report.md").read_text()
        assert "3 sets, seeds 0." in text
        assert "1 pairs of a set and a seed are left out" in text
        lines = [line for line in text.splitlines() if line[:4] in ("| a ", "| b ", "| c ")]
        a, c, b = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
        assert a == ["a", "0.8000", "0.8000", "1.50", "", "", "", "", "1.500", "9"]
        # all 3 differences have one sign: p = 2 / 2**3, twice that after Holm
        expected = ["3/0/0", "+0.1000", "+0.1000 to +0.1000", "0.5"]
        assert b == ["b", "0.7000", "0.7000", "2.67", *expected, "1.500", "9"]
        assert c[:6] == ["c", "0.7500", "0.8500", "1.83", "1/1/1", "+0.0500"]
        assert c[7] == "1"
        assert (tmp_path / "critical_difference.png").stat().st_size > 0
        per_set = pd.read_csv(tmp_path / "per_set.csv", index_col="dataset")
        assert per_set.loc["two"].to_dict() == {"a": 0.8, "b": 0.7, "c": 0.85}

    def test_the_report_is_deterministic(self, results, tmp_path):
        shuffled = results.sample(frac=1, random_state=0)
        for rows, name in ((results, "first"), (shuffled, "second")):
            report.write(rows, None, "a", tmp_path / name)
        for name in ("report.md", "per_set.csv", "critical_difference.png"):
            first, second = (tmp_path / run / name for run in ("first", "second"))
            assert first.read_bytes() == second.read_bytes()

    def test_no_results_of_the_reference(self, results, tmp_path):
        with pytest.raises(ValueError, match="'skdam'"):
            report.write(results, None, "skdam", tmp_path)
