"""What a module must take and return."""

import pytest
from helpers import Members
from torch import nn

from skdam import CompositionalAUCNet


class Wrong(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.linear = nn.Linear(4, 2)

    def forward(self, X):
        output = self.linear(X)
        return {"two": output, "scalar": output.sum(), "tuple": (output,)}[self.kind]


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("two", ValueError, r"of shape \(n,\) or \(n, 1\).*it returned \(2, 2\)"),
        ("scalar", ValueError, r"it returned \(\)"),
        ("tuple", TypeError, "must return a Tensor, got tuple"),
    ],
)
def test_output_of_the_module_is_checked_before_training(toy, kind, error, message):
    net = CompositionalAUCNet(Wrong, module__kind=kind, verbose=0)
    with pytest.raises(error, match=message):
        net.fit(*toy)
    assert len(net.history) == 0


class Network(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, X):
        return self.layers(X).squeeze(3)


@pytest.mark.parametrize("layers", [[nn.BatchNorm2d(4)], [nn.Linear(3, 1)], [nn.Linear(4, 1)]])
def test_a_module_for_other_data_is_named(toy, layers):
    """Layers of torch raise errors of several kinds, without the shape of the data."""
    message = r"module Network does not take a batch of shape \(2, 4\) and dtype torch.float32: "
    with pytest.raises(ValueError, match=message):
        CompositionalAUCNet(Network(*layers), verbose=0).fit(*toy)


def test_the_shape_of_the_vote_is_checked(toy):
    class Unfinished(Members):
        def vote(self, logits):
            return logits[:, :1]

    with pytest.raises(ValueError, match=r"the vote of module Unfinished .* \(2, 1\)"):
        CompositionalAUCNet(Unfinished, verbose=0).fit(*toy)


def test_columns_of_a_module_without_members_are_refused(toy):
    net = CompositionalAUCNet(Members, module__n_returned=2, verbose=0)
    with pytest.raises(ValueError, match=r"n_members=3 members, of shape \(n, 3\).*\(2, 2\)"):
        net.fit(*toy)


class Deciding(Members):
    """Members with a decision of their own, as of what is joined after training."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def decision_function(self, X):
        logits = self(X)
        return {
            "columns": logits,
            "column": logits[:, :1],
            "scalar": logits.sum(),
            "array": logits[:, 0].detach().numpy(),
            "scores": logits[:, 0],
        }[self.kind]


@pytest.mark.parametrize(
    ("kind", "got"),
    [
        ("columns", r"\(2, 3\)"),
        ("column", r"\(2, 1\)"),
        ("scalar", r"\(\)"),
        ("array", "ndarray"),
    ],
)
def test_the_shape_of_the_decision_is_checked_before_training(toy, kind, got):
    net = CompositionalAUCNet(Deciding, module__kind=kind, verbose=0)
    with pytest.raises(ValueError, match=rf"decision_function of module Deciding must .* {got}\."):
        net.fit(*toy)
    assert len(net.history) == 0


def test_a_decision_of_one_score_for_each_example_is_taken(toy):
    net = CompositionalAUCNet(Deciding, module__kind="scores", verbose=0, max_epochs=1).fit(*toy)
    assert net.decision_function(toy[0]).shape == (200,)


def test_the_decision_of_bytes_is_checked_with_numbers(few_digits):
    class OfNumbers(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 1)

        def forward(self, X):
            return self.linear(X.flatten(1))

        def decision_function(self, X):
            return self(X).squeeze(1)

    X, y = few_digits
    net = CompositionalAUCNet(OfNumbers, verbose=0, max_epochs=1).fit(X, y)
    assert net.decision_function(X).shape == (len(y),)


def test_a_decision_function_that_is_no_method_is_not_called(toy):
    class Data(Members):
        decision_function = None

    assert CompositionalAUCNet(Data, verbose=0, max_epochs=1).fit(*toy).history
