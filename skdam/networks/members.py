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
    in_features, out_features : int
        Inputs and outputs of each member.
    """

    def __init__(self, n_members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(
            torch.empty(n_members, in_features, out_features).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(torch.empty(n_members, 1, out_features).uniform_(-bound, bound))

    def forward(self, X: Tensor) -> Tensor:
        """Return the outputs of each member.

        Parameters
        ----------
        X : Tensor of shape (n_members, n, in_features)

        Returns
        -------
        Tensor of shape (n_members, n, out_features)
        """
        return torch.baddbmm(self.bias, X, self.weight)

    def of_member(self, X: Tensor, member: int) -> Tensor:
        """Return the outputs of one member, of shape (n, out_features)."""
        return torch.addmm(self.bias[member], X, self.weight[member])

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        n_members, in_features, out_features = self.weight.shape
        return f"n_members={n_members}, in_features={in_features}, out_features={out_features}"


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
