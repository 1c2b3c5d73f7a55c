"""Scores, and the vote of members."""

import numpy as np
import torch
from helpers import Members, fit, make_net
from torch import nn

from skdam import CompositionalAUCNet


def test_scores_do_not_depend_on_the_batch(toy):
    X, y = toy
    net = fit(make_net(iterator_valid__batch_size=64), toy)
    scores = net.decision_function(X)
    assert scores.dtype == np.float64
    alone = [net.decision_function(X[i : i + 1])[0] for i in range(50)]
    np.testing.assert_array_equal(alone, scores[:50])


def test_members_train_alone_and_vote_by_probability(toy):
    X, y = toy
    net = CompositionalAUCNet(Members, max_epochs=3, verbose=0, random_state=0).fit(X, y)
    assert net.criterion_.a.shape == (3,)
    probabilities = torch.sigmoid(net.forward(X)).double().mean(1).numpy()
    np.testing.assert_allclose(net.predict_proba(X)[:, 1], probabilities, rtol=1e-6)


def test_a_module_may_have_a_vote(toy):
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


def test_scores_are_as_many_as_the_loader_yields(toy):
    loader = {"drop_last": True, "batch_size": 32, "num_workers": 1}
    net = fit(make_net(**{f"iterator_valid__{k}": v for k, v in loader.items()}), toy)
    X = toy[0]
    scores = net.decision_function(X)
    assert len(scores) == len(X) // 32 * 32
    assert np.isfinite(scores).all()
