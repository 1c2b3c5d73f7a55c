"""The callbacks that watch training, and those that stop it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from skorch.callbacks import Callback

from skdam.callbacks import EarlyStoppingAUC
from skdam.data.examples import has_folds, labels_of
from skdam.training.outofbag import OutOfBagScoring

_CHECKS_OF_VALIDATION = 10
_CHECKS_OUT_OF_BAG = 4
_WINDOW = 3
_MIN_OF_A_CLASS = 10


def stop_callbacks(
    train: Any,
    valid: Any,
    early_stopping: bool | Literal["auto"],
    n_iter_no_change: int | Literal["auto"],
    tol: float,
) -> tuple[list[tuple[str, Callback]], list[tuple[str, Callback]]]:
    """Return the callbacks that score the network and those that stop training early, by name.

    Validation data stops training if there is any; otherwise the out-of-bag scores do, unless a
    class has fewer than 10 examples: then they tell too little.

    Parameters
    ----------
    train : dataset
        The training data.
    valid : dataset or None
        The validation data.
    early_stopping, n_iter_no_change, tol
        As in :class:`~skdam.CompositionalAUCClassifier`.
    """

    def patience(by_default: int) -> int:
        return by_default if isinstance(n_iter_no_change, str) else n_iter_no_change

    if valid is not None:
        stop = EarlyStoppingAUC(patience(_CHECKS_OF_VALIDATION), tol)
        return [], [("early_stopping", stop)] if early_stopping else []
    if not has_folds(train):
        return [], []
    scoring = ("out_of_bag", OutOfBagScoring())
    if not early_stopping or np.bincount(labels_of(train).astype(int)).min() < _MIN_OF_A_CLASS:
        return [scoring], []
    stop = EarlyStoppingAUC(patience(_CHECKS_OUT_OF_BAG), tol, "oob_roc_auc", window=_WINDOW)
    return [scoring], [("early_stopping", stop)]
