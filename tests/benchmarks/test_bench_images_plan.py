"""The jobs of the paper's protocol, and the search for their rates."""

from dataclasses import replace

import pytest

pytest.importorskip("PIL.Image")

from image_runs import part

from benchmarks.harness.store import Job, read
from benchmarks.images import data
from benchmarks.images.__main__ import main
from benchmarks.images.catalogue import NAMES, candidates
from benchmarks.images.data import Part
from benchmarks.images.evaluation import RunFiles, search
from benchmarks.images.presets import PAPER_JOBS, PRESETS
from benchmarks.images.results import SCHEMA, SEARCH_SCHEMA, search_file


class TestPlan:
    @pytest.fixture(autouse=True)
    def short(self, random_images, monkeypatch):
        tiny = PRESETS["tiny"]
        plan = (Job("chest-xray", 0, "auc"), Job("chest-xray", 1, "auc"),
                Job("chest-xray", 0, "focal"))  # fmt: skip
        preset = replace(tiny, n_epochs=3, search=tiny, plan=plan)
        monkeypatch.setitem(PRESETS, "paper", preset)

    def run(self, path, *more):
        return main(["run", "--preset", "paper", "--out", str(path), *more])

    def jobs(self, path, schema):
        return [(job.model, job.seed) for job in read(path, schema)]

    def test_rates_are_chosen_in_validation_before_each_job(self, tmp_path):
        path = tmp_path / "results.csv"
        assert self.run(path) == 0
        searched = read(search_file(path), SEARCH_SCHEMA)
        tried = candidates("auc"), candidates("focal")
        assert [job.model for job in searched] == [*tried[0], *tried[1]]
        assert {job.seed for job in searched} == {100}
        best = [
            max(texts, key=lambda text: searched["chest-xray", 100, text][0]["valid_auc"][-1])
            for texts in tried
        ]
        expected = [(best[0], 0), (best[0], 1), (best[1], 0)]
        assert self.jobs(path, SCHEMA) == expected

    def test_finished_jobs_are_skipped(self, tmp_path, dies_in_batch):
        path = tmp_path / "results.csv"
        self.run(path)
        before = path.read_text(), search_file(path).read_text()
        dies_in_batch(0)
        assert self.run(path) == 0
        assert (path.read_text(), search_file(path).read_text()) == before

    def test_the_search_uses_no_test_image(self, tmp_path, monkeypatch):
        load = data.load
        nothing = Part(*(array[:0] for array in part(80, 0)))
        monkeypatch.setattr(
            data, "load", lambda *arguments: load(*arguments)._replace(test=nothing)
        )
        files = RunFiles(None, tmp_path, None)
        (found,) = search(Job("chest-xray", 100, "auc:lr=0.1"), "paper", files)
        assert len(found["valid_auc"]) == 2

    def test_given_rates_need_no_search(self, tmp_path):
        path = tmp_path / "results.csv"
        self.run(path, "--sets", "chest-xray", "--models", "auc:lr=0.2", "--seeds", "3")
        assert self.jobs(path, SCHEMA) == [("auc:lr=0.2", 3)]
        assert not search_file(path).exists()

    def test_a_model_fails_if_all_its_rates_fail(self, tmp_path, capfd, dies_in_batch):
        dies_in_batch(0)
        assert self.run(tmp_path / "results.csv", "--sets", "chest-xray", "--models", "auc") == 1
        assert "auc on chest-xray, seed 0" in capfd.readouterr().err.splitlines()[-1]

    def test_the_papers_settings_are_among_the_candidates(self):
        assert candidates("compositional")[0] == ("compositional:lr=0.1:sampling_rate=0.2")
        assert candidates("sgd-cross-entropy") == [
            "sgd-cross-entropy:lr=0.1", "sgd-cross-entropy:lr=0.03",
        ]  # fmt: skip

    def test_the_protocol(self):
        plan = PAPER_JOBS
        of_xrays = [job for job in plan if job.dataset == "chest-xray"]
        assert set(of_xrays) == {
            Job("chest-xray", seed, name) for seed in (0, 1, 2) for name in NAMES
        }
        assert list(plan[: len(of_xrays)]) == of_xrays
        assert len(plan) == len(set(plan)) == 33 + 6 + 4 + 4
