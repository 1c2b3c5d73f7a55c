"""How the logits of a trained network become log-odds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skdam.data.examples import labels_of, sample_weights_of
from skdam.estimator.decision import Calibration, Decision, odds_of_class_weight
from skdam.training.epoch import DivergenceError


def check_calibration(
    calibration: Calibration | None, has_folds: bool, has_seen_folds: bool = False
) -> None:
    """Raise ValueError if the calibration needs out-of-bag scores and there will be none.

    Parameters
    ----------
    calibration
        As in :class:`~skdam.CompositionalAUCClassifier`.
    has_folds : bool
        Whether members are cross-fitted.
    has_seen_folds : bool, default=False
        Whether they are not, because they have seen rows of their folds in an earlier training.
    """
    if calibration not in ("sigmoid", "isotonic") or has_folds:
        return
    if has_seen_folds:
        raise ValueError(
            f"calibration={calibration!r} needs out-of-bag scores, and with warm_start there are "
            "some only for the rows, groups and labels of the last fit, if that was cross-fitted "
            "and partial_fit has not followed. Use 'auto', or fit with warm_start=False."
        )
    raise ValueError(
        f"calibration={calibration!r} needs out-of-bag scores: fit with data in memory, the "
        "default network for tables with two members or more, cross_fit=True, and two different "
        "rows or groups of each class. Use 'auto', and wrap the classifier in "
        "CalibratedClassifierCV."
    )


def class_totals(dataset: Any) -> np.ndarray:
    """Return how many examples of each class a dataset has, and the sums of their weights.

    Returns
    -------
    ndarray of shape (2, 2), float64
        In the columns negatives and positives, in the rows numbers and weights. The mean weight
        is 1.
    """
    targets, weights = labels_of(dataset).astype(int), sample_weights_of(dataset)
    shares = None if weights is None else weights / weights.mean(dtype=np.float64)
    return np.stack([np.bincount(targets, of_one, minlength=2) for of_one in (None, shares)])


def learn_decision(
    dataset: Any,
    totals: np.ndarray,
    out_of_bag: np.ndarray | None,
    sampling_rate: float,
    classes: np.ndarray,
    calibration: Calibration | None,
    class_weight: Mapping[Any, float] | str | None,
) -> Decision:
    """Return the function that turns logits into log-odds.

    Parameters
    ----------
    dataset : dataset
        The training data.
    totals : ndarray of shape (2, 2)
        The :func:`class_totals` of all data that the network has been trained on.
    out_of_bag : ndarray of shape (n,) or None
        Logits of the rows of the training data, by what was trained without them.
    sampling_rate : float
        Share of positives in the batches, in (0, 1).
    classes : ndarray of shape (2,)
    calibration, class_weight
        As in :class:`~skdam.CompositionalAUCClassifier`.

    Raises
    ------
    DivergenceError
        If the logits are not finite.
    """
    if out_of_bag is not None and not np.isfinite(out_of_bag).all():
        raise DivergenceError(
            "the scores of the training data overflow: X has values too large for float32."
        )
    rate, weighted_rate = (totals[:, 1] / totals.sum(1)).tolist()
    if out_of_bag is not None and calibration is not None:
        kind = "sigmoid" if calibration == "auto" else calibration
        targets, weights = labels_of(dataset), sample_weights_of(dataset)
        decision = Decision.calibrated(out_of_bag, targets, weights, kind)
    else:
        # the weighted losses have put the weights into the logits, so neither share is weighted
        decision = Decision.of_prior(rate, sampling_rate)
    odds = odds_of_class_weight(class_weight, classes, weighted_rate)
    return decision.shifted(odds) if odds else decision
