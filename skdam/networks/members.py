"""Ensembles in one network: a layer that computes all members at once, and their vote."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


class MemberLinear(nn.Module):
    """A linear layer for each member of an ensemble, computed in one operation.

    Initialised as :class:`torch.nn.Linear` is.

    Parameters
    ----------
    n_members : int
        Members, each with separate weights.
    n_in, n_out : int
        Inputs and outputs of each member.
    """

    def __init__(self, n_members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_members, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_members, 1, n_out).uniform_(-bound, bound))

    def forward(self, X: Tensor) -> Tensor:
        """Return the outputs of each member.

        Parameters
        ----------
        X : Tensor of shape (n_members, n, n_in)

        Returns
        -------
        Tensor of shape (n_members, n, n_out)
        """
        return torch.baddbmm(self.bias, X, self.weight)

    def of_member(self, X: Tensor, member: int) -> Tensor:
        """Return the outputs of one member, of shape (n, n_out)."""
        return torch.addmm(self.bias[member], X, self.weight[member])

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        n_members, n_in, n_out = self.weight.shape
        return f"n_members={n_members}, n_in={n_in}, n_out={n_out}"


def mean_probability_logit(logits: Tensor) -> Tensor:
    """Return the logit of the members' mean probability.

    Parameters
    ----------
    logits : Tensor of shape (n, n_members)

    Returns
    -------
    Tensor of shape (n,)
        Exact even where the probabilities round to 0 or 1 in floating point.
    """
    # the logarithms of two sums, not means: the number of members cancels
    return torch.logsumexp(logsigmoid(logits), 1) - torch.logsumexp(logsigmoid(-logits), 1)
