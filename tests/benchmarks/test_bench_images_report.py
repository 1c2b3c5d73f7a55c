"""The report of the benchmark on images."""

import pytest

pytest.importorskip("PIL.Image")

from benchmarks.images import report
from benchmarks.images.results import Curve


def row(model, seed, test_auc, valid_auc=(0.5, 0.8, 0.7), probes=((1, 0.4), (3, 0.55))):
    """Return a row of results of three epochs."""
    probe_epochs, probe_auc = zip(*probes, strict=True)
    curves = {"epochs": (1, 2, 3), "valid_auc": valid_auc, "test_auc": test_auc,
              "probe_epochs": probe_epochs, "probe_auc": probe_auc}  # fmt: skip
    return {
        "dataset": "chest-xray", "seed": seed, "model": model, "preset": "tiny", "fit_seconds": 1.0,
        **{name: Curve(values) for name, values in curves.items()},
    }  # fmt: skip


class TestReport:
    def report(self, tmp_path, rows, searched=()):
        report.write(rows, tmp_path / "absent", tmp_path, searched)
        return (tmp_path / "report.md").read_text()

    def test_the_chosen_epoch_is_the_best_in_validation_not_in_the_test(self, tmp_path):
        text = self.report(tmp_path, [row("auc", 0, (0.9, 0.6, 0.75))])
        assert "| auc | 0.7500 | 0.6000 |  | 0.4000 | 0.5500 | 1.0 | 1 |" in text
        assert "| probe, epoch 1 | probe, epoch 3 |" in text

    def test_the_lead_is_over_common_seeds(self, tmp_path):
        ours = [row("compositional:lr=0.1", seed, (0, 0, auc)) for seed, auc in enumerate(
            (0.9, 0.8, 0.1))]  # fmt: skip
        rivals = [row("auc:lr=0.3", 0, (0, 0, 0.7)), row("auc:lr=0.3", 1, (0, 0, 0.85))]
        text = self.report(tmp_path, ours + rivals)
        assert "| auc:lr=0.3 | 0.7750 ± 0.1061 | 0.0000 ± 0.0000 | +0.0750 ± 0.1768 |" in text

    def test_the_lead_is_that_of_the_rates_best_in_validation(self, tmp_path):
        # the other rates are better in the last validation, and in the test
        rows = [
            row("compositional:lr=0.1", 0, (0, 0, 0.9), valid_auc=(0.6, 0.7, 0.75)),
            row("compositional:lr=0.3", 0, (0, 0, 0.6), valid_auc=(0.6, 0.8, 0.7)),
            row("auc", 0, (0, 0, 0.5)),
        ]
        text = self.report(tmp_path, rows)
        assert "| auc | 0.5000 | 0.0000 | +0.1000 |" in text
        assert "| compositional:lr=0.1 | 0.9000 | 0.9000 | -0.3000 |" in text

    def test_a_missing_probe_is_an_empty_cell(self, tmp_path):
        rows = [row("auc", 0, (0, 0, 1)), row("focal", 0, (0, 0, 0.5), probes=((3, 0.6),))]
        text = self.report(tmp_path, rows)
        assert "| focal | 0.5000 | 0.0000 |  |  | 0.6000 |" in text

    def test_the_search_shows_all_candidates(self, tmp_path):
        rows = [{"dataset": "chest-xray", "seed": 100, "model": f"auc:lr={rate}", "preset": "tiny",
                 "epochs": Curve((1, 2)), "fit_seconds": 1.0,
                 "valid_auc": Curve((0.9, auc))}
                for rate, auc in ((0.3, 0.7), (0.1, 0.6))]  # fmt: skip
        text = self.report(tmp_path, [row("auc:lr=0.3", 0, (0, 0, 1))], rows)
        assert "| auc | lr=0.1: 0.6000, **lr=0.3: 0.7000** |" in text
