"""The features that the classifier's network computes."""

import copy

import numpy as np
import pytest
import torch
from helpers import image_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import nn

from skdam import CompositionalAUCClassifier


def test_the_last_layer_maps_embedded_features_to_scores(few_digits):
    X, y = few_digits
    clf = image_classifier().fit(X, y)
    features = clf.embed(X)
    assert features.shape == (100, 8)
    assert features.dtype == np.float32
    last = clf.net_.module_.last
    with torch.no_grad():
        logits = last(torch.from_numpy(features)).squeeze(1).numpy()
    np.testing.assert_allclose(logits - clf.offset_, clf.decision_function(X), atol=1e-5)


def test_the_features_of_a_row_do_not_depend_on_its_batch(few_digits):
    X, y = few_digits
    clf = image_classifier().fit(X, y)
    np.testing.assert_allclose(clf.embed(X)[:3], clf.embed(X[:3]), atol=1e-5)


def test_a_linear_probe_of_the_default_features_ranks_well(cancer):
    X, y = cancer
    clf = CompositionalAUCClassifier(max_epochs=5, random_state=0).fit(X, y)
    features = clf.embed(X)
    assert features.shape[0] == len(X)
    probe = LogisticRegression(max_iter=5000).fit(features, y)
    assert roc_auc_score(y, probe.decision_function(features)) > 0.95


def test_a_custom_module_embeds_as_the_input_of_its_last_linear_layer(toy):
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    clf = CompositionalAUCClassifier(network, max_epochs=1, random_state=0).fit(*toy)
    first, last = clf.net_.module_[0], clf.net_.module_[2]
    with torch.no_grad():
        expected = first(torch.from_numpy(toy[0])).tanh()
    np.testing.assert_allclose(clf.embed(toy[0]), expected, atol=1e-5)
    assert not last._forward_pre_hooks


def test_a_loaded_model_embeds_as_before(toy):
    network = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 1))
    clf = CompositionalAUCClassifier(network, max_epochs=1, random_state=0).fit(*toy)
    np.testing.assert_array_equal(copy.deepcopy(clf).embed(toy[0]), clf.embed(toy[0]))


def test_a_layer_named_embed_is_not_taken_for_the_method(toy):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(4, 5)
            self.last = nn.Linear(5, 1)

        def forward(self, X):
            return self.last(input=self.embed(X).relu())

    clf = CompositionalAUCClassifier(Named, max_epochs=1).fit(*toy)
    features = clf.embed(toy[0])
    assert features.shape == (200, 5)
    assert features.min() == 0


def test_embedding_by_a_module_without_a_linear_layer_is_refused(toy):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, X):
            return X @ self.weight

    clf = CompositionalAUCClassifier(Sum, max_epochs=1).fit(*toy)
    with pytest.raises(ValueError, match=r"Sum runs no nn\.Linear.*embed\(X\)"):
        clf.embed(toy[0])


def test_embedding_before_fit_is_refused(few_digits):
    with pytest.raises(ValueError, match="not fitted"):
        image_classifier().embed(few_digits[0])
