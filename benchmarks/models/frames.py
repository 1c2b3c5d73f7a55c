"""Models for frames with categories, text and gaps, by name.

Each is a model of :mod:`benchmarks.models.catalogue` and what it needs to take a frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.preprocessing import FunctionTransformer

from benchmarks.models import catalogue
from benchmarks.models.catalogue import Groups, Model
from benchmarks.models.columns import MAX_CATEGORIES, NativeColumns, gaps_as_text, imputed, one_hot

_OURS = {
    "skdam": catalogue.MODELS["skdam"],
    "skdam-encoded": replace(catalogue.MODELS["skdam"], encoder=one_hot),
    "skdam-skrub": Model("benchmarks.models.frames:behind_skrub", package="skrub"),
}

RIVALS = {
    "catboost": replace(
        catalogue.MODELS["catboost"],
        path="benchmarks.models.catboost_frames:CatBoostOnFrames",
        package="catboost",
        encoder=partial(FunctionTransformer, gaps_as_text),
    ),
    "hist-gradient-boosting": replace(
        catalogue.MODELS["hist-gradient-boosting"],
        parameters={"categorical_features": "from_dtype"},
        encoder=partial(NativeColumns, MAX_CATEGORIES),
    ),
    "lightgbm": replace(catalogue.MODELS["lightgbm"], encoder=NativeColumns),
    "realmlp-td": replace(catalogue.MODELS["realmlp-td"], encoder=imputed),
    "extra-trees": replace(catalogue.MODELS["extra-trees"], encoder=one_hot),
    # without the weights of the other benchmarks, which would spoil its probabilities
    "logistic-regression": replace(
        catalogue.MODELS["logistic-regression"], parameters={"max_iter": 1000}, encoder=one_hot
    ),
}

_STRATEGIES = {
    name: catalogue.MODELS[name]
    for name in (
        "skdam",
        "skdam-auc",
        "skdam-cross-entropy",
        "skdam-natural-cross-entropy",
        "skdam-two-stage",
    )
}
_ABLATION = {
    name: model for name, model in catalogue.MODELS.items() if name.startswith("ablation-")
}
_CALIBRATED = {
    "skdam-calibrated-cv": Model("benchmarks.models.frames:calibrated", package="sklearn")
}

MODELS: Mapping[str, Model] = _OURS | RIVALS | _STRATEGIES | _ABLATION | _CALIBRATED
GROUPS: Groups = {
    "ours": _OURS,
    "rivals": RIVALS,
    "strategies": _STRATEGIES,
    "ablation": _ABLATION,
    "calibrated": _CALIBRATED,
    "all": MODELS,
}


def behind_skrub(random_state: int) -> BaseEstimator:
    """Return the classifier behind skrub's encoder of tables."""
    from skrub import tabular_pipeline

    return tabular_pipeline(catalogue.create("skdam", random_state))


def calibrated(random_state: int) -> BaseEstimator:
    """Return the classifier without a calibration of its own, calibrated by cross-validation."""
    uncalibrated = catalogue.create("skdam", random_state).set_params(calibration=None)
    return CalibratedClassifierCV(uncalibrated)


def create(name: str, seed: int) -> BaseEstimator:
    """Return a new estimator of a model."""
    return MODELS[name](seed)
