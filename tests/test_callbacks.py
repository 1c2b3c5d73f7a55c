import numpy as np
import pytest
from skorch.callbacks import EpochTimer
from skorch.dataset import ValidSplit
from torch import nn

from skdam import CompositionalAUCNet
from skdam.callbacks import EarlyStoppingAUC


def fit(toy, callback, **parameters):
    return CompositionalAUCNet(
        nn.Linear,
        module__in_features=4,
        module__out_features=1,
        callbacks=[callback],
        random_state=0,
        verbose=0,
        **({"train_split": ValidSplit(4, stratified=True), "max_epochs": 30} | parameters),
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
    callback = EarlyStoppingAUC(n_iter_no_change=2)
    net = fit(toy, callback, strategy="two-stage", lr=0.5)
    assert callback.best_epoch_ > 15
    assert not net.optimizer_.pretraining


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
    with pytest.raises(ValueError, match=r"needs valid_roc_auc in the history.*set train_split"):
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
