import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EpochTimer
from skorch.dataset import ValidSplit
from torch import nn

from skdam import CompositionalAUCNet
from skdam.callbacks import EarlyStoppingAUC


def fit(toy, callback, **parameters):
    usual = {"train_split": ValidSplit(4, stratified=True), "max_epochs": 30, "verbose": 0}
    usual["callbacks"] = [callback]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the initial weights
        return CompositionalAUCNet(
            nn.Linear,
            module__in_features=4,
            module__out_features=1,
            random_state=0,
            **(usual | parameters),
        ).fit(*toy)


@pytest.mark.parametrize("averaging", [None, 0.5])
def test_early_stopping_restores_the_best_epoch(toy, averaging):
    callback = EarlyStoppingAUC(n_iter_no_change=3)
    train_split = ValidSplit(4, stratified=True)
    net = fit(toy, callback, lr=0.5, train_split=train_split, optimizer__averaging=averaging)
    aucs = net.history[:, "valid_roc_auc"]
    assert callback.best_score_ == np.nanmax(aucs)
    assert callback.best_epoch_ == 1 + int(np.nanargmax(aucs))
    steps = net.optimizer_.state_dict()["schedule"]["steps"]
    assert steps == 2 * callback.best_epoch_  # an epoch of 150 examples has two batches
    _, valid = train_split(net.get_dataset(*toy), toy[1])
    X, y = (toy[i][valid.indices] for i in (0, 1))
    assert net.score(X, y) == pytest.approx(callback.best_score_)


def test_early_stopping_ignores_the_first_of_two_stages(toy):
    callback = EarlyStoppingAUC(n_iter_no_change=1, tol=1.0)
    # epochs of 25 batches are all checked, and no check is an improvement
    net = fit(toy, callback, strategy="two-stage", batch_size=6, max_epochs=6)
    assert len(net.history) == 5
    assert callback.best_epoch_ > 3


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [(50, [9, 10]), (20, [4, 8, 10]), (6, range(1, 11))],  # 3, 8 and 25 batches an epoch
)
def test_an_epoch_is_checked_25_batches_after_the_last_check_and_at_the_end(
    toy, batch_size, expected
):
    callback = EarlyStoppingAUC(100)
    net = fit(toy, callback, batch_size=batch_size, max_epochs=10)
    for name in ("valid_roc_auc", "valid_loss"):
        checked = 1 + np.flatnonzero(np.isfinite(net.history[:, name]))
        np.testing.assert_array_equal(checked, expected)
    best = [row["epoch"] for row in net.history if row["valid_roc_auc_best"]]
    assert best[-1] == callback.best_epoch_
    net.partial_fit(*toy, epochs=2)
    assert np.isfinite(net.history[-1, "valid_roc_auc"])


def test_every_epoch_is_scored_without_early_stopping(toy):
    net = fit(toy, EpochTimer(), max_epochs=4)
    assert np.isfinite(net.history[:, "valid_roc_auc"]).all()


def test_early_stopping_without_validation_data_is_an_error(toy):
    message = "needs valid_roc_auc in the history; for that of validation data, set train_split"
    with pytest.raises(ValueError, match=message):
        fit(toy, EarlyStoppingAUC(), train_split=None)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("compositional", [1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ("two-stage", [1, 0.5, 0.25, 1, 1, 0.5, 0.25]),  # shares of 3 epochs, then of 4
    ],
)
def test_stages_start_at_shares_of_the_epochs_rounded(toy, strategy, expected):
    net = fit(
        toy, EarlyStoppingAUC(100), strategy=strategy, max_epochs=7, milestones=(0.4, 0.7),
        lr=1.0, lr_decay=0.5,
    )  # fmt: skip
    np.testing.assert_allclose(net.history[:, "lr"], expected)


class Record(Callback):
    """Records given scores, one for each epoch, and the weights at its end."""

    def __init__(self, scores):
        self.scores = scores

    def on_train_begin(self, net, **kwargs):
        self.weights = []

    def on_epoch_end(self, net, **kwargs):
        net.history.record("score", self.scores[len(net.history) - 1])
        self.weights.append(net.module_.weight.detach().clone())


def stopped(toy, scores, n_iter_no_change=100, **parameters):
    """A net without validation data that is stopped by given scores."""
    record = Record(scores)
    stop = EarlyStoppingAUC(n_iter_no_change, monitor="score", **parameters)
    net = CompositionalAUCNet(
        nn.Linear,
        module__in_features=4,
        module__out_features=1,
        callbacks=[record, stop],
        max_epochs=len(scores),
        random_state=0,
        verbose=0,
    ).fit(*toy)
    assert torch.equal(net.module_.weight, record.weights[stop.best_epoch_ - 1])
    return net, stop


NAN = np.nan


def test_any_auc_in_the_history_may_be_monitored(toy):
    net, stop = stopped(toy, [0.5, 0.7, 0.6, 0.65])
    assert stop.best_epoch_ == 2
    assert stop.best_score_ == 0.7
    assert len(net.history) == 4


def test_epochs_without_a_score_are_no_checks(toy):
    scores = [NAN, 0.6, NAN, 0.7, NAN, NAN, 0.65, NAN, 0.7, NAN, 0.8]
    net, stop = stopped(toy, scores, n_iter_no_change=2)
    assert len(net.history) == 9
    assert stop.best_epoch_ == 4


@pytest.mark.parametrize("window", [1, 2, 3])
def test_a_score_is_the_mean_of_the_latest_values(toy, window):
    scores = [0.5, 0.9, 0.4, NAN, 0.65, 0.8, 0.7, 0.7, 0.2]
    checked = [(i + 1, score) for i, score in enumerate(scores) if not np.isnan(score)]
    means = [
        np.mean([score for _, score in checked[max(k + 1 - window, 0) : k + 1]])
        for k in range(len(checked))
    ]
    _, stop = stopped(toy, scores, window=window)
    assert stop.best_score_ == pytest.approx(max(means))
    assert stop.best_epoch_ == checked[int(np.argmax(means))][0]


def test_checks_that_improve_by_less_than_tol_are_counted(toy):
    scores = [0.5, 0.55, 0.56, 0.57, 0.99, 0.99]
    net, stop = stopped(toy, scores, n_iter_no_change=2, tol=0.03)
    # the best weights are kept, even if that is no improvement of tol
    assert len(net.history) == stop.best_epoch_ == 4


def test_equal_scores_are_no_improvement(toy):
    net, stop = stopped(toy, [1.0] * 6, n_iter_no_change=3, tol=0)
    assert len(net.history) == 4
    assert stop.best_epoch_ == 1


def test_a_second_training_does_not_know_the_scores_of_the_first(toy):
    scores = [0.9, 0.8, 0.5, 0.6, 0.4]
    net, stop = stopped(toy, scores[:2], window=2)
    record = dict(net.callbacks_)["Record"]
    record.scores = scores
    net.partial_fit(*toy, epochs=3)
    assert stop.best_epoch_ == 4
    assert stop.best_score_ == pytest.approx(0.55)


def test_stopping_by_other_scores_lets_every_epoch_be_validated(toy):
    stop = EarlyStoppingAUC(100, monitor="train_loss")
    net = fit(toy, stop, max_epochs=4)
    assert np.isfinite(net.history[:, "valid_roc_auc"]).all()
