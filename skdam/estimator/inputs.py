"""From arrays, frames and Datasets to the datasets that are trained on and scored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import narwhals.stable.v1 as nw
import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, check_X_y, validate_data
from skorch.helper import SliceDataset
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from skdam.data.examples import ExampleDataset, first_example, kind_of
from skdam.data.memory import InMemoryDataset, to_array
from skdam.estimator.columns import UnreadableColumnError
from skdam.estimator.defaults import takes_gaps
from skdam.estimator.tables import TableSpec, chosen_columns, columns_of, is_frame

_ENCODER = "skrub.tabular_pipeline(clf)"


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
    table : TableSpec, optional
        How the columns of a table became numbers; all of them were numbers by default.
    """

    shape: tuple[int, ...]
    dtype: str
    table: TableSpec = field(default_factory=TableSpec)

    @classmethod
    def of(cls, X: np.ndarray | Dataset[Any], table: TableSpec | None = None) -> Self:
        """Return what the first example of X is like.

        Raises
        ------
        ValueError, TypeError
            If X is a Dataset that is empty, that has no length, or whose first item holds no
            array or tensor of numbers.
        """
        shape, dtype = kind_of(first_example(X) if isinstance(X, Dataset) else X[0])
        return cls(shape, dtype, table or TableSpec())

    @classmethod
    def restored(cls, values: tuple[Any, ...]) -> Self:
        """Return the spec of which these are the values, as of ``dataclasses.astuple``."""
        shape, dtype, table = values
        return cls(shape, dtype, TableSpec(*table))

    def check(self, other: InputSpec, *, is_dataset: bool = False) -> None:
        """Raise ValueError unless new data is like that of fit.

        Parameters
        ----------
        other : InputSpec
            Of the new data.
        is_dataset : bool, default=False
            Whether that is a Dataset, the examples of which are taken as they are.
        """
        if is_dataset and self.table != TableSpec():
            raise ValueError(
                "X is a Dataset, and in fit it was a table with columns of categories, or of "
                "numbers that were shifted to keep their digits. Pass a table as in fit."
            )
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


def validated(
    estimator: Any, X: Any, y: Any, known: TableSpec | None, rows: np.ndarray | None = None
) -> tuple[Any, Any, TableSpec]:
    """Return X and y as arrays that passed all checks, and what the columns of X are.

    Parameters
    ----------
    estimator : CompositionalAUCClassifier
        Learns or checks the number and the names of columns. Its module says whether gaps and
        categories are allowed.
    X : array-like or DataFrame
        As :func:`as_array_like` returns it.
    y : array-like or "no_validation"
    known : TableSpec or None
        The columns as learnt in fit; None to learn them now.
    rows : ndarray of int, or None, default=None
        The rows to learn them from; None for all.

    Returns
    -------
    X : ndarray of shape (n, ...), float32 or uint8, C-contiguous
    y : ndarray of shape (n,) or "no_validation"
    table : TableSpec

    Raises
    ------
    ValueError, TypeError
        If X or y is not as it should be. The message names all columns that are not.
    """
    gaps = takes_gaps(estimator.module) and _n_axes(X) == 2
    check_choice(estimator, is_allowed=gaps)
    if _is_read_by_column(X, known, estimator.categorical_features):
        validate_data(estimator, X, y, reset=known is None, skip_check_array=True)
        X, table = _read_columns(estimator, X, known, rows, gaps)
        return *_checked(estimator, X, y), table
    if gaps:
        X = _as_numbers(X)
    table = TableSpec() if known is None else known
    if gaps and known is None:
        table = TableSpec.of_numbers(X, rows)
    options = check_options(X) | {"ensure_all_finite": "allow-nan" if gaps else True}
    # a float64 too large for float32 becomes infinity, which is an error of its own
    with naming_columns(X, gaps=gaps), np.errstate(over="ignore"):
        X = table.less_offsets(X)
        checked = validate_data(estimator, X, y, reset=known is None, **options)
    return (checked, y, table) if isinstance(y, str) else (*checked, table)


def check_choice(estimator: Any, *, is_allowed: bool) -> None:
    """Raise ValueError if columns are named as categories where none are allowed."""
    choice = estimator.categorical_features
    if not (is_allowed or choice is None or isinstance(choice, str)):
        raise ValueError(
            "categorical_features is for tables and for a module that takes categories, as the "
            f"default one does; got {choice!r} with module={estimator.module!r}."
        )


def _is_read_by_column(X: Any, known: TableSpec | None, choice: Any) -> bool:
    """Return whether X is a frame, or an array with columns of categories."""
    if is_frame(X):
        return True
    if known is not None:
        return bool(known.categories) and _n_axes(X) == 2
    return not (choice is None or isinstance(choice, str)) and _n_axes(X) == 2


def _n_axes(X: Any) -> int:
    """Return the number of axes of X, 0 if it has none or its rows differ in length."""
    if is_frame(X):
        return 2
    try:
        return X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
    except ValueError:
        return 0


def _read_columns(
    estimator: Any, X: Any, known: TableSpec | None, rows: np.ndarray | None, gaps: bool
) -> tuple[np.ndarray, TableSpec]:
    """Return a table, read by columns, as a matrix, and what its columns are."""
    names = getattr(estimator, "feature_names_in_", None)
    columns = columns_of(X, names)
    if not columns:
        raise ValueError("X is a frame with 0 columns, and at least 1 is needed.")
    if not gaps:
        expected = "this module takes finite numbers; encode them, for example with "
        return TableSpec().matrix(columns, gaps=False, expected=expected + _ENCODER), TableSpec()
    if known is not None:
        expected = "it held numbers in fit; pass numbers"
        return known.matrix(columns, gaps=True, expected=expected), known
    chosen = chosen_columns(estimator.categorical_features, names, len(columns))
    table = TableSpec.of_columns([column.take(rows) for column in columns], chosen)
    expected = f"categorical_features does not name it; add it, or encode them with {_ENCODER}"
    return table.matrix(columns, gaps=True, expected=expected), table


def _checked(estimator: Any, X: np.ndarray, y: Any) -> tuple[np.ndarray, Any]:
    """Return X and y after scikit-learn's checks of their size and of y."""
    options = {"estimator": estimator, "dtype": np.float32, "ensure_all_finite": "allow-nan"}
    if isinstance(y, str):
        return check_array(X, input_name="X", **options), y
    return check_X_y(X, y, **options)


def _as_numbers(X: Any) -> Any:
    """Return lists, objects and strings as numbers if they are, in double precision."""
    if getattr(X, "dtype", np.dtype(object)).kind not in "OSTU":
        return X
    with suppress(TypeError, ValueError, OverflowError):
        return np.asarray(X, dtype=np.float64)
    # pandas' NA among them is no number to numpy
    with suppress(UnreadableColumnError):
        return np.column_stack([column.numbers("") for column in columns_of(X)])
    return X


def as_array_like(X: Any) -> Any:
    """Return X such that scikit-learn can check it: tensors and lists of images as arrays.

    Raises
    ------
    TypeError
        If X is sparse, quantized, masked, a matrix, a DataLoader, an Arrow array or record batch,
        or no array at all.
    ValueError
        If X is an array of dates or durations, which scikit-learn would turn into numbers, or a
        list of tensors of several shapes.
    """
    X = nw.to_native(X, pass_through=True)
    if isinstance(X, DataLoader):
        raise TypeError("X is a DataLoader; pass its dataset, X.dataset, which is read in batches.")
    if hasattr(X, "__arrow_c_array__") and not is_frame(X):
        raise TypeError(
            f"X is a {type(X).__name__} of Arrow, and a table is needed; pass "
            "pyarrow.Table.from_batches([X])."
        )
    if isinstance(X, np.matrix):
        raise TypeError("X is a np.matrix, which is not supported; pass np.asarray(X).")
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError(
            "X is a masked array, and its mask would be lost; pass X.filled(np.nan), where gaps "
            "are allowed."
        )
    if issparse(X):
        raise TypeError(
            f"X is a sparse {type(X).__name__}, and dense data is needed; pass X.toarray(), or set "
            "sparse_output=False in the encoder that made it."
        )
    dtype = getattr(X, "dtype", None)
    if getattr(dtype, "kind", "") in ("M", "m"):
        raise ValueError(
            f"X is an array of dates or durations, of dtype {dtype}; encode them as numbers, such "
            "as (X - X.min()) / np.timedelta64(1, 'D')."
        )
    if isinstance(X, list | tuple) and X and all(isinstance(x, Tensor) for x in X):
        shapes = {tuple(x.shape) for x in X}
        if len(shapes) > 1:
            raise ValueError(f"X is a list of tensors of several shapes: {sorted(shapes)[:3]}.")
        X = torch.stack(list(X))
    if isinstance(X, Tensor):
        return to_array(X, "X")
    if isinstance(X, list | tuple):
        return np.asarray(X) if X and getattr(X[0], "ndim", 1) > 1 else X
    if not (hasattr(X, "__array__") or isinstance(X, Dataset) or is_frame(X)) and not np.ndim(X):
        raise TypeError(
            "X must be an array, a list of rows, a data frame or a torch Dataset, got "
            f"{type(X).__name__}."
        )
    return X


def check_options(X: Any) -> dict[str, Any]:
    """Return the options of scikit-learn's ``check_array`` for X: C order, any axes, finite.

    Tables become float32. Data of more axes becomes float32 too, unless it is uint8.
    """
    is_table = getattr(X, "ndim", 2) == 2
    # check_array keeps a dtype of the list, and converts others to the first
    dtype = np.float32 if is_table else [np.float32, np.uint8]
    return {"dtype": dtype, "order": "C", "allow_nd": True}


@contextmanager
def naming_columns(X: Any, *, gaps: bool = False) -> Iterator[None]:
    """Add to an error about X which of its columns are not numbers, and what to do.

    Parameters
    ----------
    X : array-like
    gaps : bool, default=False
        Whether gaps are allowed.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if _n_axes(X) != 2:
            raise
        try:
            expected = f"encode them, for example with {_ENCODER}"
            TableSpec().matrix(columns_of(X), gaps=gaps, expected=expected)
        except ValueError as problems:
            raise type(error)(f"{error}\n{problems}") from error
        raise
