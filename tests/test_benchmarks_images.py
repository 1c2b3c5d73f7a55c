"""The benchmark on images: its data, its models, runs that go on after a kill, its report."""

import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import runner

Image = pytest.importorskip("PIL.Image")

from benchmarks import images, images_data, images_models, images_plan, images_report  # noqa: E402
from benchmarks.images_data import Part, Split  # noqa: E402
from benchmarks.images_models import Training  # noqa: E402
from benchmarks.images_state import Progress  # noqa: E402
from benchmarks.store import Job, read  # noqa: E402
from skdam import ResNet20  # noqa: E402


def part(n, seed, share=0.3, channels=1):
    """Random images, the positives brighter."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n) < share * n).astype(int)
    X = rng.integers(0, 180, size=(n, channels, 10, 10))
    return Part((X + 40 * y[:, None, None, None]).astype(np.uint8), y)


def use_random_images(replace):
    """Let a run work in its own process, on images that are made on the spot."""
    for module in (runner, images_plan):
        replace(module, "Workers", lambda n_workers, *, fresh: ThreadPoolExecutor(1))
    replace(
        images_data, "load", lambda name, seed, data: Split(*(part(80, seed + i) for i in range(3)))
    )


@pytest.fixture
def no_files(monkeypatch):
    use_random_images(monkeypatch.setattr)


def run(path, models="compositional,cross-entropy", preset="tiny"):
    sets = "chest-xray,cifar10-30"
    command = ["run", "--preset", preset, "--sets", sets, "--models", models, "--seeds", "0", "1"]
    return images.main([*command, "--out", str(path)])


def aucs(path):
    table = pd.read_csv(path).drop(columns="fit_seconds")
    return set(table.itertuples(index=False))


class TestData:
    @pytest.fixture
    def files(self, tmp_path):
        """Ten pictures of each class for training and two for the test, each of one colour."""
        arrays = {}
        for name, count in (("train", 10), ("test", 2)):
            labels = np.repeat(np.arange(10), count)
            pictures = []
            for label in labels:
                file = io.BytesIO()
                Image.new("RGB", (32, 32), (20 * label, 100, 0)).save(file, "JPEG", quality=95)
                pictures.append(file.getvalue())
            arrays[f"{name}_jpeg"] = np.frombuffer(b"".join(pictures), dtype=np.uint8)
            arrays[f"{name}_offsets"] = np.cumsum([0, *map(len, pictures)])
            arrays[f"{name}_labels"] = labels.astype(np.uint8)
        np.savez(tmp_path / images_data.CIFAR10_FILE, **arrays)
        arrays = {}
        for index, name in enumerate(("train", "val", "test")):
            arrays[f"{name}_images"] = np.full((6, 28, 28), index, dtype=np.uint8)
            arrays[f"{name}_labels"] = np.array([[1], [1], [0], [1], [1], [1]], dtype=np.uint8)
        np.savez(tmp_path / images_data.XRAY_FILE, **arrays)
        return tmp_path

    def test_positives_are_thinned_in_training_and_not_in_the_test(self, files):
        split = images_data.load("cifar10-30", 0, files)
        assert [len(part.y) for part in split] == [63, 8, 20]
        assert split.train.y.sum() + split.valid.y.sum() == 21
        assert split.test.y.sum() == 10
        assert split.train.X.shape == (63, 3, 32, 32)
        for X, y in split:
            # red tells the class, and classes 5 to 9 are positive
            np.testing.assert_array_equal(X[:, 0].mean((1, 2)) > 90, y == 1)
            np.testing.assert_allclose(X[:, 1:].mean((2, 3)), [[100, 0]] * len(X), atol=3)

    def test_the_seed_draws_the_positives(self, files):
        first, again, other = (images_data.load("cifar10-30", s, files) for s in (0, 0, 1))
        np.testing.assert_array_equal(first.train.X, again.train.X)
        assert not np.array_equal(first.train.X, other.train.X)

    def test_the_rare_normal_chest_is_positive(self, files):
        split = images_data.load("chest-xray", 0, files)
        for index, (X, y) in enumerate(split):
            assert X.shape == (6, 1, 28, 28)
            assert np.unique(X) == index
            assert y.tolist() == [0, 0, 1, 0, 0, 0]

    def test_thinning_keeps_the_share(self):
        thinned = images_data.thin(part(100, 0), 40, 0)
        assert len(thinned.y) == 40
        assert thinned.y.sum() == 12


class TestModels:
    def test_all_start_from_the_same_weights(self, monkeypatch):
        starts = []

        def keep(module, *_):
            starts.append(torch.cat([p.detach().ravel() for p in module.parameters()]))

        for name in ("_train_ours", "_train_libauc", "_train_sgd"):
            monkeypatch.setattr(images_models, name, keep)
        for name in images_models.NAMES:
            images_models.train(name, part(20, 0), Training(1, 4, 2, random_state=3), None)
        assert len(starts) == 11
        assert all(torch.equal(start, starts[0]) for start in starts)

    @pytest.mark.parametrize("name", images_models.NAMES)
    def test_each_reports_its_epochs_and_embeds(self, name):
        if name.startswith("libauc"):
            pytest.importorskip("libauc")
        data = part(40, 0)
        seen = []

        def on_epoch_end(epoch, net):
            seen.append((epoch, net.decision_function(data.X).shape, net.embed(data.X).shape))

        images_models.train(name, data, Training(2, 8, 2, 0), on_epoch_end)
        assert seen == [(1, (40,), (40, 8)), (2, (40,), (40, 8))]

    def test_weights_of_classes_balance_them_at_a_mean_of_one(self):
        loss = images_models._Weighted(9.0)
        targets = torch.tensor([1.0] + [0.0] * 9)
        losses = loss(torch.zeros(10), targets) / np.log(2)
        assert losses[0].item() == pytest.approx(losses[1:].sum().item())
        assert losses.mean().item() == pytest.approx(1)

    def test_changes_of_a_model(self):
        assert images_models.parse("auc:lr=0.3:sampling_rate=share") == (
            "auc",
            {"lr": 0.3, "sampling_rate": None},
        )
        with pytest.raises(ValueError, match="'auk' is no model; there are compositional"):
            images_models.parse("auk")
        with pytest.raises(ValueError, match="'margin=2' changes neither lr, inner_lr nor"):
            images_models.parse("auc:margin=2")


# kills itself in the third of four epochs of five batches each
_PROGRAM = """
import os, signal
from benchmarks import images
from test_benchmarks_images import TestState, use_random_images
from skdam import ResNet20

def forward(module, X, forward=ResNet20.forward, batches=[]):
    batches += [0] * module.training
    if len(batches) == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(module, X)

ResNet20.forward = forward
images.PRESETS["tiny"] = TestState.SETTINGS
use_random_images(setattr)
images.main({arguments})
"""


class Killed(BaseException):
    """What nobody catches who goes on after it."""


@pytest.fixture
def dies_in_batch(monkeypatch):
    """Let training end in the middle of a batch, the number of which is given, or never."""
    forward = ResNet20.forward
    left = []

    def counting(module, X):
        if module.training and left and not left[0]:
            raise Killed
        if module.training and left:
            left[0] -= 1
        return forward(module, X)

    def arm(number):
        left[:] = [] if number is None else [number]

    monkeypatch.setattr(ResNet20, "forward", counting)
    return arm


class TestState:
    # 80 images in batches of 16: five batches an epoch, two of each under lookahead
    SETTINGS = replace(
        images.PRESETS["tiny"], n_epochs=4, precision="bfloat16", probe_epochs=(1,), most_images={}
    )

    @pytest.fixture(autouse=True)
    def short(self, no_files, monkeypatch):
        monkeypatch.setitem(images.PRESETS, "tiny", self.SETTINGS)

    def rows(self, name, tmp_path, state):
        places = images.Places(None, tmp_path / "projections", state)
        (row,) = images.evaluate(Job("chest-xray", 0, name), "tiny", places)
        del row["fit_seconds"]
        return row

    @pytest.mark.parametrize("name", images_models.NAMES)
    def test_a_job_killed_twice_in_mid_epoch_ends_as_one_that_was_not(
        self, name, tmp_path, dies_in_batch
    ):
        if name.startswith("libauc"):
            pytest.importorskip("libauc")
        whole = self.rows(name, tmp_path, None)
        n_batches = 10 if name == "lookahead" else 5
        # in the second epoch, and in the last: before and after the rates fall or stages switch
        for number in (n_batches + 3, 2 * n_batches + 2):
            dies_in_batch(number)
            with pytest.raises(Killed):
                self.rows(name, tmp_path, tmp_path)
        dies_in_batch(None)
        assert self.rows(name, tmp_path, tmp_path) == whole
        assert whole["probe_epochs"] == (1, 4)
        assert len(set(whole["valid_auc"])) > 1

    def test_what_was_trained_is_not_trained_again(self, tmp_path, dies_in_batch):
        first = self.rows("auc", tmp_path, tmp_path)
        dies_in_batch(0)
        assert self.rows("auc", tmp_path, tmp_path) == first

    def test_weights_are_kept_at_the_probed_epochs(self, tmp_path):
        self.rows("auc", tmp_path, tmp_path)
        files = sorted(path.name for path in (tmp_path / "weights").iterdir())
        assert files == ["tiny-chest-xray-0-auc-1.pt", "tiny-chest-xray-0-auc-4.pt"]
        ResNet20(1, width=2).load_state_dict(torch.load(tmp_path / "weights" / files[0]))

    def test_a_file_is_never_half_written(self, tmp_path, monkeypatch):
        path = tmp_path / "state.pt"
        Progress(path).end_epoch()

        def fail(state, file):
            file.write(b"half")
            raise Killed

        progress = Progress(path)
        monkeypatch.setattr(torch, "save", fail)
        with pytest.raises(Killed):
            progress.end_epoch()
        assert Progress(path).n_epochs == 1

    def test_a_curve_may_have_fewer_points_than_epochs(self, tmp_path, monkeypatch, capfd):
        monkeypatch.setitem(images.PRESETS, "tiny", replace(self.SETTINGS, score_every=3))
        assert self.rows("auc", tmp_path, tmp_path)["epochs"] == (3, 4)
        assert capfd.readouterr().err.count("auc on chest-xray, seed 0: epoch") == 2

    def test_the_state_of_a_job_with_rows_is_removed(self, tmp_path):
        state = tmp_path / "state"
        images.main(["run", "--preset", "tiny", "--sets", "chest-xray", "--models", "auc",
                     "--state", str(state), "--out", str(tmp_path / "results.csv")])  # fmt: skip
        assert [path.name for path in state.iterdir()] == ["weights"]

    def test_a_process_killed_by_the_system_goes_on(self, tmp_path):
        """The first process kills itself in mid-epoch, the second goes on."""
        arguments = ["run", "--preset", "tiny", "--sets", "chest-xray", "--models", "compositional"]
        whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
        assert images.main([*arguments, "--out", str(whole)]) == 0
        arguments += ["--state", str(tmp_path), "--out", str(killed)]
        program = _PROGRAM.format(arguments=arguments)
        ended = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": ".:tests"}
        )
        assert ended.returncode == -signal.SIGKILL
        assert not killed.exists() or not aucs(killed)
        assert Progress(tmp_path / "tiny-chest-xray-0-compositional.pt").n_epochs == 2
        assert images.main(arguments) == 0
        assert aucs(killed) == aucs(whole)


class TestRun:
    def test_a_killed_run_goes_on_to_the_same_results(self, no_files, tmp_path):
        whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
        assert run(whole) == 0
        assert len(aucs(whole)) == 2 * 2 * 2
        lines = whole.read_text().splitlines(keepends=True)
        killed.write_text("".join(lines[:4]) + lines[4][:20])
        assert run(killed) == 0
        assert aucs(killed) == aucs(whole)
        assert "".join(lines[:4]) in killed.read_text()

    def test_a_file_of_another_preset_is_left_alone(self, no_files, tmp_path):
        path = tmp_path / "results.csv"
        run(path, models="auc")
        before = path.read_text()
        with pytest.raises(ValueError, match="is of the preset 'tiny'"):
            run(path, preset="full")
        assert path.read_text() == before

    def test_the_report_has_tables_and_plots(self, no_files, tmp_path):
        path, out = tmp_path / "results.csv", tmp_path / "out"
        run(path)
        images.main(["report", str(path), "--out-dir", str(out)])
        text = (out / "report.md").read_text()
        last = [rows[0]["test_auc"][-1] for job, rows in read(path, images_report.SCHEMA).items()
                if (job.dataset, job.model) == ("chest-xray", "compositional")]  # fmt: skip
        assert f"| compositional | {np.mean(last):.4f} ± {np.std(last, ddof=1):.4f} |" in text
        for dataset in ("chest-xray", "cifar10-30"):
            for plot in ("curves", "features"):
                assert (out / f"{dataset}_{plot}.png").stat().st_size > 5000


def row(model, seed, test_auc, valid_auc=(0.5, 0.8, 0.7), probes=((1, 0.4), (3, 0.55))):
    """A row of results of three epochs."""
    probe_epochs, probe_auc = zip(*probes, strict=True)
    curves = {"epochs": (1, 2, 3), "valid_auc": valid_auc, "test_auc": test_auc,
              "probe_epochs": probe_epochs, "probe_auc": probe_auc}  # fmt: skip
    return {
        "dataset": "chest-xray", "seed": seed, "model": model, "preset": "tiny", "fit_seconds": 1.0,
        **{name: images_report.Curve(values) for name, values in curves.items()},
    }  # fmt: skip


class TestReport:
    def report(self, tmp_path, rows, searched=()):
        images_report.write(rows, tmp_path / "absent", tmp_path, searched)
        return (tmp_path / "report.md").read_text()

    def test_the_chosen_epoch_is_best_in_validation_not_in_the_test(self, tmp_path):
        text = self.report(tmp_path, [row("auc", 0, (0.9, 0.6, 0.75))])
        assert "| auc | 0.7500 | 0.6000 |  | 0.4000 | 0.5500 | 1.0 | 1 |" in text
        assert "| probe, epoch 1 | probe, epoch 3 |" in text

    def test_the_lead_is_over_the_seeds_that_both_have(self, tmp_path):
        ours = [row("compositional:lr=0.1", seed, (0, 0, auc)) for seed, auc in enumerate(
            (0.9, 0.8, 0.1))]  # fmt: skip
        rivals = [row("auc:lr=0.3", 0, (0, 0, 0.7)), row("auc:lr=0.3", 1, (0, 0, 0.85))]
        text = self.report(tmp_path, ours + rivals)
        assert "| auc:lr=0.3 | 0.7750 ± 0.1061 | 0.0000 ± 0.0000 | +0.0750 ± 0.1768 |" in text

    def test_two_rates_of_compositional_training_lead_nobody(self, tmp_path):
        names = ("compositional:lr=0.1", "compositional:lr=0.3", "auc")
        text = self.report(tmp_path, [row(name, 0, (0, 0, 0.5)) for name in names])
        assert "| auc | 0.5000 | 0.0000 |  |" in text

    def test_a_probe_that_a_model_lacks_is_left_out(self, tmp_path):
        rows = [row("auc", 0, (0, 0, 1)), row("focal", 0, (0, 0, 0.5), probes=((3, 0.6),))]
        text = self.report(tmp_path, rows)
        assert "| focal | 0.5000 | 0.0000 |  |  | 0.6000 |" in text

    def test_the_search_shows_what_was_tried(self, tmp_path):
        rows = [{"dataset": "chest-xray", "seed": 100, "model": f"auc:lr={rate}", "preset": "tiny",
                 "epochs": images_report.Curve((1, 2)), "fit_seconds": 1.0,
                 "valid_auc": images_report.Curve((0.9, auc))}
                for rate, auc in ((0.3, 0.7), (0.1, 0.6))]  # fmt: skip
        text = self.report(tmp_path, [row("auc:lr=0.3", 0, (0, 0, 1))], rows)
        assert "| auc | lr=0.1: 0.6000, **lr=0.3: 0.7000** |" in text


class TestPlan:
    @pytest.fixture(autouse=True)
    def short(self, no_files, monkeypatch):
        tiny = images.PRESETS["tiny"]
        plan = (Job("chest-xray", 0, "auc"), Job("chest-xray", 1, "auc"),
                Job("chest-xray", 0, "focal"))  # fmt: skip
        preset = replace(tiny, n_epochs=3, search=tiny, plan=plan)
        monkeypatch.setitem(images.PRESETS, "paper", preset)

    def run(self, path, *more):
        return images.main(["run", "--preset", "paper", "--out", str(path), *more])

    def jobs(self, path, schema):
        return [(job.model, job.seed) for job in read(path, schema)]

    def test_rates_are_chosen_by_validation_before_the_jobs_in_their_order(self, tmp_path):
        path = tmp_path / "results.csv"
        assert self.run(path) == 0
        searched = read(images_plan.search_file(path), images_report.SEARCH_SCHEMA)
        tried = images_models.candidates("auc"), images_models.candidates("focal")
        assert [job.model for job in searched] == [*tried[0], *tried[1]]
        assert {job.seed for job in searched} == {100}
        best = [
            max(texts, key=lambda text: searched["chest-xray", 100, text][0]["valid_auc"][-1])
            for texts in tried
        ]
        expected = [(best[0], 0), (best[0], 1), (best[1], 0)]
        assert self.jobs(path, images_report.SCHEMA) == expected

    def test_what_is_done_is_passed_over(self, tmp_path, dies_in_batch):
        path = tmp_path / "results.csv"
        self.run(path)
        before = path.read_text(), images_plan.search_file(path).read_text()
        dies_in_batch(0)
        assert self.run(path) == 0
        assert (path.read_text(), images_plan.search_file(path).read_text()) == before

    def test_the_search_looks_at_no_test_image(self, tmp_path, monkeypatch):
        load = images_data.load
        nothing = Part(*(array[:0] for array in part(80, 0)))
        monkeypatch.setattr(
            images_data, "load", lambda *arguments: load(*arguments)._replace(test=nothing)
        )
        places = images.Places(None, tmp_path, None)
        (found,) = images.search(Job("chest-xray", 100, "auc:lr=0.1"), "paper", places)
        assert len(found["valid_auc"]) == 2

    def test_given_rates_are_not_searched_for(self, tmp_path):
        path = tmp_path / "results.csv"
        self.run(path, "--sets", "chest-xray", "--models", "auc:lr=0.2", "--seeds", "3")
        assert self.jobs(path, images_report.SCHEMA) == [("auc:lr=0.2", 3)]
        assert not images_plan.search_file(path).exists()

    def test_a_model_without_a_rate_that_works_fails(self, tmp_path, capfd, dies_in_batch):
        dies_in_batch(0)
        assert self.run(tmp_path / "results.csv", "--sets", "chest-xray", "--models", "auc") == 1
        assert "auc on chest-xray, seed 0" in capfd.readouterr().err.splitlines()[-1]

    def test_the_papers_settings_are_among_the_candidates(self):
        assert images_models.candidates("compositional")[0] == (
            "compositional:lr=0.1:sampling_rate=0.2"
        )
        assert images_models.candidates("sgd-cross-entropy") == [
            "sgd-cross-entropy:lr=0.1", "sgd-cross-entropy:lr=0.03",
        ]  # fmt: skip

    def test_the_protocol(self):
        plan = images_plan.PAPER
        of_xrays = [job for job in plan if job.dataset == "chest-xray"]
        assert set(of_xrays) == {
            Job("chest-xray", seed, name) for seed in (0, 1, 2) for name in images_models.NAMES
        }
        assert list(plan[: len(of_xrays)]) == of_xrays
        assert len(plan) == len(set(plan)) == 33 + 6 + 4 + 4
