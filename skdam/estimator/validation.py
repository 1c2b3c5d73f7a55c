"""Validation data that the user gives."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from torch.utils.data import Subset

from skdam.data.examples import ExampleDataset
from skdam.data.memory import InMemoryDataset, to_tensor
from skdam.estimator.labels import as_labels, encode_labels
from skdam.estimator.weights import naming, present_rows, with_weights


def validation_data(
    dataset: InMemoryDataset | ExampleDataset,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    classes: np.ndarray,
) -> InMemoryDataset | ExampleDataset | Subset[Any]:
    """Give a dataset its targets and weights.

    Parameters
    ----------
    dataset : InMemoryDataset or ExampleDataset
        The n examples; its targets are replaced.
    y : array-like of shape (n,)
        Labels, of both classes.
    sample_weight : array-like of shape (n,) or None
        None stands for equal weights. Examples of weight 0 are left out.
    classes : ndarray of shape (2,)
        The classes of the training data.

    Returns
    -------
    InMemoryDataset, ExampleDataset or Subset of one

    Raises
    ------
    ValueError
        If y has another length, does not hold both classes or holds another label, or if the
        weights are no weights.
    """
    labels: np.ndarray = column_or_1d(as_labels(y))
    check_consistent_length(dataset, labels)
    assert_all_finite(labels, input_name="y")
    rows, weights = present_rows(sample_weight, dataset)
    present = slice(None) if rows is None else rows
    targets = np.zeros(len(labels), dtype=np.float32)
    targets[present] = encode_labels(labels[present], known=classes)[1]
    if weights is not None:
        of_all = np.zeros(len(labels), dtype=np.float32)
        of_all[present] = weights
        weights = of_all
    dataset.y = to_tensor(with_weights(targets, weights))
    return dataset if rows is None else Subset(dataset, rows.tolist())


def naming_validation_data() -> AbstractContextManager[None]:
    """Return a context that says in an error that it is about the validation data."""
    return naming("the validation data, X_val and y_val")
