"""CatBoost for frames."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier


class CatBoostOnFrames(CatBoostClassifier):
    """CatBoost that takes the columns which are no numbers as its ``cat_features``."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Self:
        """Train the model."""
        return super().fit(X, y, cat_features=list(X.select_dtypes(exclude="number").columns))
