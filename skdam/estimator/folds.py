"""Folds of the training rows, each of which one member of an ensemble never sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length, column_or_1d

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def assign_folds(
    X: np.ndarray, targets: np.ndarray, n_folds: int, groups: ArrayLike | None = None
) -> np.ndarray | None:
    """Return a fold for each row, such that each class is spread evenly over the folds.

    Rows that are alike share a fold, and so do rows of one group: what a member learns from the
    one would tell of the other. The fold depends on the rows alone, and neither on their order
    nor on random numbers.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float32
    targets : ndarray of shape (n,)
        0 and 1.
    n_folds : int
    groups : array-like of shape (n,) or None, default=None

    Returns
    -------
    ndarray of shape (n,), int64, or None
        None if a class has fewer than two different rows or groups, as then a member could be
        left without the class.

    Raises
    ------
    ValueError
        If ``groups`` has another length than X.
    """
    if groups is None:
        keys = _hashes(X)
    else:
        names = column_or_1d(groups)
        check_consistent_length(X, names)
        keys = _mixed(np.unique(names, return_inverse=True)[1].astype(np.uint64))
    units, unit_of_row = np.unique(keys, return_inverse=True)
    is_positive = np.zeros(len(units), dtype=bool)
    is_positive[unit_of_row[targets == 1]] = True
    has_negative = np.zeros(len(units), dtype=bool)
    has_negative[unit_of_row[targets == 0]] = True
    if is_positive.sum() < 2 or has_negative.sum() < 2:
        return None
    fold_of_unit = np.empty(len(units), dtype=np.int64)
    # the classes begin at opposite ends, so that the folds have about as many rows
    n_positive = int(is_positive.sum())
    fold_of_unit[is_positive] = np.arange(n_positive) % n_folds
    fold_of_unit[~is_positive] = n_folds - 1 - np.arange(len(units) - n_positive) % n_folds
    return fold_of_unit[unit_of_row]


def _hashes(X: np.ndarray) -> np.ndarray:
    """Return a hash of each row, of shape (n,), uint64."""
    # -0.0 and 0.0 are alike, and so are all NaN
    words = np.where(np.isnan(X), np.float32(np.nan), X + np.float32(0)).view(np.uint32)
    hashes = np.zeros(len(X), dtype=np.uint64)
    for column in words.T:
        hashes = _mixed(hashes + column)
    return hashes


def _mixed(values: np.ndarray) -> np.ndarray:
    # the products wrap around
    values = (values + np.uint64(1)) * _MULTIPLIER
    return values ^ (values >> np.uint64(29))
