"""The AUC margin loss at the saddle point of each batch."""

from __future__ import annotations

import torch
from torch import Tensor

from skdam._targets import Classes
from skdam.losses.outer import OuterLoss, positive_margin, weighted_sum


class AUCSaddleLoss(OuterLoss):
    r"""AUC margin loss whose ``a``, ``b`` and ``alpha`` are optimal for each batch.

    For fixed scores the saddle point of :class:`~skdam.AUCMarginLoss` (``version="v2"``) is
    known: ``a`` and ``b`` are the mean scores of the classes, and ``alpha`` is by how much their
    distance falls short of the margin :math:`m`. There the loss is

    .. math::

        F = \mathrm{Var}[s | y{=}1] + \mathrm{Var}[s | y{=}0]
            + \max(0, m - E[s | y{=}1] + E[s | y{=}0])^2 ,

    and its gradient is that of the margin loss with these ``a``, ``b`` and ``alpha`` held fixed.
    There are no parameters, no buffers and no dual step. Means and variances are weighted if
    the targets have weights.

    In a batch, or a column, without one of the classes, what remains is the variance of the
    other. A class without weight counts as absent.

    Parameters
    ----------
    margin : float, default=1.0
        Target distance ``m > 0`` between the mean scores of the classes.
    n_members : int or None, default=None
        As in :class:`~skdam.AUCMarginLoss`.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> import torch
    >>> from skdam.losses.saddle import AUCSaddleLoss
    >>> loss = AUCSaddleLoss(margin=0.5)
    >>> scores = torch.tensor([0.5, 0.7, 0.2, 0.4])
    >>> round(loss(torch.logit(scores), torch.tensor([1, 1, 0, 0])).item(), 4)
    0.06
    """

    # whose saddle point it is
    version = "v2"
    prior = None

    def __init__(self, margin: float = 1.0, *, n_members: int | None = None) -> None:
        super().__init__(n_members)
        self.margin = positive_margin(margin)

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each column of logits, as :class:`OuterLoss` says."""
        classes = Classes.of(targets)
        weights = classes.mean_weights
        is_positive = classes.positives_of(logits)
        scores = torch.sigmoid(logits)
        gap = weighted_sum(classes.signed_weights, scores)
        both = weighted_sum(weights, scores)  # mean score of positives and that of negatives
        means = torch.where(is_positive, (both + gap) / 2, (both - gap) / 2)
        spread = weighted_sum(weights, (scores - means).square())
        lack = (self.margin - gap).relu().square()
        # the weights of each class that is present sum to one
        return spread + torch.where(weights.sum(0) > 1.5, lack, 0)

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        return f"margin={self.margin}, n_members={self.n_members}"
