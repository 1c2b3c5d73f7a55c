"""Models tuned by random search, with the same number of trials each."""

from __future__ import annotations

from typing import Any

from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold

from benchmarks.models import catalogue

N_TRIALS = 8

_FOREST = {
    "criterion": ["gini", "entropy"],
    "max_features": ["sqrt", 0.3, 0.6, 1.0],
    "min_samples_leaf": [1, 2, 4, 8],
    "class_weight": [None, "balanced"],
}

SPACES: dict[str, dict[str, Any]] = {
    "skdam": {
        "lr": loguniform(0.03, 0.3),
        "weight_decay": loguniform(1e-6, 1e-2),
        "module__dropout": [0.0, 0.1, 0.3],
        "module__hidden_layer_sizes": [(64,), (64, 64), (128, 128)],
        "module__n_bins": [4, 8, 16],
    },
    "extra-trees": _FOREST,
    "random-forest": _FOREST,
    "lightgbm": {
        "learning_rate": loguniform(0.01, 0.3),
        "n_estimators": [50, 100, 200, 400],
        "num_leaves": [4, 8, 16, 31, 63],
        "min_child_samples": [2, 5, 10, 20, 40],
        "reg_lambda": loguniform(1e-3, 10),
        "colsample_bytree": [0.5, 0.75, 1.0],
    },
    "hist-gradient-boosting": {
        "learning_rate": loguniform(0.01, 0.3),
        "max_iter": [50, 100, 200, 400],
        "max_leaf_nodes": [4, 8, 16, 31, 63],
        "min_samples_leaf": [2, 5, 10, 20, 40],
        "l2_regularization": loguniform(1e-3, 10),
        "max_features": [0.5, 0.75, 1.0],
    },
}


def tuned(base: str, random_state: int) -> RandomizedSearchCV:
    """Return a random search for a model, by ROC AUC over three stratified folds."""
    return RandomizedSearchCV(
        catalogue.create(base, random_state),
        SPACES[base],
        n_iter=N_TRIALS,
        scoring="roc_auc",
        cv=StratifiedKFold(3, shuffle=True, random_state=random_state),
        random_state=random_state,
        error_score="raise",
    )
