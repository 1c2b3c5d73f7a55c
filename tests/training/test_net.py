"""The skorch net as a whole."""

import gc
import weakref

import numpy as np
import pytest
import torch
from helpers import PhaseCounter, fit, make_net
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from skorch.dataset import ValidSplit
from skorch.hf import AccelerateMixin
from torch import nn
from torch.utils.data import Dataset

from skdam import AUCMarginLoss, CompositionalAUCLoss, CompositionalAUCNet
from skdam.data.memory import InMemoryDataset


@pytest.mark.parametrize(
    ("parameters", "phases"),
    [
        ({}, "io" * 8),
        ({"optimizer__inner_steps": 3}, "iiiooo" * 2 + "iiio"),
        ({"optimizer__variant": "lookahead"}, "io" * 16),
        (
            {"optimizer__variant": "lookahead", "optimizer__hypergradient": "exact"},
            "ioi" * 16,
        ),
        ({"strategy": "auc"}, "o" * 16),
        ({"strategy": "auc", "optimizer__variant": "lookahead"}, "o" * 16),
        ({"strategy": "cross-entropy"}, "i" * 16),
        ({"strategy": "two-stage"}, "i" * 8 + "o" * 8),
    ],
    ids=str,
)
def test_phases_of_each_strategy(toy, parameters, phases):
    counter = PhaseCounter()
    fit(make_net(callbacks=[counter], **parameters), toy)
    assert str(counter) == phases


def test_milestones_decay_both_rates(toy):
    net = make_net(
        max_epochs=8, milestones=(0.25, 0.5), lr_decay=0.5, lr=0.4, optimizer__inner_lr=0.1
    )
    fit(net, toy)
    np.testing.assert_allclose(net.history[:, "lr"], [0.4] * 2 + [0.2] * 2 + [0.1] * 4)
    assert {g["inner_lr"] for g in net.optimizer_.param_groups} == {0.025}


def test_each_stage_of_two_has_milestones_of_its_own(toy):
    net = make_net(strategy="two-stage", max_epochs=8, milestones=(0.5,), lr=1.0)
    fit(net, toy)
    np.testing.assert_allclose(net.history[:, "lr"], [1, 1, 0.1, 0.1] * 2)


@pytest.mark.parametrize("milestones", [(0.0,), (1.0,), (-0.5,), ("half",), 0.5])
def test_milestones_are_checked(milestones):
    with pytest.raises(ValueError, match="milestones must be numbers in"):
        make_net(milestones=milestones)


def auc_score(net, dataset, y):
    return roc_auc_score(y, net.decision_function(dataset))


def test_callbacks_of_skorch_work(toy, tmp_path):
    net = make_net(
        train_split=ValidSplit(4, stratified=True),
        callbacks=[
            Checkpoint(monitor="valid_roc_auc_best", dirname=str(tmp_path), load_best=False),
            EpochScoring(auc_score, name="auc", lower_is_better=False, use_caching=False),
            EpochScoring("roc_auc", name="again", lower_is_better=False),
            EpochScoring("accuracy", name="train_accuracy", lower_is_better=False, on_train=True),
            GradientNormClipping(0.1),
            LRScheduler("StepLR", step_size=1, gamma=0.5),
        ],
        milestones=(),
    )
    fit(net, toy)
    np.testing.assert_allclose(net.history[:, "lr"], 0.1 * 0.5 ** np.arange(4))
    np.testing.assert_allclose(net.history[:, "auc"], net.history[:, "valid_roc_auc"])
    np.testing.assert_allclose(net.history[:, "again"], net.history[:, "valid_roc_auc"])
    assert min(net.history[:, "train_accuracy"]) > 0.3
    assert net.optimizer_.param_groups[0]["inner_lr"] is None  # decays with lr
    assert (tmp_path / "params.pt").exists()
    assert net.history[0, "valid_roc_auc_best"] is True


def test_parameters_of_skorch_reach_their_parts(toy):
    net = make_net(
        criterion__version="v1",
        criterion__margin=0.5,
        optimizer__betas=(0.5, 0.6),
        optimizer__param_groups=[("bias", {"weight_decay": 0.0})],
        iterator_train__batch_size=20,
        callbacks__print_log=None,
    )
    fit(net, toy)
    assert net.criterion_.outer.version == "v1"
    groups = net.optimizer_.param_groups
    assert [g["weight_decay"] for g in groups] == [0.0, 1e-4, 1e-4]
    assert groups[0]["betas"] == (0.5, 0.6)
    assert len(net.history[0, "batches"]) == 10
    assert "print_log" not in dict(net.callbacks_)


def test_clone_and_set_params(toy):
    net = clone(fit(make_net(strategy="auc"), toy))
    assert not net.initialized_
    net.set_params(optimizer__betas=(0.3, 0.4), max_epochs=1, verbose=0).fit(*toy)
    assert net.strategy == "auc"
    assert net.optimizer_.param_groups[0]["betas"] == (0.3, 0.4)


def test_training_and_predicting_leave_the_generators_alone(toy, untouched_generators):
    net = make_net()
    with untouched_generators():
        fit(net, toy)
        net.decision_function(toy[0])


def test_unknown_strategy():
    with pytest.raises(ValueError, match="strategy must be one of"):
        make_net(strategy="hope")


def test_set_params_of_an_initialized_net(toy):
    net = make_net().set_params(strategy="auc", max_epochs=4, milestones=(0.5,), lr_decay=0.5)
    counter = PhaseCounter()
    net.set_params(callbacks=[counter])
    net.initialize_callbacks()
    fit(net, toy)
    assert str(counter) == "o" * 16
    np.testing.assert_allclose(net.history[:, "lr"], [0.1, 0.1, 0.05, 0.05])
    net.set_params(strategy="compositional", optimizer__variant="lookahead", lr=0.01)
    assert net.optimizer_.variant == "lookahead"
    assert net.optimizer_.param_groups[0]["lr"] == 0.01
    with pytest.raises(ValueError, match="strategy must be one of"):
        net.set_params(strategy="hope")


class Interrupt(Callback):
    """Ctrl-C after so many losses."""

    def __init__(self, after):
        self.after = after

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 2, 5, 6, 12])
def test_training_goes_on_after_an_interrupt_within_an_epoch(toy, after):
    net = make_net(
        callbacks=[Interrupt(after)],
        optimizer__variant="lookahead",
        optimizer__inner_lr=2.0,
    )
    fit(net, toy)
    assert len(net.history) == (after - 1) // 8
    if after > 2:
        inner_point = net.optimizer_.state[net.module_.weight]["inner_point"]
        assert torch.equal(net.module_.weight, inner_point)
    counter = PhaseCounter()
    net.set_params(callbacks=[counter])
    net.initialize_callbacks()
    fit(net, toy)
    assert str(counter) == "io" * 16


class InterruptAt(Callback):
    """Ctrl-C in a method, in an epoch of a number."""

    def __init__(self, where, epoch):
        self.where, self.epoch = where, epoch

    def act(self, net, where):
        if where == self.where and len(net.history) == self.epoch:
            self.where = None
            raise KeyboardInterrupt

    def on_epoch_begin(self, net, **kwargs):
        self.act(net, "epoch")

    def on_batch_begin(self, net, training=False, **kwargs):
        self.act(net, "training" if training else "validation")


@pytest.mark.parametrize("where", ["epoch", "training", "validation"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_an_epoch_that_is_interrupted_leaves_no_row(toy, where, epoch):
    options = {"train_split": ValidSplit(4, stratified=True), "max_epochs": 4}
    net = make_net(callbacks=[InterruptAt(where, epoch)], **options).fit(*toy)
    assert len(net.history) == epoch - 1
    net.partial_fit(*toy, epochs=2)
    for name in ("epoch", "train_loss", "valid_loss", "valid_roc_auc", "lr", "dur"):
        assert len(net.history[:, name]) == epoch + 1
    assert net.history[:, "epoch"] == list(range(1, epoch + 2))
    assert net.decision_function(toy[0]).shape == (200,)


def test_accelerate_is_refused_with_the_reason(toy):
    class Accelerated(AccelerateMixin, CompositionalAUCNet):
        pass

    net = Accelerated(
        nn.Linear, module__in_features=4, module__out_features=1, accelerator=object()
    )
    for start in (net.initialize, lambda: net.fit(*toy)):
        with pytest.raises(
            TypeError, match=r"AccelerateMixin does not work .* wraps the optimizer"
        ):
            start()


def test_overridden_methods_of_a_subclass_are_called(toy):
    calls = []

    class Net(CompositionalAUCNet):
        def on_batch_end(self, net, batch=None, training=False, **kwargs):
            calls.append(training)

        def train_step(self, batch, **fit_params):
            step = super().train_step(batch, **fit_params)
            return {"loss": step["loss"], "y_pred": step["y_pred"]}

    net = Net(nn.Linear(4, 1), batch_size=50, max_epochs=2, verbose=0).fit(*toy)
    assert calls == [True] * 8
    assert np.isfinite(net.history[:, "train_loss"]).all()


@pytest.mark.parametrize("by", ["instance", "class"])
def test_hooks_of_batches_are_called_however_they_are_set(toy, by):
    calls = []

    class Listens(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            calls.append(training)

    listener = Listens()
    if by == "instance":
        listener = Callback()
        listener.on_batch_end = lambda net, training=False, **kwargs: calls.append(training)
    fit(make_net(callbacks=[listener], max_epochs=1), toy)
    assert calls == [True] * 4


def test_the_inference_of_a_subclass_predicts_as_it_validates(toy):
    class Reversed(CompositionalAUCNet):
        def infer(self, x, **fit_params):
            return -super().infer(x, **fit_params)

    net = fit(make_net(Reversed, train_split=ValidSplit(2, stratified=True), max_epochs=20), toy)
    _, valid = net.get_split_datasets(*toy)
    X, y = (torch.stack([torch.as_tensor(row[i]) for row in valid]) for i in (0, 1))
    assert net.score(X, y) == pytest.approx(net.history[-1, "valid_roc_auc"])
    assert net.score(*toy) > 0.8


def test_examples_may_be_dicts(toy):
    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 1)

        def forward(self, left, right):
            return self.linear(torch.cat([left, right], 1))

    X, y = toy
    net = CompositionalAUCNet(
        Summed, dataset=Rows, batch_size=64, max_epochs=2, random_state=0, verbose=0
    )
    net.fit({"left": X[:, :1], "right": X[:, 1:]}, y)
    inputs = torch.as_tensor(X)
    expected = net.module_.linear(inputs).squeeze(1).double().detach().numpy()
    scores = net.decision_function({"left": X[:, :1], "right": X[:, 1:]})
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


class Rows(Dataset):
    """Examples that are dicts, of one row of each of their parts."""

    def __init__(self, X, y=None):
        self.X = X
        self.y = np.zeros(len(X["left"]), np.float32) if y is None else y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        return {name: part[index] for name, part in self.X.items()}, self.y[index]


@pytest.mark.parametrize("with_schedule", [False, True])
def test_the_second_stage_has_the_rate_that_was_set_last(toy, with_schedule):
    callbacks = [LRScheduler("LambdaLR", lr_lambda=lambda epoch: 1.0)] if with_schedule else []
    net = make_net(strategy="two-stage", milestones=(), callbacks=callbacks)
    net.set_params(lr=0.01)
    fit(net, toy)
    np.testing.assert_allclose(net.history[:, "lr"], [0.01] * 4)


def test_the_outer_loss_is_an_auc_margin_loss(toy):
    assert isinstance(make_net().criterion_.outer, AUCMarginLoss)


def count_calls(net, toy, listen):
    calls = []
    listen(net.criterion_, lambda *_: calls.append(1))
    net.partial_fit(*toy)
    return len(calls)


@pytest.mark.parametrize(
    ("listen", "n_calls"),
    [
        (lambda loss, hook: loss.register_forward_hook(hook), 16),
        (lambda loss, hook: loss.register_forward_pre_hook(hook), 16),
        (lambda loss, hook: loss.a.register_hook(hook), 8),
        (lambda loss, hook: loss.b.register_post_accumulate_grad_hook(hook), 8),
    ],
)
def test_hooks_of_the_criterion_are_called(toy, listen, n_calls):
    assert count_calls(make_net(), toy, listen) == n_calls


def test_a_subclass_may_replace_the_criterion(toy):
    class Doubled(CompositionalAUCLoss):
        def forward(self, logits, targets, phase):
            return 2 * super().forward(logits, targets, phase)

    class Own(CompositionalAUCNet):
        def initialize_criterion(self):
            self.criterion_ = Doubled()
            return self

    once = make_net(lr=1e-6).partial_fit(*toy).history[-1]
    twice = make_net(Own, lr=1e-6).partial_fit(*toy).history[-1]
    for name in ("inner_loss", "outer_loss"):
        assert twice[name] == pytest.approx(2 * once[name], rel=1e-3)


class AtBatch(Callback):
    """Does something to the net before the batch of a number, counted from 1."""

    def __init__(self, number, change):
        self.number, self.change = number, change

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and len(net.history) == 1 and len(net.history[-1]["batches"]) == self.number:
            self.change(net)


def test_a_strategy_that_changes_in_mid_epoch_counts_from_there(toy):
    counter = PhaseCounter()
    change = AtBatch(3, lambda net: net.set_params(strategy="auc"))
    net = fit(make_net(max_epochs=2, callbacks=[counter, change]), toy)
    assert str(counter) == "io" + "o" * 6
    assert net.optimizer_.state_dict()["schedule"]["steps"] == 6


def test_batches_may_have_more_than_two_parts(toy):
    totals = []

    class Weighted(CompositionalAUCNet):
        def train_step_single(self, batch, **fit_params):
            X, y, weights = batch
            step = super().train_step_single((X, y), **fit_params)
            return {**step, "total": weights.sum()}

    class Keep(Callback):
        def on_batch_end(self, net, training=False, total=None, **kwargs):
            if training:
                totals.append(total.item())

    def collate(items):
        X, y = (torch.as_tensor(np.array(part)) for part in zip(*items, strict=True))
        return X, y, torch.ones(len(X))

    class Rows(Dataset):
        def __init__(self, X, y):
            self.X, self.y = X, y

        def __len__(self):
            return len(self.X)

        def __getitem__(self, index):
            return self.X[index], self.y[index]

    net = make_net(
        Weighted, dataset=Rows, iterator_train__collate_fn=collate, callbacks=[Keep], max_epochs=1
    )
    fit(net, toy)
    assert totals == [50] * 4


def test_an_epoch_with_everything_frozen(toy):
    moved = []

    class Freeze(Callback):
        def on_epoch_begin(self, net, **kwargs):
            net.module_.requires_grad_(len(net.history) != 2)
            self.before = net.module_.weight.detach().clone()

        def on_epoch_end(self, net, **kwargs):
            moved.append(not torch.equal(net.module_.weight, self.before))

    fit(make_net(callbacks=[Freeze()], max_epochs=3), toy)
    assert moved == [True, False, True]


def test_a_step_by_hand_after_an_interrupt_begins_with_the_inner_phase(toy):
    net = make_net(
        callbacks=[Interrupt(1)],
        optimizer__variant="lookahead",
        optimizer__hypergradient="exact",
    )
    fit(net, toy)
    net.optimizer_.train()
    assert list(net.train_step(tuple(map(torch.from_numpy, toy)))["losses"]) == [
        "inner_loss",
        "outer_loss",
    ]


def test_data_is_let_go_of_after_a_failed_fit(toy):
    dataset = InMemoryDataset(*toy)
    kept = weakref.ref(dataset)
    net = make_net(callbacks=[AtBatch(2, lambda net: 1 / 0)])
    with pytest.raises(ZeroDivisionError):
        net.partial_fit(dataset, None)
    del dataset
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("strategy", ["compositional", "two-stage", "auc"])
def test_the_average_of_weights_predicts_and_does_not_change_the_training(toy, strategy):
    seen, nets = {}, {}

    class Watch(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            if training:
                seen.setdefault(net.optimizer_.averaging, []).append(net.module_.weight.tolist())

    for averaging in (None, 0.9):
        nets[averaging] = fit(
            make_net(strategy=strategy, optimizer__averaging=averaging, callbacks=[Watch()]), toy
        )
    assert seen[0.9] == seen[None]
    expected, start = None, 9 if strategy == "two-stage" else 1
    for t, weight in enumerate(seen[0.9][start - 1 :], 1):
        old = min(0.9, 1 - 1 / (1 + t / 5))
        weight = torch.tensor(weight)
        expected = weight if t == 1 else old * expected + (1 - old) * weight
    torch.testing.assert_close(nets[0.9].module_.weight.detach(), expected)
    nets[0.9].set_params(optimizer__averaging=0.5)
    assert nets[0.9].optimizer_.averaging == 0.5


def test_labels_may_be_booleans(toy):
    X, y = toy
    expected = fit(make_net(), toy).decision_function(X)
    net = fit(make_net(), (X, y == 1))
    np.testing.assert_array_equal(net.decision_function(X), expected)


def test_an_instance_of_the_loss_is_refused_for_an_ensemble():
    class Pair(nn.Linear):
        n_members = 2

    with pytest.raises(ValueError, match=r"criterion must be a class.*n_members=2"):
        make_net(module=Pair, criterion=CompositionalAUCLoss(margin=0.5))
