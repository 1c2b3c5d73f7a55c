"""ROC AUC as the score, logarithms of probabilities, and cross-validation over Datasets."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.helper import SliceDataset

from skdam import CompositionalAUCNet


def test_the_score_is_the_roc_auc(toy, make):
    X, y = toy
    clf = make().fit(X, y)
    assert clf.score(X, y) == pytest.approx(roc_auc_score(y, clf.decision_function(X)))
    weights = np.where(X[:, 1] > 0, 2.0, 0.5)
    expected = roc_auc_score(y, clf.decision_function(X), sample_weight=weights)
    assert clf.score(X, y, sample_weight=weights) == pytest.approx(expected)


def test_the_score_is_of_the_second_class_whatever_the_labels(toy, make):
    X, y = toy
    labels = np.where(y == 1, "a", "b")
    clf = make().fit(X, labels)
    expected = roc_auc_score(labels == "b", clf.decision_function(X))
    assert clf.score(X, labels) == pytest.approx(expected)
    assert expected > 0.5


@pytest.mark.parametrize("labels", [["a", "c"], ["a", "a"]])
def test_labels_to_score_must_be_those_of_fit(toy, make, labels):
    X, y = toy
    clf = make().fit(X, np.where(y == 1, "a", "b"))
    with pytest.raises(ValueError, match=r"y holds|y must hold two classes"):
        clf.score(X[:2], labels)


def test_labels_to_score_an_array_are_needed(toy, make):
    with pytest.raises(ValueError, match="score needs y"):
        make().fit(*toy).score(toy[0])


def test_a_dataset_is_scored_by_its_own_labels(toy, make):
    X, y = map(torch.from_numpy, toy)
    dataset = torch.utils.data.TensorDataset(X, y)
    clf = make().fit(dataset)
    assert clf.score(dataset) == clf.score(*toy)


def test_a_net_is_scored_by_roc_auc(toy):
    X, y = toy
    net = CompositionalAUCNet(torch.nn.Linear(4, 1), max_epochs=2, verbose=0).fit(X, y)
    expected = roc_auc_score(y, net.decision_function(X))
    assert net.score(X, y) == pytest.approx(expected)
    assert net.score(net.get_dataset(X, y)) == pytest.approx(expected)


def test_a_search_without_scoring_maximises_the_roc_auc(toy, make):
    grid = {"lr": [1e-5, 1e-3]}
    searches = [GridSearchCV(make(), grid, cv=3, scoring=s).fit(*toy) for s in (None, "roc_auc")]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(*scores)


def test_logarithms_of_probabilities(toy, make):
    X, y = toy
    clf = make().fit(X, y)
    np.testing.assert_allclose(clf.predict_log_proba(X), np.log(clf.predict_proba(X)))


def test_logarithms_of_probabilities_are_finite_where_probabilities_are_0(toy, make):
    X, y = toy
    clf = make(module=torch.nn.Linear(4, 1)).fit(X, y)
    far = np.float32(1e6) * X
    scores = clf.decision_function(far)
    assert (clf.predict_proba(far)[scores < 0, 1] == 0).any()
    assert np.isfinite(clf.predict_log_proba(far)).all()
    np.testing.assert_allclose(clf.predict_log_proba(far)[scores < -100, 1], scores[scores < -100])


def test_cross_validation_over_a_dataset_is_that_of_the_array(toy, make):
    X, y = toy
    dataset = torch.utils.data.TensorDataset(*map(torch.from_numpy, toy))
    # a Dataset is not cross-fitted
    clf = make(cross_fit=False)
    scores = [cross_val_score(clf, data, y, cv=3) for data in (SliceDataset(dataset), X)]
    np.testing.assert_array_equal(*scores)
