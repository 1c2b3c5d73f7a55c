"""Training that continues: warm start and partial fit."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.special import logit
from sklearn.base import clone
from skorch.callbacks import Callback


def test_warm_start_continues_from_the_weights(toy, make):
    cold = make(max_epochs=20).fit(*toy)
    warm = clone(cold).set_params(warm_start=True).fit(*toy)
    scores = warm.decision_function(toy[0])
    np.testing.assert_array_equal(scores, cold.decision_function(toy[0]))
    warm.set_params(lr=1e-12).fit(*toy)
    assert warm.n_iter_ == 40
    np.testing.assert_allclose(warm.decision_function(toy[0]), scores, atol=1e-6)
    assert warm.history_["inner_loss"][-1] < warm.history_["inner_loss"][0]
    assert cold.fit(*toy).n_iter_ == 20


def test_warm_start_needs_the_same_columns_classes_and_network(toy, make):
    X, y = toy
    clf = make(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="3 features"):
        clf.fit(X[:, :3], y)
    with pytest.raises(ValueError, match=r"y holds unknown labels \[2.0\]"):
        clf.fit(X, y * 2)
    with pytest.raises(ValueError, match="the network is another one than in the last fit"):
        clf.set_params(module__hidden_layer_sizes=(3,)).fit(X, y)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_continues_on_data_of_another_size(toy, make, method):
    """What the data chose of the network, such as the landmarks, stays."""
    X, y = toy
    clf = make(warm_start=True).fit(X[:100], y[:100])
    getattr(clf, method)(X, y)
    assert clf.predict(X).shape == (200,)
    assert len(clf.net_.module_.kernel_machine.landmarks) == 100
    with pytest.raises(ValueError, match="the network is another one than in the last fit"):
        clf.set_params(module__n_landmarks=7).fit(X, y)
    assert len(clf.net_.module_.kernel_machine.landmarks) == 100


def test_dropout_may_change_between_fits(toy, make):
    clf = make(warm_start=True).fit(*toy)
    assert clf.set_params(module__dropout=0.5).fit(*toy).n_iter_ == 6


@pytest.mark.parametrize("variant", ["alternating", "lookahead"])
def test_partial_fit_continues_training(toy, variant, make):
    clf = make(variant=variant, batch_size=100)
    losses = []
    for _ in range(30):
        losses.append(clf.partial_fit(*toy).history_["outer_loss"][-1])
    assert clf.n_iter_ == 30
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert clf.net_.optimizer_.state_dict()["schedule"]["steps"] == 30 * 2 * (
        2 if variant == "lookahead" else 1
    )
    again = make(variant=variant, batch_size=100)
    for _ in range(30):
        again.partial_fit(*toy)
    np.testing.assert_array_equal(again.decision_function(toy[0]), clf.decision_function(toy[0]))


def test_partial_fit_checks_classes_and_drops_the_best_score(toy, make):
    clf = make(early_stopping=True).fit(*toy)
    with pytest.raises(ValueError, match=r"classes holds unknown labels \[5\]; the classes are"):
        clf.partial_fit(*toy, classes=[0, 5])
    assert not hasattr(clf.partial_fit(*toy), "best_score_")


@pytest.mark.parametrize("weighted", [False, True])
def test_probabilities_after_partial_fit_follow_the_classes_of_all_calls(toy, make, weighted):
    X, y = toy[0], toy[1].astype(np.float64)
    few = np.flatnonzero(y == 0)[:5]
    chunks = [np.r_[np.flatnonzero(y == 1), few], np.flatnonzero(y == 0), np.r_[:40]]
    chunks = [np.union1d(chunk, np.r_[np.flatnonzero(y == 1)[:2], few]) for chunk in chunks]
    weights = np.where(np.arange(200) % 2, 1.0, 3.0) if weighted else np.ones(200)
    clf = make(class_weight="balanced")
    for chunk in chunks:
        clf.partial_fit(X[chunk], y[chunk], sample_weight=weights[chunk])
    seen = np.concatenate(chunks)
    mean_one = [weights[chunk] / weights[chunk].mean() for chunk in chunks]
    balanced = np.average(y[seen], weights=np.concatenate(mean_one))
    expected = logit(0.5) - logit(y[seen].mean()) + logit(balanced)
    assert clf.offset_ == pytest.approx(expected)


def test_partial_fit_takes_the_learning_rates_from_the_parameters(toy, make):
    clf = make().partial_fit(*toy)
    scores = clf.net_.decision_function(toy[0])
    # the weights that predict are averages: without averaging, no rate means no change
    parameters = {"lr": 1e-12, "optimizer__averaging": None}
    other = make(**parameters).partial_fit(*toy)
    before = copy.deepcopy(other.net_.module_.state_dict())
    after = other.partial_fit(*toy).net_.module_.state_dict()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-9)
    moved = clf.partial_fit(*toy).net_.decision_function(toy[0])
    assert np.abs(moved - scores).max() > 1e-3


def test_partial_fit_switches_between_two_stages(toy, make):
    clf = make(strategy="two-stage", max_epochs=4)
    for _ in range(4):
        clf.partial_fit(*toy)
    gaps = np.isnan(clf.history_["inner_loss"])
    np.testing.assert_array_equal(gaps, [False, False, True, True])


def test_partial_fit_with_another_strategy_starts_a_new_schedule(toy, make):
    clf = make(strategy="cross-entropy").partial_fit(*toy)
    clf.set_params(strategy="auc").partial_fit(*toy)
    np.testing.assert_array_equal(np.isnan(clf.history_["outer_loss"]), [True, False])


def test_partial_fit_keeps_a_row_for_each_epoch_and_the_batches_of_the_last(toy, make):
    clf = make(batch_size=20)
    for _ in range(4):
        clf.partial_fit(*toy)
    rows = clf.net_.history
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [len(row["batches"]) for row in rows] == [0, 0, 0, 10]
    assert [len(values) for values in clf.history_.values()] == [4] * len(clf.history_)


def test_pickles_grow_by_a_row_for_each_call(toy, make):
    clf = make(batch_size=8)
    sizes = [len(pickle.dumps(clf.partial_fit(*toy))) for _ in range(8)]
    assert np.diff(sizes)[2:].max() < 1000


def test_a_partial_fit_that_fails_leaves_the_history_as_it_was(toy, make):
    class Fail(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("late", 1.0)
            raise RuntimeError

    clf = make().fit(*toy)
    rows, before = clf.net_.history, copy.deepcopy(list(clf.net_.history))
    clf.set_params(callbacks=[Fail()])
    with pytest.raises(RuntimeError):
        clf.partial_fit(*toy)
    assert clf.net_.history is rows
    assert list(rows) == before


def test_a_small_part_after_a_large_one_has_its_share_of_positives(make):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(21_000, 2))
    y = X[:, 0] + rng.normal(size=len(X)) > 3
    clf = make(n_members=1, module__hidden_layer_sizes=(4,), batch_size=1024)
    clf.partial_fit(X[:20_000], y[:20_000])
    rate = clf.net_.sampling_rate
    assert rate < 0.3
    # the last part of a stream; the probabilities are corrected for one share
    before = str(clf.net_.module_)
    assert clf.partial_fit(X[20_000:], y[20_000:]).net_.sampling_rate == rate
    assert str(clf.net_.module_) == before


def test_partial_fit_has_no_milestones(toy, make):
    clf = make(lr=0.01, milestones=(0.25, 0.5), max_epochs=4, module__n_landmarks=0)
    for _ in range(4):
        clf.partial_fit(*toy)
    np.testing.assert_array_equal(clf.history_["lr"], 0.01)


@pytest.mark.parametrize("encoding", [None, "piecewise-linear"])
def test_partial_fit_ignores_for_good_a_column_that_was_constant_at_first(toy, make, encoding):
    X, y = toy
    constant = X.copy()
    constant[:, 0] = 1
    clf = make(module__encoding=encoding).partial_fit(constant, y).partial_fit(X, y)
    np.testing.assert_array_equal(clf.decision_function(X), clf.decision_function(constant))
