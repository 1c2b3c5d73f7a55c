"""The models of the benchmark on images."""

import numpy as np
import pytest
import torch

pytest.importorskip("PIL.Image")

from image_runs import part

from benchmarks.images import catalogue, training
from benchmarks.images.catalogue import NAMES
from benchmarks.images.training import Training


class TestModels:
    def test_all_start_from_the_same_weights(self, monkeypatch):
        starts = []

        def keep(task):
            starts.append(torch.cat([p.detach().ravel() for p in task.module.parameters()]))

        for name in ("_train_ours", "_train_libauc", "_train_sgd"):
            monkeypatch.setattr(training, name, keep)
        for name in NAMES:
            training.train(name, part(20, 0), Training(1, 4, 2, random_state=3), None)
        assert len(starts) == 11
        assert all(torch.equal(start, starts[0]) for start in starts)

    @pytest.mark.parametrize("name", NAMES)
    def test_each_model_reports_its_epochs_and_embeds(self, name):
        if name.startswith("libauc"):
            pytest.importorskip("libauc")
        data = part(40, 0)
        seen = []

        def on_epoch_end(epoch, net):
            seen.append((epoch, net.decision_function(data.X).shape, net.embed(data.X).shape))

        training.train(name, data, Training(2, 8, 2, 0), on_epoch_end)
        assert seen == [(1, (40,), (40, 8)), (2, (40,), (40, 8))]

    def test_class_weights_balance_the_classes_with_a_mean_of_one(self):
        loss = training._Weighted(9.0)
        targets = torch.tensor([1.0] + [0.0] * 9)
        losses = loss(torch.zeros(10), targets) / np.log(2)
        assert losses[0].item() == pytest.approx(losses[1:].sum().item())
        assert losses.mean().item() == pytest.approx(1)

    def test_changes_of_a_model(self):
        assert catalogue.parse("auc:lr=0.3:sampling_rate=share") == (
            "auc",
            {"lr": 0.3, "sampling_rate": None},
        )
        with pytest.raises(ValueError, match="'auk' is no model; there are compositional"):
            catalogue.parse("auk")
        with pytest.raises(ValueError, match="'margin=2' changes none of lr, inner_lr,"):
            catalogue.parse("auc:margin=2")
