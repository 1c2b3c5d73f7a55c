"""Weights of examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import _check_sample_weight, _num_samples
from torch import Tensor

from skdam._targets import Targets
from skdam.data.memory import to_array

# of the largest weight
_LEAST = 1e-12


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Say in an error what it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"in {what}: {error}") from error


def present_rows(
    sample_weight: ArrayLike | None, X: Any
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return which rows weigh anything, and their weights.

    Parameters
    ----------
    sample_weight : array-like of shape (n,), number or None
        None and a number stand for equal weights.
    X : array-like or Dataset of length n

    Returns
    -------
    rows : ndarray of int, or None
        None stands for all. An example of less than 1e-12 of the largest weight is absent.
    weights : ndarray of shape (len(rows),), float32, or None
        None stands for equal ones. Their scale has no effect, so they have mean 1.

    Raises
    ------
    ValueError
        If weights are negative, not finite, of another length, or all zero.
    """
    if sample_weight is None:
        return None, None
    shape_only = np.broadcast_to(np.float64(0), (_num_samples(X), 1))
    if isinstance(sample_weight, Tensor):
        sample_weight = to_array(sample_weight, "sample_weight")
    if isinstance(sample_weight, np.ndarray) and not sample_weight.ndim:
        sample_weight = sample_weight.item()
    with naming("sample_weight"):
        weights = _check_sample_weight(
            sample_weight, shape_only, dtype=np.float64, ensure_non_negative=True
        )
    # single precision cannot tell the others from 0
    rows = np.flatnonzero(weights > _LEAST * weights.max())
    if not len(rows):
        raise ValueError("sample_weight is 0 for all examples; give some of each class a weight.")
    # first by the largest: a sum of huge weights would overflow
    weights = weights[rows] / weights.max()
    weights /= weights.mean()
    is_equal = weights.max() == weights.min()
    return (
        None if len(rows) == len(shape_only) else rows,
        None if is_equal else weights.astype(np.float32),
    )


def with_weights(
    targets: np.ndarray,
    weights: np.ndarray | None,
    folds: np.ndarray | None = None,
    n_folds: int = 0,
) -> np.ndarray | Tensor:
    """Return targets that carry weights and folds, where there are any."""
    if weights is None and folds is None:
        return targets
    return Targets.of(
        torch.from_numpy(targets),
        None if weights is None else torch.from_numpy(weights),
        None if folds is None else torch.from_numpy(folds),
        n_folds,
    )
