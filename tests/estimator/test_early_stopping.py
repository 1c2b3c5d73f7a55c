"""Early stopping on a validation split."""

import numpy as np
import pytest
from skorch.callbacks import Callback, EarlyStopping

from skdam.data.examples import labels_of


def test_early_stopping_keeps_the_best_weights(toy, make):
    options = {"early_stopping": True, "validation_fraction": 0.3, "lr": 0.3, "batch_size": 5}
    # the kernel machine joins after training, and has no part in the validation score
    options["module__n_landmarks"] = 0
    clf = make(max_epochs=100, n_iter_no_change=4, **options).fit(*toy)
    aucs = clf.history_["valid_roc_auc"]
    best = int(np.nanargmax(aucs))
    assert clf.best_score_ == aucs[best]
    assert clf.best_epoch_ == best + 1
    assert clf.n_iter_ == len(aucs) < 100
    short = make(max_epochs=best + 1, milestones=(), **options)
    assert best + 1 < 50  # before the first milestone, so that the shorter run is the same
    short.fit(*toy)
    np.testing.assert_array_equal(short.decision_function(toy[0]), clf.decision_function(toy[0]))


def test_early_stopping_counts_only_improvements_of_tol(toy, make):
    options = {"early_stopping": True, "max_epochs": 60, "n_iter_no_change": 3, "lr": 0.3}
    assert make(tol=0.9, batch_size=6, **options).fit(*toy).n_iter_ == 4
    # an epoch has three batches, so that every ninth is checked
    assert make(tol=0.9, batch_size=60, **options).fit(*toy).n_iter_ == 36


def test_early_stopping_validates_on_a_stratified_share(toy, make):
    X, y = toy  # 30 positives, 170 negatives
    sizes = []

    class Look(Callback):
        def on_train_begin(self, net, X, y, **kwargs):
            valid = labels_of(net.train_split(None)[1])
            sizes.extend([(y.sum(), (1 - y).sum()), (valid.sum(), (1 - valid).sum())])

    make(early_stopping=True, validation_fraction=0.2, callbacks=[Look()]).fit(X, y)
    assert sizes == [(24, 136), (6, 34)]


def test_early_stopping_needs_two_examples_of_each_class(toy, make):
    X, y = toy
    rows = np.r_[np.flatnonzero(y == 1)[:2], np.flatnonzero(y == 0)]
    clf = make(early_stopping=True).fit(X[rows], y[rows])
    assert 0 <= clf.best_score_ <= 1
    with pytest.raises(ValueError, match=r"at least 2 examples of each class, got 1 of 1\.0"):
        clf.fit(X[rows[1:]], y[rows[1:]])
    assert 0 <= make(early_stopping="auto").fit(X[rows[1:]], y[rows[1:]]).score(X, y) <= 1


def test_a_fit_without_early_stopping_drops_the_earlier_best_score(toy, make):
    clf = make(early_stopping=True).fit(*toy)
    assert not hasattr(clf.set_params(early_stopping=False).fit(*toy), "best_score_")


@pytest.mark.parametrize("callback", [None, EarlyStopping("valid_loss", patience=50)], ids=str)
def test_the_callback_may_be_replaced(toy, make, callback):
    clf = make(early_stopping=True, callbacks__early_stopping=callback).fit(*toy)
    assert clf.n_iter_ == 3
    assert not hasattr(clf, "best_score_")
    assert np.isfinite(clf.history_["valid_roc_auc"]).all()


def test_data_that_is_set_aside_does_not_change_the_network(make):
    rng = np.random.default_rng(0)
    X = np.c_[rng.integers(100, size=30_000), rng.normal(size=30_000)].astype(np.float32)
    y = np.arange(30_000) % 2
    options = {"max_epochs": 1, "n_members": 2, "module__n_landmarks": 0}
    for early_stopping in ("auto", True):
        clf = make(early_stopping=early_stopping, **options).fit(X, y)
        assert clf.net_.get_params_for("module")["n_values"] == (100, 0)
