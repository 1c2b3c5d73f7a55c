"""Which example is to blame for a loss or a score that is not finite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skdam._generators import forked_rng
from skdam.data.batches import take
from skdam.data.examples import number_of


def not_finite(net: Any, dataset: Any, row: int | None = None) -> str | None:
    """Describe the first example that has NaN or an infinite value, with its number.

    NaN does not count if the module takes gaps.

    Parameters
    ----------
    net : CompositionalAUCNet
    dataset : torch.utils.data.Dataset
        All of it is read, up to that example.
    row : int or None, default=None
        The only example to read; None for all.

    Returns
    -------
    str or None
        None if all are finite, or if it cannot be told.
    """
    takes_gaps = getattr(net.module_, "takes_gaps", False)
    start = row or 0
    # a Dataset may draw random numbers
    with forked_rng(net.device):
        for batch in net.batches(dataset) if row is None else [take(dataset, [row])]:
            X = batch[0]
            if not isinstance(X, Tensor):
                return None
            is_wrong = (X.isinf() if takes_gaps else ~X.isfinite()).reshape(len(X), -1).any(1)
            if is_wrong.any():
                first = int(torch.nonzero(is_wrong)[0])
                what = "NaN" if X[first].isnan().any() and not takes_gaps else "an infinite value"
                return f"X has {what} in example {number_of(dataset, start + first)}"
            start += len(X)
    return None
