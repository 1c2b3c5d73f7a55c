"""From labels to targets 0 and 1, and the split that both classes take part in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target
from torch.utils.data import Dataset

from skdam.data.examples import read_labels


def two_classes(y: ArrayLike) -> np.ndarray:
    """Return the two distinct labels of y, sorted, as an array of shape (2,).

    Raises
    ------
    ValueError
        If there are more or fewer than two, or if y holds no labels.
    """
    kind = type_of_target(y, input_name="y", raise_unknown=True)
    classes = np.unique(y)
    if kind != "binary":
        raise ValueError(
            f"Only binary classification is supported. The type of the target is {kind}, with "
            f"{len(classes)} distinct values."
        )
    if len(classes) < 2:
        raise ValueError(f"y must hold two classes, got one class: {classes.tolist()}.")
    return classes


def encode_labels(
    y: np.ndarray, *, classes: ArrayLike | None = None, known: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Turn labels into targets.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels; both classes must be present.
    classes : array-like of shape (2,) or None, default=None
        The labels as the user names them.
    known : ndarray of shape (2,) or None, default=None
        The classes of an earlier fit, to which ``y`` and ``classes`` must keep.

    Returns
    -------
    classes : ndarray of shape (2,)
        The known classes or, without them, the given ones or those of y, sorted.
    targets : ndarray of shape (n,), float32
        1 for the second class, 0 for the first.

    Raises
    ------
    ValueError
        If y or ``classes`` does not hold two labels, or holds an unknown one.
    """
    named = {} if classes is None else {"classes": two_classes(classes)}
    named["y"] = two_classes(y)
    if known is None:
        known = next(iter(named.values()))
    for name, values in named.items():
        unknown = set(values) - set(known)
        if unknown:
            raise ValueError(
                f"{name} holds {np.sort(list(unknown)).tolist()}, the classes are {known.tolist()}."
            )
    return known, (y == known[1]).astype(np.float32)


def dataset_labels(
    dataset: Dataset[Any], y: ArrayLike | None, **loader_parameters: Any
) -> np.ndarray:
    """Return the labels of a Dataset: y or, without it, those that its items hold.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Yields pairs (x, label) if y is None.
    y : array-like of shape (n,) or None
    **loader_parameters
        Of the :class:`torch.utils.data.DataLoader` that reads the labels.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        If y has another length than the Dataset, or an item more than one label.
    TypeError
        If y is None and the items are not pairs.
    """
    if y is None:
        return read_labels(dataset, **loader_parameters)
    labels = column_or_1d(y)
    n_examples = len(dataset)  # type: ignore[arg-type]
    if len(labels) != n_examples:
        raise ValueError(f"y has {len(labels)} labels, the Dataset has {n_examples} examples.")
    return labels


def split_by_class(
    targets: np.ndarray, fraction: float, classes: np.ndarray, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows at random, class by class, so that both parts hold both classes.

    Parameters
    ----------
    targets : ndarray of shape (n,)
        0 and 1.
    fraction : float
        Share of each class that is set aside for validation, in (0, 1).
    classes : ndarray of shape (2,)
        Labels for the error message.
    rng : RandomState
        Draws one permutation of each class.

    Returns
    -------
    train, valid : ndarray of int
        Sorted row numbers.

    Raises
    ------
    ValueError
        If a class has fewer than two examples.
    """
    train, valid = [], []
    for target, label in enumerate(classes.tolist()):
        rows = rng.permutation(np.flatnonzero(targets == target))
        if len(rows) < 2:
            raise ValueError(
                f"early_stopping needs at least 2 examples of each class, got {len(rows)} "
                f"of {label!r}."
            )
        n_valid = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        valid.append(rows[:n_valid])
        train.append(rows[n_valid:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(valid))
