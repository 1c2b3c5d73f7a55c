"""CatBoost for frames."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd
from catboost import CatBoostClassifier

from benchmarks.models.columns import numbers_and_text


class CatBoostOnFrames(CatBoostClassifier):
    """CatBoost that takes every column which is no number as ``cat_features``.

    A gap is a category of its own, which CatBoost wants to see as text.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train the model."""
        columns = _prepared(X)
        categories = list(columns.select_dtypes("object").columns)
        return super().fit(columns, y, cat_features=categories)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class."""
        return super().predict_proba(_prepared(X))


def _prepared(X: Any) -> pd.DataFrame:
    columns = numbers_and_text(X)
    text = columns.select_dtypes("string").fillna("(gap)").astype(object)
    return columns.assign(**text)
