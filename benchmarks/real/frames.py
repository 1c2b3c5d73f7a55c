"""Frames with the dtypes that a careful user would give them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pandas as pd
from pandas.api import types

# strings of more values than this stay strings, those of fewer become categories
MAX_CATEGORIES = 50
_YES = {"yes": True, "no": False}

# how many columns of a frame are of each kind is told by these, the first that applies
KINDS: dict[str, Callable[[pd.Series], bool]] = {
    "booleans": types.is_bool_dtype,
    "numbers": types.is_numeric_dtype,
    "categories": lambda column: isinstance(column.dtype, pd.CategoricalDtype),
    "strings": lambda column: isinstance(column.dtype, pd.StringDtype),
}


def with_dtypes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the dtypes that fit its values.

    Text of "yes" and "no" becomes boolean; other text a category, or a string column if it has
    more than ``MAX_CATEGORIES`` values. Whole numbers with gaps, which pandas reads as floats,
    become ``Int64``. Other columns, among them whole numbers without gaps, stay as they are.
    """
    return frame.apply(_with_dtype)


def _with_dtype(column: pd.Series) -> pd.Series:
    if types.is_float_dtype(column) and column.hasnans and (column.dropna() % 1 == 0).all():
        return column.astype("Int64")
    if not (types.is_object_dtype(column) or types.is_string_dtype(column)):
        return column
    text = column.astype("string")
    if set(text.dropna().str.lower()) == set(_YES):
        return text.str.lower().map(_YES).astype("boolean" if text.hasnans else "bool")
    return text.astype("category") if text.nunique() <= MAX_CATEGORIES else text


def count_kinds(frame: pd.DataFrame) -> Counter[str]:
    """Return the number of columns of each of ``KINDS``."""
    return Counter(
        next(kind for kind, applies in KINDS.items() if applies(frame[name])) for name in frame
    )
