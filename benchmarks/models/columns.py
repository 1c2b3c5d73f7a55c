"""The columns of a frame as models expect them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pandas.api.types import is_numeric_dtype
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# what HistGradientBoosting takes
MAX_CATEGORIES = 255
_RARE = "(rare)"
_GAP = "(gap)"
_NUMBERS = make_column_selector(dtype_include="number")
_CATEGORIES = make_column_selector(dtype_include="category")


def numbers_and_text(X: pd.DataFrame | ArrayLike) -> pd.DataFrame:
    """Return numbers and booleans as float64 and the other columns as strings, both with gaps."""
    return pd.DataFrame(X).apply(_as_number_or_text)


def _as_number_or_text(column: pd.Series) -> pd.Series:
    if not is_numeric_dtype(column):
        return column.astype("string")
    return pd.Series(column.to_numpy(float, na_value=np.nan), column.index)


def gaps_as_text(X: pd.DataFrame | ArrayLike) -> pd.DataFrame:
    """Return the same with a text for the gaps among strings, which CatBoost wants to have."""
    columns = numbers_and_text(X)
    return columns.assign(**columns.select_dtypes("string").fillna(_GAP).astype(object))


class NativeColumns(TransformerMixin, BaseEstimator):
    """Frames of float64 and categories, with gaps.

    Booleans are numbers. A category that was not there in ``fit`` is a gap.

    Parameters
    ----------
    max_categories : int or None, default=None
        If a column has more categories, the rarest share one. None sets no limit.
    """

    def __init__(self, max_categories: int | None = None) -> None:
        self.max_categories = max_categories

    def fit(self, X: pd.DataFrame | ArrayLike, y: object = None) -> Self:
        """Learn the categories."""
        text = numbers_and_text(X).select_dtypes("string")
        self.categories_ = {name: self._categories(text[name]) for name in text}
        return self

    def _categories(self, column: pd.Series) -> Mapping[str, str]:
        # by name where counts are equal, so that the order of rows does not matter
        known = column.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
        n_kept = len(known)
        if self.max_categories is not None and n_kept > self.max_categories:
            n_kept = self.max_categories - 1
        return dict(zip(known, [*known[:n_kept], *[_RARE] * (len(known) - n_kept)], strict=True))

    def transform(self, X: pd.DataFrame | ArrayLike) -> pd.DataFrame:
        """Return the columns."""
        columns = numbers_and_text(X)
        for name, categories in self.categories_.items():
            dtype = pd.CategoricalDtype(sorted(set(categories.values())))
            columns[name] = columns[name].map(categories).astype(dtype)
        return columns


def imputed() -> Pipeline:
    """Return an encoder for models that take categories, but no gaps among numbers."""
    columns = ColumnTransformer(
        [("numbers", _impute(), _NUMBERS)], remainder="passthrough", verbose_feature_names_out=False
    )
    return make_pipeline(NativeColumns(), columns.set_output(transform="pandas"))


def one_hot() -> Pipeline:
    """Return an encoder for models that take numbers only: imputed and standardised, or one-hot."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(_impute(), StandardScaler()), _NUMBERS),
            ("categories", _one_hot(), _CATEGORIES),
        ]
    )
    return make_pipeline(NativeColumns(MAX_CATEGORIES), columns)


def _impute() -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
