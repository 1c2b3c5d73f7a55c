"""From a table, a frame or an array, to the float32 matrix that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import narwhals.stable.v1 as nw
import numpy as np

from skdam.estimator.columns import Category, Column, UnreadableColumnError, offsets_of

_MAX_NAMED = 20
_CHUNK = 2**20  # elements


@dataclass(frozen=True)
class TableSpec:
    """What fit has learnt of the columns of a table.

    Parameters
    ----------
    categories : tuple
        For each column its categories, a tuple of float and str, or None for a column of
        numbers. Empty if all are numbers.
    offsets : tuple of float
        What is subtracted from each column of numbers before it becomes float32. Empty if it
        is nothing.
    """

    categories: tuple[tuple[Category, ...] | None, ...] = ()
    offsets: tuple[float, ...] = ()

    @classmethod
    def of_columns(cls, table: Sequence[Column], categorical: Sequence[int] | None) -> Self:
        """Learn the categories and offsets of columns.

        Parameters
        ----------
        table : sequence of Column
        categorical : sequence of int or None
            Which columns are categories; None for those that are by their dtype.
        """
        chosen = [
            column.is_category if categorical is None else number in categorical
            for number, column in enumerate(table)
        ]
        pairs = list(zip(table, chosen, strict=True))
        return cls._of(
            tuple(column.categories() if is_one else None for column, is_one in pairs),
            tuple(0.0 if is_one else column.offset() for column, is_one in pairs),
        )

    @classmethod
    def of_numbers(cls, X: Any, rows: np.ndarray | None = None) -> Self:
        """Learn the offsets of an array of numbers, or of some of its rows."""
        if not isinstance(X, np.ndarray) or X.ndim != 2:
            return cls()
        return cls._of((), tuple(offsets_of(X if rows is None else X[rows]).tolist()))

    @classmethod
    def _of(cls, categories: tuple[Any, ...], offsets: tuple[float, ...]) -> Self:
        # what says nothing is empty, so that equal tables have equal specs
        has_categories = any(known is not None for known in categories)
        return cls(categories if has_categories else (), offsets if any(offsets) else ())

    @property
    def n_categories(self) -> tuple[int, ...] | None:
        """The number of categories of each column, 0 for numbers; None if all are numbers."""
        sizes = tuple(len(known or ()) for known in self.categories)
        return sizes if any(sizes) else None

    def matrix(self, table: Sequence[Column], *, gaps: bool, expected: str) -> np.ndarray:
        """Return columns as one matrix.

        Parameters
        ----------
        table : sequence of Column
        gaps : bool
            Whether gaps are allowed.
        expected : str
            Why columns without categories must hold numbers, and what to do, for the message.

        Returns
        -------
        ndarray of shape (n, n_features), float32, C-contiguous
            Numbers less their offset, codes of categories, NaN for gaps and for categories
            that fit has not seen.

        Raises
        ------
        ValueError
            If columns cannot be read; the message names all of them.
        """
        n_rows = len(table[0].values) if table else 0
        X = np.empty((n_rows, len(table)), dtype=np.float32)
        problems = []
        for number, column in enumerate(table):
            categories = self.categories[number] if self.categories else None
            offset = self.offsets[number] if self.offsets else 0.0
            try:
                if categories is None:
                    X[:, number] = column.float32(expected, offset, gaps)
                else:
                    X[:, number] = column.codes(categories)
            except UnreadableColumnError as error:
                problems.append(f"{column.name!r}: {error}.")
        if problems:
            hidden = len(problems) - _MAX_NAMED
            more = [f"and {hidden} more."] if hidden > 0 else []
            lines = "\n  ".join(problems[:_MAX_NAMED] + more)
            raise ValueError(f"X has columns that cannot be read:\n  {lines}")
        return X

    def less_offsets(self, X: Any) -> Any:
        """Return an array of numbers less the offsets, in single precision.

        X stays as it is if there are no offsets, or if it is no array that fits them, which
        scikit-learn refuses.
        """
        shape, dtype = getattr(X, "shape", ()), getattr(X, "dtype", np.dtype(object))
        if not self.offsets or shape[1:] != (len(self.offsets),) or dtype.kind not in "biuf":
            return X
        offsets = np.array(self.offsets)
        result = np.empty(X.shape, dtype=np.float32)
        size = max(_CHUNK // len(offsets), 1)
        with np.errstate(over="ignore"):
            for start in range(0, len(X), size):
                result[start : start + size] = X[start : start + size] - offsets
        return result


def is_frame(X: Any) -> bool:
    """Return whether X is a data frame that is in memory.

    Raises
    ------
    TypeError
        If X is a lazy frame.
    """
    if nw.dependencies.is_polars_lazyframe(X):
        raise TypeError("X is a LazyFrame, whose rows are not there yet; call X.collect() first.")
    return bool(nw.dependencies.is_into_dataframe(X))


def columns_of(X: Any, names: Sequence[Any] | None = None) -> list[Column]:
    """Return the columns of a frame or of an array of two axes.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n, n_features)
    names : sequence or None, default=None
        Names of the columns of an array; None for their numbers.
    """
    if is_frame(X):
        return [Column.of_series(s) for s in nw.from_native(X, eager_only=True).iter_columns()]
    # a list of numbers and strings would become strings
    values = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    names = range(values.shape[1]) if names is None else names
    return [Column(name, column) for name, column in zip(names, values.T, strict=True)]


def chosen_columns(choice: Any, names: Sequence[Any] | None, n_features: int) -> list[int] | None:
    """Return the numbers of the columns that the parameter ``categorical_features`` names.

    Parameters
    ----------
    choice : "from_dtype", None or array-like
        A mask, numbers of columns or names.
    names : sequence of str or None
        Names of the columns, if they have any.
    n_features : int

    Returns
    -------
    list of int, or None
        None stands for a choice by dtype.

    Raises
    ------
    ValueError
        If a column does not exist, or if the array is none of these.
    """
    if isinstance(choice, str):
        return None
    chosen = np.asarray([] if choice is None else choice)
    if not chosen.size:
        return []
    if chosen.dtype.kind == "b" and chosen.shape == (n_features,):
        return np.flatnonzero(chosen).tolist()
    if chosen.dtype.kind in "iu" and chosen.ndim == 1:
        if chosen.min() < 0 or chosen.max() >= n_features:
            raise ValueError(
                f"categorical_features has indices outside of [0, {n_features - 1}]: "
                f"{chosen.tolist()}."
            )
        return sorted(set(chosen.tolist()))
    is_names = chosen.ndim == 1 and all(isinstance(name, str) for name in chosen.tolist())
    if is_names and names is not None:
        known = {name: number for number, name in enumerate(names)}
        unknown = [name for name in chosen.tolist() if name not in known]
        if unknown:
            raise ValueError(
                f"categorical_features names {unknown}, which X does not have; its columns are "
                f"{list(names)[:_MAX_NAMED]}."
            )
        return sorted({known[name] for name in chosen.tolist()})
    raise ValueError(
        f"categorical_features must be 'from_dtype', None, a mask of length {n_features}, indices "
        "of columns or, for X with names, names of columns; got "
        f"{choice!r}{' and X without names' if is_names else ''}."
    )
