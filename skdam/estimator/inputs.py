"""Checks of input that name what is wrong and what is allowed."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn.utils.multiclass import type_of_target


def two_classes(y: Any) -> np.ndarray:
    """Return the two labels of y, sorted, or raise."""
    kind = type_of_target(y, input_name="y", raise_unknown=True)
    classes = np.unique(y)
    if kind != "binary":
        raise ValueError(
            f"Only binary classification is supported. The type of the target is {kind}, with "
            f"{len(classes)} distinct values."
        )
    if len(classes) < 2:
        raise ValueError(f"y must hold two classes, got one class: {classes.tolist()}.")
    return classes


def accepted_parameters(target: Any) -> set[str] | None:
    """Return the names of a callable's parameters, None if it takes any keyword."""
    parameters = inspect.signature(target).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def refuse_dates(X: Any) -> None:
    """Raise if X has dates or durations, which scikit-learn would turn into numbers."""
    dtypes = dict(X.dtypes) if hasattr(X, "columns") else {"X": getattr(X, "dtype", None)}
    dates = [name for name, dtype in dtypes.items() if getattr(dtype, "kind", "") in ("M", "m")]
    if dates:
        raise ValueError(f"dates and durations have to be encoded as numbers: {dates}.")


def unusable_columns(X: Any) -> list[Any]:
    """Return the names or indices of columns that hold anything but finite numbers."""
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


def check_examples(
    shape: tuple[int, ...], dtype: str, fit_shape: tuple[int, ...], fit_dtype: str
) -> None:
    """Raise unless examples of X have the shape of those in fit, and are bytes or not as those."""
    if shape != fit_shape:
        raise ValueError(f"X must have examples of shape {fit_shape} as in fit, got {shape}.")
    if dtype != fit_dtype:
        raise ValueError(
            f"X has become {dtype} and was {fit_dtype} in fit. Both must be uint8 or neither: "
            "uint8 is divided by 255, other numbers are taken as they are."
        )
