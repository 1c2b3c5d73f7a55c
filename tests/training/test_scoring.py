"""Scores, and the vote of members."""

import numpy as np
import pytest
import torch
from helpers import Members, fit, make_net
from torch import nn

from skdam import CompositionalAUCNet, ResNet20, TabularMLP
from skdam._targets import Targets
from skdam.networks.members import mean_probability_logit
from skdam.training.scoring import decision_of, evaluate, padded


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


class Decides(Members):
    """Members with a joint score that is not a function of their logits."""

    def decision_function(self, X):
        return self(X)[:, 0] + 100 * X[:, 1]


def test_a_module_may_decide_itself(toy):
    net = CompositionalAUCNet(Decides, max_epochs=1, verbose=0, random_state=0).fit(*toy)
    X = toy[0]
    expected = net.forward(X)[:, 0].double().numpy() + 100 * X[:, 1].astype(float)
    np.testing.assert_allclose(net.decision_function(X), expected, rtol=1e-5, atol=1e-5)


def test_decision_of_is_the_method_or_the_vote_of_the_logits():
    X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    module = Decides()
    assert torch.equal(decision_of(module, module)(X), module.decision_function(X))
    members = Members()
    expected = mean_probability_logit(members(X).detach())
    torch.testing.assert_close(decision_of(members, members)(X), expected)
    doubled = decision_of(members, lambda batch: 2 * members(batch))
    torch.testing.assert_close(doubled(X), mean_probability_logit(2 * members(X).detach()))
    # an attribute of the name that is no method, such as a layer, decides nothing
    members.decision_function = nn.Linear(4, 1)
    torch.testing.assert_close(decision_of(members, members)(X), expected)


@pytest.mark.parametrize(
    ("n", "expected"), [(1, 16), (15, 16), (16, 16), (17, 20), (40, 40), (41, 44)]
)
def test_rows_are_padded_with_the_first(n, expected):
    X = torch.arange(2.0 * n).reshape(-1, 2)
    rows = padded(X)
    assert len(rows) == expected
    assert torch.equal(rows[:n], X)
    assert (rows[n:] == X[0]).all()


def test_an_empty_iterator_has_nothing_to_score():
    with pytest.raises(ValueError, match="nothing to score"):
        evaluate([], lambda X: X, 5)


def test_batches_are_evaluated_in_their_order():
    X = torch.arange(50.0).reshape(-1, 1)
    batches = [(part, None) for part in X.split(7)]
    assert torch.equal(evaluate(batches, lambda batch: 3 * batch, 50), 3 * X)
    # a loader that drops the rest
    assert torch.equal(evaluate(batches[:-1], lambda batch: 3 * batch, 50), 3 * X[:49])


@pytest.mark.parametrize("n_members", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("encoding", ["piecewise-linear", None])
def test_scores_of_the_default_network_do_not_depend_on_the_batch(toy, n_members, encoding):
    X, y = toy
    parameters = {"module__encoding": encoding, "module__n_members": n_members}
    net = CompositionalAUCNet(
        TabularMLP, module__n_features=4, max_epochs=1, verbose=0, random_state=0, **parameters
    ).initialize()
    folds = torch.arange(200) % n_members
    targets = Targets.of(torch.from_numpy(y), None, folds, n_members)
    net.module_.fit_statistics(torch.from_numpy(X), targets)
    net.module_.shares.fill_(0.5)
    scores = net.partial_fit(X, y).decision_function(X)
    alone = [net.decision_function(X[i : i + 1])[0] for i in range(50)]
    np.testing.assert_array_equal(alone, scores[:50])


def assert_independent_of_the_batch(module, X):
    """The scores of the first and the last examples are those that all of them have together."""
    net = CompositionalAUCNet(module, verbose=0).initialize()
    scores = net.decision_function(X)
    for n in (*range(1, 42), 63, 127, 129, 255, 257):
        for rows in (slice(n), slice(-n, None)):
            np.testing.assert_array_equal(net.decision_function(X[rows]), scores[rows])


@pytest.mark.parametrize("n_members", [1, 2, 8])
@pytest.mark.parametrize("sizes", [(64, 64), (25,), (33, 27), (63,), (101, 50)])
def test_scores_do_not_depend_on_the_batch_for_odd_widths(seeded, n_members, sizes):
    X = torch.randn(1001, 7)
    module = TabularMLP(7, hidden_layer_sizes=sizes, n_members=n_members)
    module.fit_statistics(X, (X[:, 0] > 0).float())
    assert_independent_of_the_batch(module, X.numpy())


@pytest.mark.parametrize("width", [25, 64, 127])
def test_scores_of_a_perceptron_do_not_depend_on_the_batch(seeded, width):
    X = torch.randn(1001, 30)
    module = nn.Sequential(nn.Linear(30, width), nn.ReLU(), nn.Linear(width, 1))
    assert_independent_of_the_batch(module, X.numpy())


def test_scores_of_a_residual_network_do_not_depend_on_the_batch(seeded):
    X = torch.randn(301, 1, 8, 8)
    assert_independent_of_the_batch(ResNet20(1, width=4), X.numpy())
