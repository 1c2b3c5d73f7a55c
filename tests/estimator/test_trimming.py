"""Models that are trimmed for prediction."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from helpers import fit, make_net
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.exceptions import SkorchTrainingImpossibleError
from torch import nn


def reloaded(obj):
    return pickle.loads(pickle.dumps(obj))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"calibration": "isotonic"},
        {"variant": "lookahead", "hypergradient": "exact"},
        {"early_stopping": True, "strategy": "two-stage"},
        {"module": nn.Linear(4, 1)},
    ],
    ids=str,
)
def test_a_trimmed_model_predicts_as_before(toy, make, parameters):
    X, y = toy
    clf = make(**parameters).fit(X, y)
    trimmed = copy.deepcopy(clf).trim_for_prediction()
    # what was trimmed stays so
    for one in (trimmed, reloaded(trimmed), reloaded(reloaded(trimmed)), copy.deepcopy(trimmed)):
        np.testing.assert_array_equal(one.predict_proba(X), clf.predict_proba(X))
        np.testing.assert_array_equal(one.embed(X), clf.embed(X))
        assert one.score(X, y) == clf.score(X, y)
        assert one.n_iter_ == clf.n_iter_
        for name, values in clf.history_.items():
            np.testing.assert_array_equal(one.history_[name], values)
        assert not hasattr(one, "oob_decision_function_")
        assert getattr(one, "oob_score_", None) == getattr(clf, "oob_score_", None)
        with pytest.raises(ValueError, match="trimmed for prediction, so partial_fit"):
            one.partial_fit(X, y)


def test_a_trimmed_file_holds_little_more_than_the_weights(toy, make):
    clf = make(module__hidden_layer_sizes=(256, 256)).fit(*toy)
    weights = sum(tensor.nbytes for tensor in clf.net_.module_.state_dict().values())
    assert len(pickle.dumps(clf)) > 3 * weights
    assert len(pickle.dumps(clf.trim_for_prediction())) < 1.1 * weights


def test_a_trimmed_model_is_trained_anew_or_not_at_all(toy, make):
    clf = make(warm_start=True).fit(*toy)
    clf.trim_for_prediction()
    before = clf.predict_proba(toy[0])
    with pytest.raises(ValueError, match="fit with warm_start=False"):
        clf.fit(*toy)
    np.testing.assert_array_equal(clf.predict_proba(toy[0]), before)
    clf.set_params(warm_start=False).fit(*toy)
    again = clone(clf).fit(*toy)
    np.testing.assert_array_equal(clf.oob_decision_function_, again.oob_decision_function_)
    assert clf.partial_fit(*toy).n_iter_ == 4


def test_only_what_is_fitted_is_trimmed(make):
    with pytest.raises(NotFittedError):
        make().trim_for_prediction()


def test_a_trimmed_net_predicts_and_is_not_trained(toy):
    X = toy[0]
    net = fit(make_net(), toy)
    scores = net.decision_function(X)
    net.trim_for_prediction()
    for one in (net, reloaded(net)):
        np.testing.assert_array_equal(one.decision_function(X), scores)
        assert len(one.history) == 4
        assert set(one.training_state()) == {"module", "criterion", "first_epoch"}
        for train in (
            lambda one=one: one.partial_fit(*toy),
            lambda one=one: one.fit(*toy),
            lambda one=one: make_net().continue_from(one),
        ):
            with pytest.raises(SkorchTrainingImpossibleError, match="trimmed for prediction"):
                train()


_compiled = pytest.param(
    True,
    marks=pytest.mark.skipif(
        not hasattr(torch._dynamo.config, "trace_autograd_ops"),
        reason="needs a torch that compiles gradients",
    ),
)


@pytest.mark.parametrize("compiles", [False, _compiled])
def test_the_optimizer_is_freed(compiles):
    net = make_net(compile=compiles)
    alive = weakref.ref(net.optimizer_)
    net.trim_for_prediction()
    gc.collect()
    assert alive() is None
