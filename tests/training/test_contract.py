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
