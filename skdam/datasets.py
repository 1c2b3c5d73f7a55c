"""Imbalanced data for examples and experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state


def make_imbalanced(
    X: Any,
    y: ArrayLike,
    positive_rate: float,
    *,
    positive_label: Any = 1,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Any, np.ndarray]:
    """Drop random positives until they have a given share; keep all negatives.

    Parameters
    ----------
    X : array-like, DataFrame or sparse matrix of shape (n, ...)
        Examples.
    y : array-like of shape (n,)
        Labels; all except ``positive_label`` are negatives.
    positive_rate : float
        Share of positives in the result, in (0, 1), at most their share in y. The number of
        positives is rounded, and at least one.
    positive_label : object, default=1
        Label of the positives.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of positives. None draws a fresh seed.

    Returns
    -------
    X : array-like, DataFrame or sparse matrix of shape (n_kept, ...)
        The examples that are kept, in their old order and of the type of X.
    y : ndarray of shape (n_kept,)
        Their labels.

    Raises
    ------
    ValueError
        If the rate is out of range, if there are too few positives for it, if there are no
        negatives, or if X and y differ in length.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skdam.datasets import make_imbalanced
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> malignant = 1 - y
    >>> print(f"{malignant.mean():.2f}")
    0.37
    >>> X, malignant = make_imbalanced(X, malignant, 0.05, random_state=0)
    >>> print(f"{malignant.mean():.2f} of {len(malignant)}")
    0.05 of 376
    """
    check_consistent_length(X, y)
    labels = np.asarray(y)
    if not 0 < positive_rate < 1:
        raise ValueError(f"positive_rate must be in (0, 1), got {positive_rate!r}.")
    positives = np.flatnonzero(labels == positive_label)
    negatives = np.flatnonzero(labels != positive_label)
    if not len(negatives):
        raise ValueError(f"all labels are {positive_label!r}; there must be other ones as well.")
    wanted = max(round(positive_rate / (1 - positive_rate) * len(negatives)), 1)
    if wanted > len(positives):
        raise ValueError(
            f"positive_rate={positive_rate} needs {wanted} examples of {positive_label!r} for "
            f"{len(negatives)} others, there are {len(positives)}."
        )
    rng = np.random.RandomState() if random_state is None else check_random_state(random_state)
    kept = rng.choice(positives, wanted, replace=False)
    rows = np.sort(np.concatenate([negatives, kept]))
    return _safe_indexing(X, rows), labels[rows]
