"""The AUC margin loss."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from skdam._numbers import as_number
from skdam._targets import Classes
from skdam.losses.outer import OuterLoss, positive_margin, weighted_sum


class AUCMarginLoss(OuterLoss):
    r"""AUC margin loss as a min-max problem over the class means of the scores.

    With the score :math:`s = \mathrm{sigmoid}(h)` of a logit :math:`h`, margin
    :math:`m` and label :math:`y`, the prior-free form (``version="v2"``) is

    .. math::

        F = E[(s - a)^2 | y{=}1] + E[(s - b)^2 | y{=}0]
            + 2 \alpha (m + E[s | y{=}0] - E[s | y{=}1]) - \alpha^2 ,

    minimised over the network, ``a`` and ``b`` and maximised over ``alpha >= 0``.
    For fixed scores the saddle point is ``a = E[s | y=1]``, ``b = E[s | y=0]``,
    ``alpha = max(0, m + b - a)``: the loss pulls the class means ``m`` apart and
    makes each class compact. ``version="v1"`` is ``p (1 - p) F``, written per
    example, with ``p`` the share of positives.

    The terms of a class that is absent from the batch are left out.

    Parameters
    ----------
    margin : float, default=1.0
        Target distance ``m > 0`` between the mean scores of the classes.
    version : {"v1", "v2"}, default="v2"
        "v1" is the form with the class prior, and is defined on any batch. "v2" needs
        no prior, and is for batches that hold both classes.
    prior : float or None, default=None
        The share ``p`` of positives in "v1", in (0, 1). None takes the share in
        each batch.
    n_members : int or None, default=None
        None for logits of shape (batch,) or (batch, 1); ``k`` for logits of shape
        (batch, k), the columns of which are independent models, each with its own
        ``a``, ``b`` and ``alpha``. The loss is the sum over columns, so that each
        column gets the gradient that it would get alone.

    Attributes
    ----------
    a, b : torch.nn.Parameter of shape () or (n_members,)
        Running estimates of the mean score of positives and of negatives.
    alpha : Tensor of shape () or (n_members,)
        The dual variable, a buffer that :meth:`ascend` updates.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Z. Yuan, Y. Yan, M. Sonka, T. Yang, "Large-scale Robust Deep AUC Maximization:
    A New Surrogate Loss and Empirical Studies on Medical Image Classification",
    ICCV 2021, arXiv:2012.03173, equations 4 and 6.

    Examples
    --------
    >>> import torch
    >>> from skdam import AUCMarginLoss
    >>> loss = AUCMarginLoss(margin=1.0)
    >>> logits = torch.tensor([2.0, -1.0, 0.5, -3.0], requires_grad=True)
    >>> round(loss(logits, torch.tensor([1, 0, 1, 0])).item(), 4)
    0.6189
    """

    alpha: Tensor

    def __init__(
        self,
        margin: float = 1.0,
        *,
        version: Literal["v1", "v2"] = "v2",
        prior: float | None = None,
        n_members: int | None = None,
    ) -> None:
        super().__init__(n_members)
        if version not in ("v1", "v2"):
            raise ValueError(f"version must be 'v1' or 'v2', got {version!r}.")
        if prior is not None and version == "v2":
            raise ValueError("prior is used by version='v1' only; 'v2' needs none.")
        if prior is not None:
            prior = as_number("prior", prior)
            if not 0 < prior < 1:
                raise ValueError(f"prior must be in (0, 1) or None, got {prior!r}.")
        self.margin = positive_margin(margin)
        self.version = version
        self.prior = prior
        shape = () if n_members is None else (n_members,)
        self.a = nn.Parameter(torch.zeros(shape))
        self.b = nn.Parameter(torch.zeros(shape))
        self.register_buffer("alpha", torch.zeros(shape))

    @property
    def dtype(self) -> torch.dtype:
        """That of ``a``, ``b`` and ``alpha``."""
        return self.a.dtype

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each column of logits, as :class:`OuterLoss` says."""
        classes = Classes.of(targets)
        weights, signed, scale = self._weights(classes)
        is_positive = classes.positives_of(logits)
        scores = torch.sigmoid(logits)
        spread = weighted_sum(weights, (scores - torch.where(is_positive, self.a, self.b)).square())
        gap = weighted_sum(signed, scores)  # mean score of positives less that of negatives
        margin = 2 * self.margin - self.alpha
        if scale is not None:
            margin = scale * margin
        return torch.addcmul(spread, self.alpha, torch.sub(margin, gap, alpha=2))

    @torch.no_grad()
    def ascend(self, lr: float) -> None:
        """Move ``alpha`` towards its maximum for the present ``a`` and ``b``.

        Parameters
        ----------
        lr : float
            Learning rate. One of 1/2 reaches the maximum; a larger one counts as 1/2.
        """
        self.alpha.lerp_(self.margin + self.b - self.a, min(2 * lr, 1.0)).relu_()

    def extra_repr(self) -> str:
        """Return what ``repr`` shows."""
        return f"margin={self.margin}, version={self.version!r}, n_members={self.n_members}"

    def _weights(self, classes: Classes) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the weights of examples, those with signs, and the factor of the rest, if any."""
        if self.version == "v2":
            return classes.mean_weights, classes.signed_weights, None
        p = classes.rate if self.prior is None else torch.full_like(classes.rate, self.prior)
        is_positive = classes.positives_of(classes.batch_weights)
        weights = torch.where(is_positive, 1 - p, p) * classes.batch_weights
        return weights, torch.where(is_positive, weights, -weights), p * (1 - p)
