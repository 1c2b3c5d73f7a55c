"""Runs of the benchmark on images."""

import numpy as np
import pytest

pytest.importorskip("PIL.Image")

from image_runs import aucs, run

from benchmarks.harness.store import read
from benchmarks.images.__main__ import main
from benchmarks.images.results import SCHEMA


class TestRun:
    def test_a_killed_run_resumes_to_the_same_results(self, random_images, tmp_path):
        whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
        assert run(whole) == 0
        assert len(aucs(whole)) == 2 * 2 * 2
        lines = whole.read_text().splitlines(keepends=True)
        killed.write_text("".join(lines[:4]) + lines[4][:20])
        assert run(killed) == 0
        assert aucs(killed) == aucs(whole)
        assert "".join(lines[:4]) in killed.read_text()

    def test_a_file_of_another_preset_is_rejected_and_unchanged(self, random_images, tmp_path):
        path = tmp_path / "results.csv"
        run(path, models="auc")
        before = path.read_text()
        with pytest.raises(ValueError, match="is of the preset 'tiny'"):
            run(path, preset="quick")
        assert path.read_text() == before

    def test_the_report_has_tables_and_plots(self, random_images, tmp_path):
        path, out = tmp_path / "results.csv", tmp_path / "out"
        run(path)
        main(["report", str(path), "--out-dir", str(out)])
        text = (out / "report.md").read_text()
        last = [rows[0]["test_auc"][-1] for job, rows in read(path, SCHEMA).items()
                if (job.dataset, job.model) == ("chest-xray", "compositional")]  # fmt: skip
        assert f"| compositional | {np.mean(last):.4f} ± {np.std(last, ddof=1):.4f} |" in text
        for dataset in ("chest-xray", "cifar10-30"):
            for plot in ("curves", "features"):
                assert (out / f"{dataset}_{plot}.png").stat().st_size > 5000
