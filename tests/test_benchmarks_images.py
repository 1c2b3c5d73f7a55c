"""The benchmark on images: its data, its models, runs that go on after a kill, its report."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import runner

Image = pytest.importorskip("PIL.Image")

from benchmarks import images, images_data, images_models, images_report  # noqa: E402
from benchmarks.images_data import Part, Split  # noqa: E402
from benchmarks.images_models import Training  # noqa: E402
from benchmarks.store import read  # noqa: E402


def part(n, seed, share=0.3, channels=1):
    """Random images, the positives brighter."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n) < share * n).astype(int)
    X = rng.integers(0, 180, size=(n, channels, 10, 10))
    return Part((X + 40 * y[:, None, None, None]).astype(np.uint8), y)


@pytest.fixture
def no_files(monkeypatch):
    monkeypatch.setattr(runner, "Workers", lambda n_workers, *, fresh: ThreadPoolExecutor(1))
    monkeypatch.setattr(
        images_data, "load", lambda name, seed, data: Split(*(part(80, seed + i) for i in range(3)))
    )


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
            module = getattr(module, "module_", module)
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

        def on_epoch_end(epoch, decision_function):
            seen.append((epoch, decision_function(data.X).shape))

        embed = images_models.train(name, data, Training(2, 8, 2, 0), on_epoch_end)
        assert seen == [(1, (40,)), (2, (40,))]
        assert embed(data.X).shape == (40, 8)

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

    def test_the_chosen_epoch_is_best_in_validation_not_in_the_test(self, tmp_path):
        row = {"dataset": "chest-xray", "seed": 0, "model": "auc", "preset": "tiny",
               "epochs": images_report.Curve((1, 2, 3)),
               "valid_auc": images_report.Curve((0.5, 0.8, 0.7)),
               "test_auc": images_report.Curve((0.9, 0.6, 0.75)),
               "probe_auc": 0.55, "fit_seconds": 1.0}  # fmt: skip
        images_report.write([row], tmp_path / "absent", tmp_path)
        assert (
            "| auc | 0.7500 | 0.6000 | 0.5500 | 1.0 | 1 |" in (tmp_path / "report.md").read_text()
        )
