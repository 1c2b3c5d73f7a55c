"""What one column of a table holds: numbers, categories, or what no network reads."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from functools import cached_property
from numbers import Integral, Number
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np

Category = float | str

_NAMES_OF_GAPS = ("NoneType", "NAType", "NaTType")
_PLAIN = {"numbers", "booleans", "gaps"}
_CATEGORIES_BY_DTYPE = (nw.Categorical, nw.Enum, nw.String, nw.Boolean)
_OF_KIND = {"c": "complex numbers", "M": "dates", "m": "durations", "S": "bytes", "V": "structs"}
_OFFSET_BELOW = 1e-3
# sums in double precision differ by less than this
_OFFSET_ABOVE = 1e-12
# by which rows an offset is chosen, evenly spaced
_OFFSET_ROWS = 10_000
_LARGEST = float(np.finfo(np.float32).max)
# larger integers are not all exact in double precision
_LARGEST_EXACT = 2**53
_REMEDIES = {
    "dates": "encode them as numbers, such as X[{name!r}].dt.dayofweek, or with "
    "skrub.tabular_pipeline(clf)",
    "durations": "turn them into numbers, such as X[{name!r}].dt.total_seconds()",
    "lists or structs": "make columns of numbers or categories of what they hold",
    "structs": "make columns of numbers or categories of what they hold",
    "bytes": "decode them to strings",
    "complex numbers": "make columns of their real and imaginary parts",
    "infinite values": "replace them by numbers",
    "gaps": "fill them, for example with sklearn.impute.SimpleImputer",
    "values too large for float32": "rescale them, or take logarithms",
    "categories beyond 2**53": "turn them into strings, such as X[{name!r}].astype(str)",
}


class UnreadableColumnError(ValueError):
    """A column that cannot be read; the message says what it holds and what to do."""


class Column:
    """One column of a table.

    Parameters
    ----------
    name : object
        Its name or, without one, its number.
    values : ndarray of shape (n,)
    is_category : bool, default=False
        Whether its dtype says that the values are categories.
    any_object : bool, default=False
        Whether its values are categories also if they are dates or lists.
    """

    def __init__(
        self, name: Any, values: np.ndarray, is_category: bool = False, any_object: bool = False
    ) -> None:
        # of numpy's two dtypes of strings one has objects, and the other may have gaps
        self.values = values.astype(object) if values.dtype.kind in "UT" else values
        self.name = name
        self._by_dtype = is_category
        self._any_object = any_object

    @classmethod
    def of_series(cls, series: Any) -> Column:
        """Return a narwhals Series as a column."""
        if series.dtype in (nw.Int128, nw.UInt128):
            series = series.cast(nw.Float64)  # numpy has no such integers
        if series.dtype not in (nw.Categorical, nw.Enum):
            is_category = series.dtype in _CATEGORIES_BY_DTYPE
            return cls(series.name, series.to_numpy(), is_category)
        native = series.to_native()
        if nw.dependencies.is_pyarrow_chunked_array(native):
            # its dictionaries lose gaps on the way to numpy
            values = native.cast(native.type.value_type).to_numpy()
        else:
            values = series.to_numpy()
        if values.dtype.kind in "mM":
            # whatever the unit of the dtype
            is_date = values.dtype.kind == "M"
            finest = values.astype("M8[us]") if is_date else values / np.timedelta64(1, "s")
            values = np.where(np.isnat(values), None, finest.astype(str))
        return cls(series.name, values, is_category=True, any_object=True)

    def take(self, rows: np.ndarray | None) -> Column:
        """Return the column with some of its rows; None stands for all."""
        if rows is None:
            return self
        return Column(self.name, self.values[rows], self._by_dtype, self._any_object)

    @property
    def is_category(self) -> bool:
        """Whether the column holds categories: by its dtype or, of objects, by its values."""
        is_number = "numbers" in self._held and self._held <= {"numbers", "gaps"}
        return self._by_dtype or (self.values.dtype.kind == "O" and not is_number)

    @cached_property
    def _held(self) -> set[str]:
        """What the objects are, in words."""
        if self.values.dtype.kind != "O":
            return set()
        return {_in_words(kind) for kind in set(map(type, self.values))}

    @cached_property
    def _levels(self) -> Mapping[Any, Category | None]:
        """The distinct objects, each with the category that it stands for; None for a gap."""
        return {value: _category_of(value) for value in dict.fromkeys(self.values)}

    @property
    def _present(self) -> set[Category]:
        """The distinct categories."""
        return {category for category in self._levels.values() if category is not None}

    def _check(self) -> None:
        """Raise UnreadableColumnError if the values are neither numbers nor categories."""
        kind = self.values.dtype.kind
        if self.values.ndim > 1:
            raise self._error("lists or structs")
        if kind in _OF_KIND:
            raise self._error(_OF_KIND[kind])
        if kind == "O" and not self._any_object:
            for what in sorted(self._held & _REMEDIES.keys() - {"gaps"}):
                raise self._error(what)

    def _check_category(self) -> None:
        """Raise UnreadableColumnError if the values are no categories, or would be mixed up."""
        self._check()
        kind = self.values.dtype.kind
        if kind in "iu":
            integers: tuple[Any, ...] = (self.values.min(initial=0), self.values.max(initial=0))
        elif kind == "O" and "numbers" in self._held:
            integers = tuple(v for v in self._levels if isinstance(v, Integral))
        else:
            return
        if any(abs(int(value)) > _LARGEST_EXACT for value in integers):
            raise self._error("categories beyond 2**53")

    def _error(self, what: str) -> UnreadableColumnError:
        return UnreadableColumnError(f"{what}; {_REMEDIES[what].format(name=self.name)}")

    def numbers(self, expected: str) -> np.ndarray:
        """Return the values as floats, NaN for gaps.

        Parameters
        ----------
        expected : str
            Why the column must hold numbers, and what to do, for the message.

        Raises
        ------
        UnreadableColumnError
            If a value is no number.
        """
        self._check()
        values = self.values
        if values.dtype.kind != "O":
            return values if values.dtype.kind == "f" else values.astype(np.float64)
        if not self._held <= _PLAIN:
            raise UnreadableColumnError(f"strings; {expected}")
        if "gaps" in self._held:
            values = np.array([None if is_gap(value) else value for value in values], dtype=object)
        try:
            return values.astype(np.float64)
        except OverflowError:
            raise self._error("values too large for float32") from None

    def float32(self, expected: str, offset: float, gaps: bool) -> np.ndarray:
        """Return the numbers less an offset, in single precision.

        Parameters
        ----------
        expected : str
            As in :meth:`numbers`.
        offset : float
        gaps : bool
            Whether gaps are allowed.

        Raises
        ------
        UnreadableColumnError
            If a value is no number, infinite, too large, or a gap that is not allowed.
        """
        numbers = self.numbers(expected)
        with np.errstate(over="ignore"):
            values = (numbers - offset if offset else numbers).astype(np.float32)
        if np.isinf(values).any():
            is_infinite = np.isinf(numbers).any()
            raise self._error("infinite values" if is_infinite else "values too large for float32")
        if not gaps and np.isnan(values).any():
            raise self._error("gaps")
        return values

    def offset(self) -> float:
        """Return what to subtract from the numbers, 0 if there is no need to."""
        try:
            return float(offsets_of(self.numbers("")[:, None])[0])
        except UnreadableColumnError:
            return 0.0

    def categories(self) -> tuple[Category, ...]:
        """Return the distinct values, numbers before strings, each of them sorted."""
        try:
            self._check_category()
        except UnreadableColumnError:
            return ()
        if self.values.dtype.kind != "O":
            numbers = self.values[~np.isnan(self.values)].astype(np.float64)
            return tuple(np.unique(numbers).tolist())
        present = self._present
        numbers = sorted(c for c in present if not isinstance(c, str))
        return (*numbers, *sorted(c for c in present if isinstance(c, str)))

    def codes(self, categories: tuple[Category, ...]) -> np.ndarray:
        """Return the numbers of the categories, NaN for gaps and unknown values.

        Parameters
        ----------
        categories : tuple of float and str
            Sorted as in :meth:`categories`.

        Returns
        -------
        ndarray of shape (n,), float

        Raises
        ------
        UnreadableColumnError
            If the values are neither numbers nor categories, or all of another kind than the
            categories.
        """
        self._check_category()
        if self.values.dtype.kind != "O":
            values = self.values.astype(np.float64)
            if np.isinf(values).any():
                raise self._error("infinite values")
            if not np.isnan(values).all():
                _check_kind({float}, categories)
            return _codes_of_numbers(values, [c for c in categories if not isinstance(c, str)])
        present = self._present
        if present & {np.inf, -np.inf}:
            raise self._error("infinite values")
        _check_kind(set(map(type, present)), categories)
        code_of = {_key(category): code for code, category in enumerate(categories)}
        # None, a gap, is no category
        codes = {value: code_of.get(_key(c), np.nan) for value, c in self._levels.items()}
        return np.fromiter(map(codes.__getitem__, self.values), np.float32, len(self.values))


def offsets_of(values: np.ndarray) -> np.ndarray:
    """Return what to subtract from each column before it becomes float32, mostly 0.

    Where most numbers of a column are close to one another and far from 0, as times in seconds
    are, single precision would round them to a few values. One of the lowest is subtracted from
    those. The extreme twentieths of a column, where placeholders such as 0 are, do not count.

    Parameters
    ----------
    values : ndarray of shape (n, n_features)

    Returns
    -------
    ndarray of shape (n_features,), float64
    """
    # single precision has been rounded already; small integers are exact in it
    if not len(values) or values.dtype.kind not in "iuf" or np.can_cast(values.dtype, np.float32):
        return np.zeros(values.shape[1])
    some = values[:: -(-len(values) // _OFFSET_ROWS)].astype(np.float64)
    some.sort(axis=0)  # NaN last
    last = np.maximum(np.count_nonzero(~np.isnan(some), axis=0) - 1, 0)
    ends = np.floor(last / 20), np.ceil(last - last / 20)
    low, high = (np.take_along_axis(some, end[None].astype(int), 0)[0] for end in ends)
    with np.errstate(over="ignore", invalid="ignore"):
        width, size = high - low, np.abs(low)
        needed = (width > _OFFSET_ABOVE * size) & (width < _OFFSET_BELOW * size)
    # a value of the column, so that whole numbers stay whole
    return np.where(needed & (size < _LARGEST), low, 0.0)


def _in_words(kind: type) -> str:
    """Return what objects of a type are."""
    if kind.__name__ in _NAMES_OF_GAPS:
        return "gaps"
    if issubclass(kind, bool | np.bool_):
        return "booleans"
    if issubclass(kind, datetime.timedelta | np.timedelta64):
        return "durations"
    if issubclass(kind, datetime.date | datetime.time | np.datetime64) or kind.__name__ == "Period":
        return "dates"
    if issubclass(kind, Number):
        # a Decimal is a Number, but no Real; numpy's complex numbers have __float__
        is_complex = issubclass(kind, np.complexfloating) or not hasattr(kind, "__float__")
        return "complex numbers" if is_complex else "numbers"
    if issubclass(kind, bytes | bytearray | memoryview):
        return "bytes"
    if kind.__hash__ is None or issubclass(kind, tuple | frozenset):
        return "lists or structs"
    return "strings"


def is_gap(value: Any) -> bool:
    """Return whether an object is None, or pandas' NA or NaT."""
    return type(value).__name__ in _NAMES_OF_GAPS


def _category_of(value: Any) -> Category | None:
    """Return the plain value that stands for an object, None for a gap."""
    # most are, and the check for numbers is slow
    if type(value) is str:
        return value
    if is_gap(value):
        return None
    if isinstance(value, bool | np.bool_ | Number):
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            return np.inf
        return None if np.isnan(number) else number
    return str(value)


def _comparable(numbers: np.ndarray) -> np.ndarray:
    """Return numbers as categories are compared: whole ones as they are, others as float32.

    A column may come back in another dtype than in fit.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(numbers % 1 == 0, numbers, numbers.astype(np.float32))


def _key(category: Category | None) -> Category | None:
    """Return what is the same for categories that are equal when compared."""
    return category if not isinstance(category, float) else float(_comparable(np.array(category)))


def _codes_of_numbers(values: np.ndarray, categories: list[float]) -> np.ndarray:
    if not categories:
        return np.full(len(values), np.nan)
    known, values = _comparable(np.array(categories)), _comparable(values)
    codes = np.searchsorted(known, values).clip(max=len(known) - 1)
    return np.where(known[codes] == values, codes, np.nan)


def _check_kind(kinds: Iterable[type], categories: tuple[Category, ...]) -> None:
    """Raise UnreadableColumnError if no value is of a kind that a category is of."""
    expected = set(map(type, categories))
    if expected and kinds and expected.isdisjoint(kinds):
        given, held = ("numbers", "strings") if str in expected else ("strings", "numbers")
        raise UnreadableColumnError(
            f"{given}, and its categories were {held} in fit; pass what it held in fit"
        )
