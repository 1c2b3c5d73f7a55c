"""From arrays, frames and Datasets to the datasets that are trained on and scored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from skorch.helper import SliceDataset
from torch import Tensor
from torch.utils.data import Dataset

from skdam.data.examples import ExampleDataset, first_example, kind_of
from skdam.data.memory import InMemoryDataset


@dataclass(frozen=True)
class InputSpec:
    """What an example of X is like.

    Parameters
    ----------
    shape : tuple of int
        Shape of one example: the number of columns of a table, (channels, height, width)
        of images.
    dtype : str
        "float32", or "uint8" for bytes, which reach the network divided by 255.
    """

    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, X: np.ndarray | Dataset[Any]) -> Self:
        """Return what the first example of X is like.

        Raises
        ------
        ValueError, TypeError
            If X is a Dataset that is empty, that has no length, or whose first item holds no
            array or tensor of numbers.
        """
        return cls(*kind_of(first_example(X) if isinstance(X, Dataset) else X[0]))

    def check(self, other: InputSpec) -> None:
        """Raise ValueError unless new data is like that of fit."""
        if other.shape != self.shape:
            raise ValueError(
                f"X must have examples of shape {self.shape} as in fit, got {other.shape}."
            )
        if other.dtype != self.dtype:
            raise ValueError(
                f"X has become {other.dtype} and was {self.dtype} in fit. Both must be uint8 or "
                "neither: uint8 is divided by 255, other numbers are taken as they are."
            )

    def dataset(
        self, X: np.ndarray | Dataset[Any], targets: np.ndarray | Tensor | None = None
    ) -> InMemoryDataset | ExampleDataset:
        """Return X and targets as what the net reads.

        Parameters
        ----------
        X : ndarray of shape (n, ...) or Dataset
            With examples of this shape and dtype.
        targets : ndarray or Tensor of shape (n,), float32, or None, default=None
            None stands for zeros, which prediction ignores.
        """
        if isinstance(X, Dataset):
            if targets is None:
                targets = np.zeros(len(X), dtype=np.float32)  # type: ignore[arg-type]
            return ExampleDataset(X, targets, (self.shape, self.dtype))
        return InMemoryDataset(X, targets)


class SlicedDataset(Dataset[Any]):
    """The examples of skorch's SliceDataset, which scikit-learn cuts into folds, as a Dataset."""

    def __init__(self, examples: SliceDataset) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]


def as_dataset(X: Any) -> Any:
    """Return X as a Dataset if it is skorch's SliceDataset, else as it is."""
    return SlicedDataset(X) if isinstance(X, SliceDataset) else X


def as_array_like(X: Any) -> Any:
    """Return X such that scikit-learn can check it: tensors and lists of images as arrays.

    Raises
    ------
    ValueError
        If X has dates or durations, which scikit-learn would turn into numbers.
    """
    if isinstance(X, Tensor):
        X = X.numpy(force=True)
    elif isinstance(X, list | tuple) and X and getattr(X[0], "ndim", 1) > 1:
        X = np.asarray(X)
    dtypes = dict(X.dtypes) if hasattr(X, "columns") else {"X": getattr(X, "dtype", None)}
    dates = [name for name, dtype in dtypes.items() if getattr(dtype, "kind", "") in ("M", "m")]
    if dates:
        raise ValueError(f"dates and durations have to be encoded as numbers: {dates}.")
    return X


def check_options(X: Any) -> dict[str, Any]:
    """Return the options of scikit-learn's ``check_array`` for X: C order, any axes, finite.

    Tables become float32. Data of more axes becomes float32 too, unless it is uint8.
    """
    is_table = getattr(X, "ndim", 2) == 2
    # of several dtypes, the first is what other numbers become
    dtype = np.float32 if is_table else [np.float32, np.uint8]
    return {"dtype": dtype, "order": "C", "allow_nd": True}


@contextmanager
def naming_columns(X: Any) -> Iterator[None]:
    """Add to an error about X which of its columns are not finite numbers."""
    try:
        # a float64 too large for float32 becomes infinity, which is an error of its own
        with np.errstate(over="ignore"):
            yield
    except (TypeError, ValueError) as error:
        columns = non_finite_columns(X)
        if not columns:
            raise
        message = f"{error}\nColumns that are not finite numbers: {columns}."
        raise type(error)(message) from error


def non_finite_columns(X: Any) -> list[Any]:
    """Return the names or numbers of columns that hold anything but finite numbers."""
    if hasattr(X, "columns"):
        columns = {name: X[name] for name in X.columns}
    else:
        values = np.asarray(X)
        columns = dict(enumerate(values.T)) if values.ndim == 2 else {}
    return [name for name, values in columns.items() if not _all_finite(values)]


def _all_finite(values: Any) -> bool:
    if np.asarray(values).dtype.kind == "c":
        return False
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.asarray(values, dtype=np.float32)).all())
    except (TypeError, ValueError):
        return False
