"""Scores out of bag, while training and after it."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import Subset

from skdam import CompositionalAUCNet, TabularMLP
from skdam._targets import Targets
from skdam.data.memory import InMemoryDataset
from skdam.training.outofbag import OutOfBagScoring, join, rows_in_memory, sampled

N_FOLDS = 3


class Folded(nn.Module):
    """Linear members, one of which is left out of each fold."""

    def __init__(self):
        super().__init__()
        self.n_members = N_FOLDS
        self.linear = nn.Linear(4, N_FOLDS)
        self.dropout = nn.Dropout(0.5)

    def forward(self, X):
        return self.dropout(self.linear(X))

    def out_of_bag_logits(self, X, folds):
        return self(X).gather(1, folds.unsqueeze(1)).squeeze(1).detach()


@pytest.fixture
def weights(toy):
    return torch.linspace(0.1, 2, len(toy[1]))


@pytest.fixture
def dataset(toy, weights):
    X, y = toy
    targets = Targets.of(torch.from_numpy(y), weights, torch.arange(len(y)) % N_FOLDS, N_FOLDS)
    return InMemoryDataset(X, targets)


def folded_net(*callbacks, module=Folded, **parameters):
    defaults = {"max_epochs": 2, "batch_size": 20, "random_state": 0, "verbose": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = CompositionalAUCNet(module, callbacks=list(callbacks), **(defaults | parameters))
        return net.initialize()


def trained(net, dataset):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return net.partial_fit(dataset)


def tabular_net(dataset, **parameters):
    """A trained default network, with its kernel machine."""
    net = folded_net(
        module=TabularMLP,
        module__n_features=4,
        module__hidden_layer_sizes=(8,),
        module__n_members=N_FOLDS,
        **({"module__n_landmarks": 60} | parameters),
    )
    net.module_.fit_statistics(dataset.X, dataset.y)
    return trained(net, dataset)


class Look(Callback):
    """Computes what is to be recorded, in a way of its own."""

    def __init__(self, X, y, folds, weights):
        self.data = torch.from_numpy(X), y, folds, weights

    def on_train_begin(self, net, **kwargs):
        self.scores = []

    def on_epoch_end(self, net, **kwargs):
        X, y, folds, weights = self.data
        logits = net.module_.eval()(X).detach().gather(1, folds.unsqueeze(1))
        self.scores.append(roc_auc_score(y, logits, sample_weight=weights))


def test_the_auc_is_that_of_each_row_by_the_member_without_it(toy, dataset, weights):
    look = Look(*toy, dataset.y.folds, weights)
    net = trained(folded_net(OutOfBagScoring(), look, batch_size=4, max_epochs=4), dataset)
    np.testing.assert_allclose(net.history[:, "oob_roc_auc"], look.scores)


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [(50, [7, 10]), (20, [3, 6, 9, 10]), (8, range(1, 11))],  # 4, 10 and 25 batches an epoch
)
def test_scores_are_25_batches_apart_and_the_last_epoch_has_one(dataset, batch_size, expected):
    net = folded_net(OutOfBagScoring(), batch_size=batch_size, max_epochs=10)
    auc = trained(net, dataset).history[:, "oob_roc_auc"]
    np.testing.assert_array_equal(1 + np.flatnonzero(np.isfinite(auc)), expected)


def test_the_distance_of_scores_grows_with_the_batches_so_far(dataset):
    # 29 batches an epoch: from the eleventh on, a tenth of all is more than an epoch
    net = folded_net(OutOfBagScoring(), batch_size=7, max_epochs=24)
    auc = trained(net, dataset).history[:, "oob_roc_auc"]
    scored = (1 + np.flatnonzero(np.isfinite(auc))).tolist()
    assert scored == [*range(1, 12), 13, 15, 17, 19, 21, 24]


def test_a_second_training_counts_its_own_batches(dataset):
    net = trained(folded_net(OutOfBagScoring()), dataset)
    net.partial_fit(dataset, epochs=5)
    np.testing.assert_array_equal(np.isfinite(net.history[:, "oob_roc_auc"]), [0, 1, 0, 0, 1, 0, 1])


def test_scoring_does_not_change_the_training(dataset, untouched_generators):
    plain, scored = (trained(folded_net(*some), dataset) for some in ([], [OutOfBagScoring()]))
    for mine, its in zip(plain.module_.parameters(), scored.module_.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_scores_of_large_data_are_those_of_a_sample(toy, dataset, weights, monkeypatch):
    monkeypatch.setattr("skdam.training.outofbag._ROWS", 50)
    X, y = sampled(dataset, seed=0)
    assert len(X) == 50
    look = Look(X.numpy(), y, y.folds, y.weights)
    net = trained(folded_net(OutOfBagScoring(), look, batch_size=4), dataset)
    np.testing.assert_allclose(net.history[:, "oob_roc_auc"], look.scores)


@pytest.mark.parametrize(("n_rows", "n_positive"), [(40, 20), (100, 30), (199, 30), (200, 30)])
def test_half_of_a_sample_are_positives_if_there_are_enough(
    dataset, monkeypatch, n_rows, n_positive, untouched_generators
):
    monkeypatch.setattr("skdam.training.outofbag._ROWS", n_rows)
    with untouched_generators():
        X, y = sampled(dataset, seed=0)
        again, _ = sampled(dataset, seed=0)
    assert len(X) == len(X.unique(dim=0)) == n_rows
    assert y.sum() == n_positive
    assert torch.equal(X, again)
    rows = [(row == dataset.X).all(1).nonzero().item() for row in X]
    assert rows == sorted(rows)
    for mine, its in ((y.weights, dataset.y.weights), (y.folds, dataset.y.folds)):
        assert torch.equal(mine, its[rows])


def test_another_seed_draws_another_sample(dataset, monkeypatch):
    monkeypatch.setattr("skdam.training.outofbag._ROWS", 50)
    assert not torch.equal(sampled(dataset, seed=0)[0], sampled(dataset, seed=1)[0])


def test_rows_of_a_subset_of_a_subset(dataset):
    subset = Subset(Subset(dataset, list(range(150, 20, -1))), [3, 5, 100])
    rows = [147, 145, 50]
    for some, index in ((None, rows), (torch.tensor([2, 0]), [50, 147])):
        X, y = rows_in_memory(subset, some)
        assert torch.equal(X, dataset.X[index])
        assert torch.equal(y.folds, dataset.y.folds[index])
        assert torch.equal(y.weights, dataset.y.weights[index])
    X, y = rows_in_memory(dataset)
    assert X is dataset.X
    assert y is dataset.y


def test_joint_scores_are_those_of_the_module_out_of_bag(dataset, weights):
    net = tabular_net(dataset)
    X, y = dataset.X, dataset.y
    scores = join(net, dataset)
    assert scores.dtype == np.float64
    module = net.module_.eval()
    learnt = module.shares.clone()
    assert learnt[1] > 0
    np.testing.assert_allclose(scores, module.out_of_bag_decision(X, y.folds))
    module.share_vote(*module.out_of_bag(X, y.folds), y, weights)
    torch.testing.assert_close(module.shares, learnt)


def test_joint_scores_of_a_subset_are_in_its_order(dataset, monkeypatch):
    net = tabular_net(dataset)
    rows = np.random.default_rng(0).permutation(200)[:150].tolist()
    scores = join(net, Subset(dataset, rows))
    expected = net.module_.out_of_bag_decision(dataset.X[rows], dataset.y.folds[rows])
    np.testing.assert_allclose(scores, expected)
    monkeypatch.setattr("skdam.training.outofbag._CHUNK", 64)
    np.testing.assert_allclose(join(net, Subset(dataset, rows)), scores, atol=1e-5)


def test_without_a_kernel_machine_the_logits_are_the_joint_scores(dataset):
    net = tabular_net(dataset, module__n_landmarks=0)
    expected = net.module_.eval().out_of_bag_logits(dataset.X, dataset.y.folds)
    np.testing.assert_allclose(join(net, dataset), expected)


def test_shares_of_large_data_are_learnt_from_a_sample(dataset, monkeypatch):
    net = tabular_net(dataset)
    monkeypatch.setattr("skdam.training.outofbag._ROWS", 50)
    scores = join(net, dataset)
    learnt = net.module_.shares.clone()
    X, y = sampled(dataset, net.random_state)
    net.module_.share_vote(*net.module_.out_of_bag(X, y.folds), y, y.weights)
    torch.testing.assert_close(net.module_.shares, learnt)
    assert len(scores) == len(dataset)
