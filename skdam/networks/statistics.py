"""Statistics of columns and scores, and samples of rows."""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from skdam._generators import generator_in_use

_CHUNK = 2**22  # elements
# pairs of quantiles, and how many times their distance the usual values may be outside of them
_MIDDLES = ((0.25, 0.75), (0.05, 0.95), (0.01, 0.99))
_REACH = 10
# of the rows, that hold the placeholder of a column
_MIN_SHARE = 0.05


class Standardiser(nn.Module):
    """Centre and scale each column.

    A column that is constant in the training data becomes 0 for all data. Of images, all
    pixels of a channel count as one column.

    Parameters
    ----------
    n_features : int
        Size of the second axis of the input.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    @torch.no_grad()
    def fit_statistics(self, X: Tensor, weights: Tensor | None = None) -> None:
        """Learn mean and standard deviation of each column.

        Parameters
        ----------
        X : Tensor of shape (n, n_features, ...)
        weights : Tensor of shape (n,) or None, default=None
            Weights of the examples; None for equal ones.
        """
        # two passes in double precision, by chunks to avoid a double copy of all of X
        pixels = X.reshape(len(X), X.shape[1], -1)
        size = max(_CHUNK // pixels[0].numel(), 1)
        if weights is None:
            weights = torch.ones((), device=X.device).expand(len(X))
        shares = (weights.double() / (weights.double().sum() * pixels.shape[2])).split(size)
        chunks = list(zip(shares, pixels.split(size), strict=True))
        mean = sum(share @ chunk.double().sum(2) for share, chunk in chunks)
        variance = sum(
            share @ (chunk.double() - mean[:, None]).square().sum(2) for share, chunk in chunks
        )
        # rounded as in the buffer: a deviation may be too small for single precision
        deviation = variance.sqrt().to(self.scale.dtype)
        constant = deviation <= torch.finfo(X.dtype).eps * mean.abs()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(constant, torch.inf, deviation))

    def forward(self, X: Tensor) -> Tensor:
        """Return X standardised.

        Parameters
        ----------
        X : Tensor of shape (n, n_features, ...)

        Returns
        -------
        Tensor of shape (n, n_features, ...)
        """
        if X.ndim == 2:
            return (X - self.mean) / self.scale
        shape = (-1, *[1] * (X.ndim - 2))
        return (X - self.mean.reshape(shape)) / self.scale.reshape(shape)


def quantiles(values: Tensor, levels: Tensor, weights: Tensor | None) -> Tensor:
    """Return quantiles that are among the values."""
    if weights is None:
        return torch.quantile(values, levels, interpolation="nearest")
    values, order = values.sort()
    reached = weights.double()[order].cumsum(0)
    # rounding must not put the last level behind the last value
    index = torch.searchsorted(reached, levels * reached[-1]).clamp(max=len(values) - 1)
    return values[index]


def usual_range(values: Tensor, weights: Tensor) -> tuple[float, float]:
    """Return the range of a column without outliers and placeholders such as -999.

    It extends beyond each quartile by ten times the distance between the quartiles. Where these are
    equal, as in a column that is mostly 0, other quantiles take their place.

    Parameters
    ----------
    values : Tensor of shape (n,)
        At least one.
    weights : Tensor of shape (n,)
    """
    # training must fail on an infinite value, and say so
    if not values.isfinite().all():
        return -math.inf, math.inf
    levels = torch.tensor(_MIDDLES, dtype=torch.float64, device=values.device)
    for low, high in quantiles(values, levels.flatten(), weights).view(-1, 2).tolist():
        if low < high:
            return low - _REACH * (high - low), high + _REACH * (high - low)
    return -math.inf, math.inf


def placeholder_of(values: Tensor, weights: Tensor) -> float | None:
    """Return the number that stands for a gap in a column, such as -999, if one does.

    It is the smallest or the largest one, if a twentieth of the values are equal to it and it is
    outside of the usual range of the others.

    Parameters
    ----------
    values : Tensor of shape (n,)
        At least one.
    weights : Tensor of shape (n,)
    """
    for extreme in (values.min(), values.max()):
        others = values != extreme
        if not others.any() or weights[~others].sum() < _MIN_SHARE * weights.sum():
            continue
        low, high = usual_range(values[others], weights[others])
        if not low <= extreme <= high:
            return float(extreme)
    return None


def deviation_of(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the standard deviation of the last axis.

    Parameters
    ----------
    values : Tensor of shape (..., n)
    weights : Tensor of shape (n,) or None
        Weights of the examples; None for equal ones.

    Returns
    -------
    Tensor of shape (...,)
    """
    if weights is None:
        return values.std(-1, correction=0)
    shares = (weights.double() / weights.double().sum()).to(values.dtype)
    mean = (values @ shares).unsqueeze(-1)
    return ((values - mean).square() @ shares).sqrt()


def auc_of_each(scores: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
    """Return the ROC AUC of each row of scores, weighted if there are weights."""
    shares = None if weights is None else weights.cpu().numpy()
    labels = y.cpu().numpy()
    values = [roc_auc_score(labels, row, sample_weight=shares) for row in scores.cpu().numpy()]
    return torch.from_numpy(np.array(values)).to(scores)


def draw_by_class(y: Tensor, count: int, weights: Tensor | None = None) -> Tensor:
    """Draw the indices of rows, half of them positives if possible.

    If a class has fewer than half of ``count`` rows, all of them are drawn and the other
    class fills up the rest.

    Parameters
    ----------
    y : Tensor of shape (n,)
        Targets, 0 or 1.
    count : int
        Rows to draw; with fewer examples all are taken.
    weights : Tensor of shape (n,) or None, default=None
        Positive. Rows of a class are drawn without replacement, with probabilities proportional to
        their weights; None for equal weights.

    Returns
    -------
    Tensor of shape (min(n, count),), int64
        Sorted.
    """
    if len(y) <= count:
        return torch.arange(len(y), device=y.device)
    classes = [torch.nonzero(y == label).squeeze(1) for label in (1, 0)]
    n_positive = min(len(classes[0]), max(count // 2, count - len(classes[1])))
    drawn = torch.cat(
        [
            members[_draw(n, len(members), None if weights is None else weights[members])]
            for members, n in zip(classes, (n_positive, count - n_positive), strict=True)
        ]
    )
    # the order must not tell the class
    return drawn.sort().values


def _draw(count: int, n: int, weights: Tensor | None) -> Tensor:
    """Draw ``count`` of n numbers without replacement."""
    if weights is None:
        return torch.randperm(n, generator=generator_in_use())[:count]
    # the first arrivals of n clocks, which tick at rates proportional to the weights
    arrivals = torch.empty(n).exponential_(generator=generator_in_use()) / weights.cpu()
    return arrivals.argsort()[:count]
