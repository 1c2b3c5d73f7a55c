import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader, Dataset

from skdam import AUCMarginLoss, CompositionalAUCLoss, CompositionalAUCNet, DivergenceError
from skdam.training.epoch import is_observed


def make_net(kind=CompositionalAUCNet, module=nn.Linear, **parameters):
    defaults = {
        "module__in_features": 4,
        "module__out_features": 1,
        "max_epochs": 4,
        "batch_size": 50,
        "random_state": 0,
        "verbose": 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return kind(module, **(defaults | parameters)).initialize()


def fit(net, toy):
    return net.partial_fit(*toy)


class PhaseCounter(Callback):
    """Counts the phases of the losses that are evaluated for a gradient."""

    def on_train_begin(self, net, **kwargs):
        self.phases = []
        wrapped = net.criterion_.forward

        def forward(logits, targets, phase):
            if torch.is_grad_enabled():
                self.phases.append(phase[0])
            return wrapped(logits, targets, phase)

        net.criterion_.forward = forward

    def __str__(self):
        return "".join(self.phases)


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


def test_exact_hessian_is_of_the_very_loss_that_led_to_the_inner_point(toy):
    """The inner loss is evaluated again with the same dropout mask, at the same weights."""
    values = []

    class Recorder(Callback):
        def on_train_begin(self, net, **kwargs):
            wrapped = net.criterion_.forward

            def forward(logits, targets, phase):
                loss = wrapped(logits, targets, phase)
                if phase == "inner":
                    values.append(loss.item())
                return loss

            net.criterion_.forward = forward

    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 1)
            )

        def forward(self, X):
            return self.layers(X)

    net = CompositionalAUCNet(
        Dropping, optimizer__variant="lookahead", optimizer__hypergradient="exact",
        max_epochs=2, callbacks=[Recorder()], verbose=0, random_state=0,
    )  # fmt: skip
    net.fit(*toy)
    assert len(values) == 2 * 2 * 2
    np.testing.assert_allclose(values[::2], values[1::2], rtol=1e-6)
    assert len(set(np.round(values, 6))) == 4


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


def test_workers_give_the_same_batches(toy):
    one, other = make_net(), make_net(iterator_train__num_workers=1)
    for net in (one, other):
        fit(net, toy)
    assert torch.equal(one.module_.weight, other.module_.weight)


def test_scores_do_not_depend_on_the_batch(toy):
    X, y = toy
    net = fit(make_net(iterator_valid__batch_size=64), toy)
    scores = net.decision_function(X)
    assert scores.dtype == np.float64
    alone = [net.decision_function(X[i : i + 1])[0] for i in range(50)]
    np.testing.assert_array_equal(alone, scores[:50])


def test_training_and_predicting_leave_the_generators_alone(toy, untouched_generators):
    net = make_net()
    with untouched_generators():
        fit(net, toy)
        net.decision_function(toy[0])


class Wrong(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.linear = nn.Linear(4, 2)

    def forward(self, X):
        output = self.linear(X)
        return {"two": output, "scalar": output.sum(), "tuple": (output,)}[self.kind]


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("two", ValueError, r"of shape \(n,\) or \(n, 1\).*it returned \(2, 2\)"),
        ("scalar", ValueError, r"it returned \(\)"),
        ("tuple", TypeError, "must return a Tensor, got tuple"),
    ],
)
def test_output_of_the_module_is_checked_before_training(toy, kind, error, message):
    net = CompositionalAUCNet(Wrong, module__kind=kind, verbose=0)
    with pytest.raises(error, match=message):
        net.fit(*toy)
    assert len(net.history) == 0


class Members(nn.Module):
    """Linear members in one layer."""

    def __init__(self, n_members=3, n_returned=3):
        super().__init__()
        self.n_members = n_members
        self.linear = nn.Linear(4, n_returned)

    def forward(self, X):
        return self.linear(X)


def test_members_train_alone_and_vote_by_probability(toy):
    X, y = toy
    net = CompositionalAUCNet(Members, max_epochs=3, verbose=0, random_state=0).fit(X, y)
    assert net.criterion_.a.shape == (3,)
    probabilities = torch.sigmoid(net.forward(X)).double().mean(1).numpy()
    np.testing.assert_allclose(net.predict_proba(X)[:, 1], probabilities, rtol=1e-6)


def test_a_module_may_count_the_votes_itself(toy):
    class LastDecides(Members):
        def vote(self, logits):
            return logits[:, -1]

    net = CompositionalAUCNet(LastDecides, max_epochs=1, verbose=0, random_state=0).fit(*toy)
    expected = net.forward(toy[0])[:, -1].double().numpy()
    np.testing.assert_array_equal(net.decision_function(toy[0]), expected)


def test_a_vote_may_be_learnt(toy):
    class Learnt(Members):
        def __init__(self):
            super().__init__()
            self.shares = nn.Parameter(torch.ones(3))

        def vote(self, logits):
            return logits @ self.shares

    net = CompositionalAUCNet(Learnt, max_epochs=1, verbose=0, random_state=0).fit(*toy)
    assert net.decision_function(toy[0]).shape == (200,)


def test_the_shape_of_the_vote_is_checked(toy):
    class Unfinished(Members):
        def vote(self, logits):
            return logits[:, :1]

    with pytest.raises(ValueError, match=r"the vote of module Unfinished .* \(2, 1\)"):
        CompositionalAUCNet(Unfinished, verbose=0).fit(*toy)


def test_validation_scores_are_those_of_the_vote(toy):
    X, y = toy
    net = CompositionalAUCNet(
        Members, max_epochs=1, verbose=0, random_state=0, train_split=ValidSplit(2, stratified=True)
    ).fit(X, y)
    valid = ValidSplit(2, stratified=True)(net.get_dataset(X, y), y)[1].indices
    auc = roc_auc_score(y[valid], net.decision_function(X[valid]))
    assert net.history[-1, "valid_roc_auc"] == pytest.approx(auc)


def test_columns_that_are_no_members_are_refused(toy):
    net = CompositionalAUCNet(Members, module__n_returned=2, verbose=0)
    with pytest.raises(ValueError, match=r"n_members=3 members, of shape \(n, 3\).*\(2, 2\)"):
        net.fit(*toy)


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


def test_unknown_strategy():
    with pytest.raises(ValueError, match="strategy must be one of"):
        make_net(strategy="hope")


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"optimizer__variant": "lookahead"},
        {"strategy": "two-stage"},
        {"strategy": "cross-entropy", "optimizer__adaptive": True, "lr": 0.01},
    ],
    ids=str,
)
def test_copies_predict_and_train_as_the_original(toy, parameters, copier):
    net = fit(make_net(milestones=(), **parameters), toy)
    before = torch.get_rng_state()
    other = copier(net)
    assert torch.equal(torch.get_rng_state(), before)
    X = toy[0]
    np.testing.assert_array_equal(other.decision_function(X), net.decision_function(X))
    assert other.history[:, "train_loss"] == net.history[:, "train_loss"]
    assert len(other.history) == 4
    for one in (net, other):
        fit(one, toy)
    np.testing.assert_array_equal(other.decision_function(X), net.decision_function(X))


def test_calls_of_partial_fit_see_all_the_data(toy):
    X, y = toy
    seen = set()

    class Watch(Callback):
        def on_batch_begin(self, net, batch=None, **kwargs):
            seen.update(batch[0][:, 1].tolist())

    net = make_net(callbacks=[Watch()], sampling_rate=0.5, max_epochs=1)
    for _ in range(12):
        net.partial_fit(X, 1 - y)
    assert len(seen) > 190


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


def test_parameters_of_two_stages_load_into_a_new_net(toy, tmp_path):
    files = {f"f_{part}": tmp_path / part for part in ("params", "optimizer", "criterion")}
    net = fit(make_net(strategy="two-stage"), toy)
    net.save_params(**files)
    other = make_net(strategy="two-stage")
    other.load_params(**files)
    assert not other.optimizer_.pretraining
    np.testing.assert_array_equal(other.decision_function(toy[0]), net.decision_function(toy[0]))


class Interrupt(Callback):
    """Ctrl-C after so many losses."""

    def __init__(self, after):
        self.after = after

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 2, 5, 6, 12])
def test_an_interrupt_inside_an_epoch(toy, after):
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


def test_an_attribute_of_the_user_does_not_hinder_pickling(toy):
    net = fit(make_net(), toy)
    net.note = "mine"
    assert len(pickle.loads(pickle.dumps(net)).history) == 4


@pytest.mark.parametrize("hypergradient", ["first-order", "exact"])
def test_lookahead_keeps_running_statistics_of_the_inner_point_alone(toy, hypergradient):
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    net = CompositionalAUCNet(
        network, optimizer__variant="lookahead", optimizer__hypergradient=hypergradient,
        sampling_rate=0.15, batch_size=200, max_epochs=1, verbose=0,
    ).fit(*toy)  # fmt: skip
    first, normalise, _ = net.module_
    assert normalise.num_batches_tracked == 1
    with torch.no_grad():
        inputs = first(torch.from_numpy(toy[0]))  # of the one batch there was, at u
    torch.testing.assert_close(normalise.running_mean, 0.1 * inputs.mean(0))


def test_lookahead_undoes_what_a_module_does_to_a_buffer_by_putting_another_in_its_place(toy):
    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(4, 1)
            self.register_buffer("n_calls", torch.tensor(0))

        def forward(self, X):
            if self.training:
                self.n_calls = self.n_calls + 1
            return super().forward(X)

    net = CompositionalAUCNet(
        Counting, optimizer__variant="lookahead", batch_size=200, max_epochs=3, verbose=0
    ).fit(*toy)
    assert net.module_.n_calls == 3


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


def test_methods_of_a_net_of_the_user_are_called(toy):
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


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_batches_are_watched_by_none_or_by_all_with_the_same_result(toy, variant):
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


def test_an_unfitted_net_pickles():
    net = CompositionalAUCNet(nn.Linear, module__in_features=4, module__out_features=1)
    other = pickle.loads(pickle.dumps(net))
    assert not other.initialized_
    assert other.module__in_features == 4


def test_continuing_leaves_the_other_net_as_it_is(toy):
    net = fit(make_net(), toy)
    scores = net.decision_function(toy[0])
    for restart in (False, True):
        other = make_net()
        other.continue_from(net, restart=restart)
        np.testing.assert_array_equal(other.decision_function(toy[0]), scores)
        fit(other, toy)
        assert len(other.history) == 8
    assert len(net.history) == 4
    np.testing.assert_array_equal(net.decision_function(toy[0]), scores)


def test_the_outer_loss_is_an_auc_margin_loss(toy):
    assert isinstance(make_net().criterion_.outer, AUCMarginLoss)


def test_scores_are_as_many_as_the_loader_yields(toy):
    loader = {"drop_last": True, "batch_size": 32, "num_workers": 1}
    net = fit(make_net(**{f"iterator_valid__{k}": v for k, v in loader.items()}), toy)
    X = toy[0]
    scores = net.decision_function(X)
    assert len(scores) == len(X) // 32 * 32
    assert np.isfinite(scores).all()


class Counting(nn.Linear):
    """Puts another tensor, of another dtype, in the place of its buffer."""

    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("late", None)
        self.register_buffer("queue", torch.zeros(1, in_features))

    def forward(self, X):
        if self.training:
            self.count = self.count + 0.5
            self.late = torch.ones(()) if self.late is None else self.late + 1
            self.queue = torch.cat([self.queue, X[:2]])
        return super().forward(X)


def test_buffers_of_any_kind_count_for_the_inner_point_alone(toy):
    net = CompositionalAUCNet(
        Counting(4, 1), optimizer__variant="lookahead", max_epochs=1, batch_size=50, verbose=0
    )
    module = fit(net.initialize(), toy).module_
    n_batches = len(net.history[0]["batches"])
    assert module.count.item() == 0.5 * n_batches
    assert module.late.item() == n_batches + 1  # of the first pass, that made it
    assert module.queue.shape == (1 + 2 * n_batches, 4)


@pytest.mark.parametrize(
    ("callback", "observes"),
    [
        (LRScheduler("StepLR", step_size=1, gamma=0.5), False),
        (LRScheduler("StepLR", step_size=1, gamma=0.5, step_every="batch"), True),
        (EpochScoring("roc_auc", name="score", lower_is_better=False), False),
        (EpochScoring("roc_auc", name="score", lower_is_better=False, on_train=True), True),
        (BatchScoring("accuracy", name="score", lower_is_better=False), False),
        (BatchScoring("accuracy", name="score", lower_is_better=False, on_train=True), True),
    ],
    ids=lambda given: type(given).__name__,
)
def test_callbacks_of_validation_do_not_observe_training(toy, callback, observes):
    rows = []
    for watch in ([], [Watching()]):
        net = make_net(
            callbacks=[("own", copy.deepcopy(callback)), *watch], train_split=ValidSplit(4)
        )
        fit(net, toy)
        assert is_observed(net) == (observes or bool(watch))
        rows.append([{k: v for k, v in row.items() if k != "dur"} for row in net.history])
    assert rows[0] == rows[1]


def test_targets_belong_to_a_batch_where_others_see_them(toy):
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


class Watching(Callback):
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
def test_it_is_the_same_model_whoever_looks_at_batches(toy, strategy, variant, adaptive):
    states = []
    for kind, callbacks in (
        (CompositionalAUCNet, []),
        (CompositionalAUCNet, [Watching()]),
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


class Halves(CompositionalAUCNet):
    """Each half of a batch adds to the gradient; so it is twice that of the batch, about."""

    def train_step_single(self, batch, **fit_params):
        for part in (slice(0, None, 2), slice(1, None, 2)):
            X, y = batch[0][part], batch[1][part]
            if part.start:
                loss = self.get_loss(self.infer(X), y, X=X, training=True)
                loss.backward()
            else:
                super().train_step_single((X, y), **fit_params)
        self.gradients.append(self.module_.weight.grad.clone())
        return {"loss": loss, "y_pred": None}


def test_gradients_of_a_step_add_up_and_those_of_the_last_are_cleared(toy):
    net = make_net(Halves, max_epochs=3, lr=1e-6)
    net.gradients = []
    net.partial_fit(*toy)
    assert len(net.gradients) == 12
    norms = [gradient.norm().item() for gradient in net.gradients]
    assert max(norms[::2]) < 2 * min(norms[::2])  # of the inner loss
    assert max(norms[1::2]) < 2 * min(norms[1::2])


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


def test_a_criterion_that_a_subclass_puts_in_place(toy):
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
