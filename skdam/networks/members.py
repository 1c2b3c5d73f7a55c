"""Members of an ensemble in one network: layers computed together, and their vote."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


class MemberLinear(nn.Module):
    """Linear layer of each member, from (members, n, n_in) to (members, n, n_out).

    Initialised as :class:`torch.nn.Linear` is.
    """

    def __init__(self, n_members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_members, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_members, 1, n_out).uniform_(-bound, bound))

    def forward(self, X: Tensor) -> Tensor:
        """Return each member's outputs."""
        return torch.baddbmm(self.bias, X, self.weight)

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        n_members, n_in, n_out = self.weight.shape
        return f"n_members={n_members}, n_in={n_in}, n_out={n_out}"


def mean_probability_logit(logits: Tensor) -> Tensor:
    """Return the logit of the mean of the columns' probabilities.

    Parameters
    ----------
    logits : Tensor of shape (n, n_members)

    Returns
    -------
    Tensor of shape (n,)
        Exact also where the probabilities are 0 or 1 in floating point.
    """
    # the logarithms of both means lack the number of members, which cancels
    return torch.logsumexp(logsigmoid(logits), 1) - torch.logsumexp(logsigmoid(-logits), 1)
