"""An epoch: observers, batches, losses, validation."""

import copy

import numpy as np
import pytest
import torch
from helpers import Members, fit, make_net
from sklearn.metrics import roc_auc_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    LRScheduler,
)
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import DataLoader, Dataset

from skdam import CompositionalAUCLoss, CompositionalAUCNet, DivergenceError
from skdam._targets import Targets
from skdam.data.memory import InMemoryDataset
from skdam.training.observers import is_observed


def test_history_has_the_losses_of_each_epoch(toy):
    net = fit(make_net(train_split=ValidSplit(4, stratified=True)), toy)
    assert net.history[:, "epoch"] == [1, 2, 3, 4]
    for name in ("inner_loss", "outer_loss", "valid_loss", "valid_roc_auc", "train_loss", "dur"):
        assert np.isfinite(net.history[:, name]).all()
    batches = [row for row in net.history[0, "batches"] if "inner_loss" in row]
    mean = np.mean([row["inner_loss"] for row in batches])
    assert net.history[0, "inner_loss"] == pytest.approx(mean)


def test_validation_auc_is_that_of_the_predicting_weights(toy):
    X, y = toy
    scores = []

    class Score(Callback):
        def on_epoch_end(self, net, dataset_valid=None, **kwargs):
            rows = dataset_valid.indices
            scores.append(roc_auc_score(y[rows], net.decision_function(X[rows])))

    net = make_net(
        train_split=ValidSplit(3, stratified=True),
        callbacks=[Score()],
        optimizer__variant="lookahead",
        optimizer__inner_lr=3.0,
        milestones=(),
    )
    fit(net, toy)
    np.testing.assert_allclose(net.history[:, "valid_roc_auc"], scores)
    inner_point = net.optimizer_.state[net.module_.weight]["inner_point"]
    assert torch.equal(net.module_.weight, inner_point)
    net.optimizer_.train()
    assert not torch.allclose(net.module_.weight, inner_point, atol=0.1)


def test_workers_give_the_same_batches(toy):
    one, other = make_net(), make_net(iterator_train__num_workers=1)
    for net in (one, other):
        fit(net, toy)
    assert torch.equal(one.module_.weight, other.module_.weight)


def test_validation_scores_are_those_of_the_vote(toy):
    X, y = toy
    net = CompositionalAUCNet(
        Members, max_epochs=1, verbose=0, random_state=0, train_split=ValidSplit(2, stratified=True)
    ).fit(X, y)
    valid = ValidSplit(2, stratified=True)(net.get_dataset(X, y), y)[1].indices
    auc = roc_auc_score(y[valid], net.decision_function(X[valid]))
    assert net.history[-1, "valid_roc_auc"] == pytest.approx(auc)


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_divergence_names_the_rate_and_the_epoch(toy, where):
    class Poison(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            if len(net.history) == 3:
                last = len(net.history[-1]["batches"]) == 4
                if where == "loss" or last:
                    net.module_.weight.data.fill_(float("nan"))

    net = make_net(callbacks=[Poison()], lr=0.125, milestones=())
    with pytest.raises(DivergenceError, match=r"epoch 3: .*lr=0\.125") as caught:
        fit(net, toy)
    assert ("loss is nan" if where == "loss" else "weight is not finite") in str(caught.value)


def test_a_collate_function_of_the_user_makes_the_batches(toy):
    X, y = toy

    def collate(items):
        return torch.stack([torch.as_tensor(x["numbers"]) for x, _ in items]), torch.tensor(
            [target for _, target in items]
        )

    class Rows(Dataset):
        def __init__(self):
            self.y = y

        def __len__(self):
            return len(X)

        def __getitem__(self, index):
            return {"numbers": X[index]}, y[index]

    net = make_net(iterator_train__collate_fn=collate, iterator_valid__collate_fn=collate)
    assert net.fit(Rows(), None).decision_function(Rows()).shape == (200,)


def test_a_loader_of_the_user_is_used(toy):
    n_batches = []

    class Loader(DataLoader):
        def __iter__(self):
            for batch in super().__iter__():
                n_batches.append(1)
                yield batch

    fit(make_net(iterator_train=Loader, max_epochs=1), toy)
    assert len(n_batches) == 4


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_history_is_the_same_whether_a_callback_observes_batches_or_not(toy, variant):
    class Watch(Callback):
        def on_batch_end(self, net, **kwargs):
            pass

    nets = [
        fit(make_net(callbacks=callbacks, optimizer__variant=variant), toy)
        for callbacks in ([], [Watch()])
    ]
    for one, other in zip(*(net.history for net in nets), strict=True):
        assert one["batches"] == other["batches"]
        assert {k for k in one if k != "dur"} == {k for k in other if k != "dur"}
        assert one["train_loss"] == other["train_loss"]


@pytest.mark.parametrize(
    ("callback", "observes"),
    [
        (LRScheduler("StepLR", step_size=1, gamma=0.5), False),
        (LRScheduler("StepLR", step_size=1, gamma=0.5, step_every="batch"), True),
        (EpochScoring("roc_auc", name="score", lower_is_better=False), False),
        (EpochScoring("roc_auc", name="score", lower_is_better=False, on_train=True), False),
        (BatchScoring("accuracy", name="score", lower_is_better=False), False),
        (BatchScoring("accuracy", name="score", lower_is_better=False, on_train=True), True),
    ],
    ids=lambda given: type(given).__name__,
)
def test_callbacks_of_validation_do_not_observe_training(toy, callback, observes):
    rows = []
    for watch in ([], [Observer()]):
        net = make_net(
            callbacks=[("own", copy.deepcopy(callback)), *watch], train_split=ValidSplit(4)
        )
        fit(net, toy)
        assert is_observed(net) == (observes or bool(watch))
        rows.append([{k: v for k, v in row.items() if k != "dur"} for row in net.history])
    assert rows[0] == rows[1]


def test_a_callback_may_change_the_targets_of_one_batch(toy):
    class Flip(Callback):
        def __init__(self):
            self.sums = []

        def on_batch_begin(self, net, batch, training, **kwargs):
            if training:
                self.sums.append(batch[1].sum().item())
                batch[1].numpy()[0] = 0

    flip = Flip()
    fit(make_net(callbacks=[flip]), toy)
    assert len(set(flip.sums)) == 1


class Observer(Callback):
    def on_batch_begin(self, net, **kwargs):
        pass


class Derived(CompositionalAUCNet):
    pass


class Busy(nn.Module):
    """Replaces its weights, works in place with a parameter, unfreezes a layer in mid-epoch."""

    def __init__(self, in_features, out_features):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(in_features))
        self.first = nn.Linear(in_features, 5)
        self.norm = nn.BatchNorm1d(5)
        self.last = nn.Linear(5, out_features)
        self.first.bias.requires_grad_(False)
        self.n_calls = 0

    def forward(self, X):
        self.n_calls += self.training
        self.first.bias.requires_grad_(self.n_calls > 6)
        self.first.weight.data = self.first.weight.data.renorm(2, 0, 1.0)
        X += self.shift
        return self.last(self.norm(self.first(X)).relu())


@pytest.mark.parametrize("strategy", ["compositional", "two-stage"])
@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_the_model_does_not_depend_on_observers(toy, strategy, variant, adaptive):
    states = []
    for kind, callbacks in (
        (CompositionalAUCNet, []),
        (CompositionalAUCNet, [Observer()]),
        (Derived, []),
    ):
        net = make_net(
            kind, Busy, strategy=strategy, optimizer__variant=variant,
            optimizer__adaptive=adaptive, lr=0.01 if adaptive else 0.1, callbacks=callbacks,
            batch_size=16,
        )  # fmt: skip
        start = {name: value.clone() for name, value in net.module_.state_dict().items()}
        net.partial_fit(*toy)
        states.append(net.module_.state_dict() | net.criterion_.state_dict())
        assert all(not torch.equal(states[-1][name], value) for name, value in start.items())
    for state in states[1:]:
        torch.testing.assert_close(state, states[0], rtol=0, atol=0)


def test_validation_auc_counts_weights(toy):
    X, y = toy
    weights = np.where(X[:, 1] > 0, 5.0, 1.0).astype(np.float32)
    valid = InMemoryDataset(X, Targets.of(torch.from_numpy(y), torch.from_numpy(weights)))
    net = fit(make_net(train_split=predefined_split(valid), max_epochs=1), toy)
    expected = roc_auc_score(y, net.decision_function(X), sample_weight=weights)
    assert net.history[-1, "valid_roc_auc"] == pytest.approx(expected)
    assert expected != roc_auc_score(y, net.decision_function(X))


def test_the_sampler_of_an_overridden_step_counts_batch_by_batch(toy):
    positions = []

    class Positions(CompositionalAUCNet):
        def train_step(self, batch, **fit_params):
            positions.append(self.sampler_.state_dict()["n_yielded"])
            return super().train_step(batch, **fit_params)

    fit(make_net(Positions, max_epochs=1), toy)
    assert positions == [1, 2, 3, 4]


class Flipping(CompositionalAUCLoss):
    """Changes its targets in a way that torch does not count."""

    def forward(self, logits, targets, phase):
        array = targets.numpy()
        array[:] = 1 - array
        return super().forward(logits, targets, phase)


def test_a_criterion_may_change_its_targets(toy):
    states = [
        fit(make_net(criterion=Flipping, callbacks=callbacks), toy).module_.state_dict()
        for callbacks in ([], [Observer()])
    ]
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_a_callback_may_save_a_batch(toy, tmp_path):
    class Save(Callback):
        def on_batch_end(self, net, batch=None, **kwargs):
            torch.save(batch, tmp_path / "batch.pt")

    fit(make_net(callbacks=[Save()], max_epochs=1), toy)
    X, y = torch.load(tmp_path / "batch.pt", weights_only=True)
    assert len(X) == len(y) == 50
