"""The file of results of jobs."""

import pytest

from benchmarks.harness.store import Job, Schema, read


class TestResultsFile:
    schema = Schema({"dataset": str, "seed": int, "model": str, "auc": float}, rows_per_job=2)

    def test_only_complete_jobs_are_read(self, tmp_path):
        path = tmp_path / "results.csv"
        path.write_text("dataset,seed,model,auc\na,0,m,0.5\na,0,m,0.7\na,1,m,0.5\na,1,m,0.7")
        job = Job("a", 0, "m")
        expected = [job._asdict() | {"auc": auc} for auc in (0.5, 0.7)]
        assert read(path, self.schema) == {job: expected}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("dataset,model,auc\n", "has the columns"),
            ("dataset,seed,model,auc\n" + "a,0,m,0.5\n" * 4, "m on a, seed 0 more than once"),
        ],
    )
    def test_other_files_are_rejected(self, tmp_path, text, message):
        path = tmp_path / "results.csv"
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read(path, self.schema)
