"""From labels to targets 0 and 1, and the split that both classes take part in."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target
from torch import Tensor
from torch.utils.data import Dataset

from skdam.data.examples import read_labels
from skdam.data.memory import to_array
from skdam.estimator.columns import is_gap


def as_labels(y: Any, name: str = "y") -> np.ndarray:
    """Return labels as an array: numbers as numbers, whatever held them.

    Parameters
    ----------
    y : array-like of shape (n,)
    name : str, default="y"
        What they are, for the message.

    Returns
    -------
    ndarray of any shape
        Objects that are all booleans or numbers have a dtype of these.

    Raises
    ------
    ValueError
        If a label is missing, or labels are of several types.
    TypeError
        If y is masked or sparse, or a tensor that is not dense.
    """
    if isinstance(y, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, and its mask would be lost; leave out the masked rows."
        )
    if issparse(y):
        raise TypeError(f"{name} is a sparse {type(y).__name__}; pass {name}.toarray().ravel().")
    labels = to_array(y, name) if isinstance(y, Tensor) else np.asarray(y)
    if isinstance(y, list | tuple) and labels.dtype.kind in "SU":
        # numbers among strings have become strings
        labels = np.asarray(y, dtype=object)
    if labels.dtype.kind == "T":
        labels = labels.astype(object)
    if labels.dtype.kind != "O":
        # only NaN and NaT differ from themselves
        _check_present(labels != labels, name)
        return labels
    _check_present(np.array([_is_missing(label) for label in labels.flat], dtype=bool), name)
    kinds = {_kind_of(label) for label in labels.flat}
    if len(kinds) > 1:
        raise ValueError(
            f"{name} holds {' and '.join(sorted(kinds))}; make them of one type, for example all "
            "of them strings."
        )
    if kinds == {"strings"} and isinstance(y, list | tuple):
        return labels.astype(str)
    return np.array(labels.tolist()) if kinds <= {"booleans", "numbers"} else labels


def _is_missing(label: Any) -> bool:
    return is_gap(label) or (isinstance(label, Real) and label != label)


def _kind_of(label: Any) -> str:
    if isinstance(label, bool | np.bool_):
        return "booleans"
    if isinstance(label, Real):
        return "numbers"
    return "strings" if isinstance(label, str) else f"values of type {type(label).__name__}"


def _check_present(is_missing: np.ndarray, name: str) -> None:
    if is_missing.any():
        raise ValueError(
            f"{name} contains NaN, None or NA in {is_missing.sum()} rows, the first in row "
            f"{is_missing.argmax()}; leave out those rows."
        )


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
    named = {} if classes is None else {"classes": two_classes(as_labels(classes, "classes"))}
    named["y"] = two_classes(y)
    if known is None:
        known = next(iter(named.values()))
    for name, values in named.items():
        unknown = set(values) - set(known)
        if unknown:
            raise ValueError(
                f"{name} holds unknown labels {np.sort(list(unknown)).tolist()}; the classes are "
                f"{known.tolist()}."
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
        return as_labels(read_labels(dataset, **loader_parameters))
    labels = column_or_1d(as_labels(y))
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
        n_valid = min(max(round(float(fraction) * len(rows)), 1), len(rows) - 1)
        valid.append(rows[:n_valid])
        train.append(rows[n_valid:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(valid))
