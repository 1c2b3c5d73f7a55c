"""Weights of examples."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import TensorDataset

WEIGHTS = np.where(np.arange(200) % 3 == 0, 3.0, 1.0)


def test_equal_weights_are_none(toy, make):
    X, y = toy
    expected = make().fit(X, y).decision_function(X)
    for weights in (np.full(200, 7.0), 2.0):
        scores = make().fit(X, y, sample_weight=weights).decision_function(X)
        np.testing.assert_array_equal(scores, expected)


def test_weights_matter_and_their_scale_does_not(toy, make):
    X, y = toy
    scores = make().fit(X, y, sample_weight=WEIGHTS).decision_function(X)
    assert not np.array_equal(scores, make().fit(X, y).decision_function(X))
    for scale in (1e-30, 1e30, 1e300):
        scaled = make().fit(X, y, sample_weight=WEIGHTS * scale).decision_function(X)
        np.testing.assert_array_equal(scaled, scores)


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_an_example_without_weight_is_absent(toy, make, kind):
    X, y = toy
    weights = np.where(np.arange(200) % 5 == 0, 0.0, WEIGHTS)
    present = weights > 0

    def fitted(X, y, weights):
        data = (X, y)
        if kind == "dataset":
            data = (TensorDataset(torch.from_numpy(X), torch.from_numpy(y)),)
        return make().fit(*data, sample_weight=weights)

    clf = fitted(X, y, weights)
    expected = fitted(X[present], y[present], weights[present])
    np.testing.assert_array_equal(clf.decision_function(X), expected.decision_function(X))
    assert clf.offset_ == expected.offset_


@pytest.mark.parametrize("n_workers", [0, 1])
def test_weights_of_a_dataset_are_those_of_the_array(toy, make, n_workers):
    X, y = toy
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    # the statistics of a Dataset come from a sample in another order of summation
    clf = make(module=torch.nn.Linear, module__in_features=4, module__out_features=1)
    expected = clf.fit(X, y, sample_weight=WEIGHTS).decision_function(X)
    clf.set_params(iterator_train__num_workers=n_workers).fit(dataset, sample_weight=WEIGHTS)
    np.testing.assert_allclose(clf.decision_function(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(200), "non-zero|sample_weight is 0 for all"),
        (-np.ones(200), "sample_weight"),
        (np.full(200, np.nan), "sample_weight"),
        (np.ones(199), "sample_weight"),
        (np.where(np.arange(200) % 20 < 3, 0.0, 1.0), "y must hold two classes"),
    ],
)
def test_wrong_weights_are_refused(toy, make, weights, message):
    with pytest.raises(ValueError, match=message):
        make().fit(*toy, sample_weight=weights)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("balanced", "in sample_weight: could not convert"),
        ({0: 1.0, 1: 2.0}, "in sample_weight: .*dict"),
        (np.ones(200) + 0j, "in sample_weight: Complex"),
        (np.where(np.arange(200) == 0, 1e300, 1.0), "y must hold two classes"),
    ],
    ids=str,
)
def test_what_are_no_weights_is_said_to_be_about_them(toy, make, weights, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(*toy, sample_weight=weights)


def test_weights_come_in_any_form(toy, make):
    X, y = toy
    expected = make(max_epochs=1).fit(X, y, sample_weight=WEIGHTS).decision_function(X)
    for weights in (
        torch.from_numpy(WEIGHTS).bfloat16(),
        pd.Series(WEIGHTS, dtype="Float64", index=np.arange(200)[::-1]),
    ):
        scores = make(max_epochs=1).fit(X, y, sample_weight=weights).decision_function(X)
        np.testing.assert_array_equal(scores, expected)
    plain = make(max_epochs=1).fit(X, y).decision_function(X)
    one = make(max_epochs=1).fit(X, y, sample_weight=np.array(2.0)).decision_function(X)
    np.testing.assert_array_equal(one, plain)


def test_weights_that_are_nearly_nothing_count_as_none(toy, make):
    X, y = toy
    absent = np.arange(200) % 5 == 0
    scores = [
        make(max_epochs=1)
        .fit(X, y, sample_weight=np.where(absent, small, WEIGHTS))
        .decision_function(X)
        for small in (0.0, 1e-30)
    ]
    np.testing.assert_array_equal(*scores)


def test_weights_agree_with_repeated_rows_on_average(toy, make):
    X, y = toy
    times = WEIGHTS.astype(int)
    rows = np.repeat(np.arange(200), times)
    n_seeds = 8
    # as many batches for both: the repeated rows are 5/3 of the rows
    weighted, repeated, unweighted = (
        np.array(
            [
                make(random_state=seed, max_epochs=epochs, batch_size=20, module__n_landmarks=32)
                .fit(X[which], y[which], sample_weight=weights)
                .decision_function(X)
                for seed in range(n_seeds)
            ]
        )
        for which, weights, epochs in (
            (np.arange(200), WEIGHTS, 20),
            (rows, None, 12),
            (np.arange(200), None, 20),
        )
    )
    noise = np.sqrt((weighted.var(0, ddof=1) + repeated.var(0, ddof=1)) / n_seeds)
    assert np.mean(np.abs(weighted.mean(0) - repeated.mean(0)) / noise) < 1.5
    apart, beside = (
        np.abs(other.mean(0) - repeated.mean(0)).mean() for other in (unweighted, weighted)
    )
    assert beside < apart


def test_probabilities_are_those_of_repeated_rows_without_calibration(make):
    """Weights that differ by class change the share of positives, which they must do once."""
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.1).astype(np.float32)
    X = rng.normal(size=(2000, 2)).astype(np.float32) + y[:, None]
    times = np.where(y == 1, 9, 1)
    rows = np.repeat(np.arange(2000), times)
    weighted, repeated = (
        make(module=nn.Linear(2, 1), strategy="cross-entropy", max_epochs=10)
        .fit(X[which], y[which], sample_weight=weights)
        .predict_proba(X)[:, 1]
        for which, weights in ((np.arange(2000), times), (rows, None))
    )
    of_rows = np.average(y, weights=times)
    assert np.average(repeated, weights=times) == pytest.approx(of_rows, abs=0.05)
    assert np.average(weighted, weights=times) == pytest.approx(of_rows, abs=0.05)


def test_partial_fit_takes_weights(toy, make):
    X, y = toy
    clf, other = (make() for _ in range(2))
    clf.partial_fit(X, y, sample_weight=WEIGHTS)
    other.partial_fit(X, y)
    assert not np.array_equal(clf.decision_function(X), other.decision_function(X))


def test_early_stopping_scores_with_weights(toy, make):
    X, y = toy
    weights = np.where(X[:, 0] > 0, 100.0, 1.0)
    rows = []

    class Look(Callback):
        def on_train_begin(self, net, **kwargs):
            rows.extend(net.train_split(None)[1].indices)

    clf = make(
        early_stopping=True, validation_fraction=0.4, module__n_landmarks=0, callbacks=[Look()]
    ).fit(X, y, sample_weight=weights)
    scores = clf.decision_function(X[rows])
    weighted, plain = (
        roc_auc_score(y[rows], scores, sample_weight=shares) for shares in (weights[rows], None)
    )
    assert clf.best_score_ == pytest.approx(weighted)
    assert clf.best_score_ != pytest.approx(plain)


def test_a_search_routes_weights_to_fit_and_score(toy, make):
    X, y = toy
    small = {"lr": 0.01, "module__n_landmarks": 0}
    with config_context(enable_metadata_routing=True):
        clf = make(**small).set_fit_request(sample_weight=True)
        clf.set_score_request(sample_weight=True)
        search = GridSearchCV(clf, {"tol": [0.0]}, cv=2, refit=False)
        results = search.fit(X, y, sample_weight=WEIGHTS).cv_results_
    small["tol"] = 0.0
    expected = [
        make(**small)
        .fit(X[train], y[train], sample_weight=WEIGHTS[train])
        .score(X[test], y[test], sample_weight=WEIGHTS[test])
        for train, test in StratifiedKFold(2).split(X, y)
    ]
    found = [results[f"split{fold}_test_score"][0] for fold in range(2)]
    np.testing.assert_allclose(found, expected)


@pytest.mark.skipif(
    not hasattr(torch._dynamo.config, "trace_autograd_ops"),
    reason="needs a torch that compiles gradients",
)
def test_batches_with_weights_are_not_compiled(toy, make):
    X, y = toy
    clf = make(compile=True, cross_fit=False)
    with pytest.warns(RuntimeWarning, match="compile=True has no effect.*weights"):
        clf.fit(X, y, sample_weight=WEIGHTS)
    expected = make(cross_fit=False).fit(X, y, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(clf.decision_function(X), expected.decision_function(X))


@pytest.mark.parametrize("light", [0, 1])
def test_one_class_may_weigh_a_billionth_of_the_other(toy, make, light):
    X, y = toy
    clf = make(max_epochs=10, cross_fit=True).fit(X, y, np.where(y == light, 1e-9, 1.0))
    assert np.isfinite(clf.history_["outer_loss"]).all()
    assert clf.score(X, y) > 0.9
