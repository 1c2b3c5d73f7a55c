"""Folds of the training rows, each of which one member of an ensemble never sees."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import _num_samples

from skdam.estimator.labels import as_labels

_ROWS = 2**16
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def assign_folds(
    X: np.ndarray, targets: np.ndarray, n_folds: int, groups: np.ndarray | None = None
) -> np.ndarray | None:
    """Return a fold for each row, such that each class is spread evenly over the folds.

    Rows that are equal share a fold, and with groups, all rows of a group do: what a member learns
    from one of them would tell of the others. The fold depends on the rows alone, and neither on
    their order nor on random numbers.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float32
    targets : ndarray of shape (n,)
        0 and 1.
    n_folds : int
        Folds, >= 2.
    groups : ndarray of shape (n,) or None, default=None
        The group of each row, from :func:`as_groups`; None makes each distinct row a group.

    Returns
    -------
    ndarray of shape (n,), int64, or None
        None if a class has fewer than two different rows or groups, as then a member could be
        left without the class.
    """
    if groups is None:
        keys = _hashes(X)
    else:
        keys = _mixed(np.unique(groups, return_inverse=True)[1].astype(np.uint64))
    units, unit_of_row = np.unique(keys, return_inverse=True)
    has_positive, has_negative = (
        np.bincount(unit_of_row[targets == label], minlength=len(units)) > 0 for label in (1, 0)
    )
    if has_positive.sum() < 2 or has_negative.sum() < 2:
        return None
    fold_of_unit = np.empty(len(units), dtype=np.int64)
    # those of both classes come first, so that each class is spread evenly
    both, positive, negative = (
        np.flatnonzero(kind) for kind in (has_positive & has_negative, ~has_negative, ~has_positive)
    )
    rising = np.concatenate([both, positive])
    fold_of_unit[rising] = np.arange(len(rising)) % n_folds
    # from the other end, so that the folds have about as many rows
    fold_of_unit[negative] = n_folds - 1 - np.arange(len(negative)) % n_folds
    return fold_of_unit[unit_of_row]


def as_groups(groups: ArrayLike, X: Any) -> np.ndarray:
    """Return the group of each row of X, of shape (n,).

    Raises
    ------
    ValueError
        If groups have another shape than (n,), if one is missing, or if they are of several
        types.
    """
    names = as_labels(groups, "groups")
    n = _num_samples(X)
    if names.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"groups must have shape ({n},), one for each row of X, got {names.shape}."
        )
    return names.ravel()


def fingerprint(X: np.ndarray, folds: np.ndarray) -> str:
    """Return a digest of which rows there are, and in which folds.

    It is the same for the same rows in another order or number. If it is that of an earlier
    training, no member has seen a row of its fold.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float32
    folds : ndarray of shape (n,), int64

    Returns
    -------
    str
    """
    pairs = _mixed(_hashes(X.reshape(len(X), -1)) + folds.astype(np.uint64))
    return hashlib.sha256(np.unique(pairs).tobytes()).hexdigest()


def _hashes(X: np.ndarray) -> np.ndarray:
    """Return a hash of each row, of shape (n,), uint64."""
    hashes = np.zeros(len(X), dtype=np.uint64)
    # by parts: a copy of a large table would take as much memory again
    for start in range(0, len(X), _ROWS):
        part = X[start : start + _ROWS]
        # -0.0 and 0.0 are alike, and so are all NaN
        words = np.where(np.isnan(part), np.float32(np.nan), part + np.float32(0)).view(np.uint32)
        of_part = hashes[start : start + _ROWS]
        for column in words.T:
            of_part[:] = _mixed(of_part + column)
    return hashes


def _mixed(values: np.ndarray) -> np.ndarray:
    # the products wrap around
    values = (values + np.uint64(1)) * _MULTIPLIER
    return values ^ (values >> np.uint64(29))
