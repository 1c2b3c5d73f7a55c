"""From logits to calibrated scores, probabilities and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, Self, get_args

import numpy as np
from scipy.special import log_expit, logit
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

Calibration = Literal["auto", "sigmoid", "isotonic"]
CALIBRATIONS: tuple[Calibration, ...] = get_args(Calibration)

# of standardised logits
_MIN_SLOPE = 1e-3
# of the sigmoid in the isotonic curve, which is flat between its steps
_SHARE_OF_SIGMOID = 1e-3


@dataclass(frozen=True)
class Decision:
    """The calibrated log-odds of the positive class, an increasing function of the logit.

    It is ``slope * (logit - offset)`` or, with knots, continuous and linear between them.

    Parameters
    ----------
    slope : float
        > 0; beyond the knots as well.
    offset : float
        The logit at which the probability is 1/2.
    knots : pair of tuples of float, or None, default=None
        Logits, increasing, and the log-odds there.
    """

    slope: float
    offset: float
    knots: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @classmethod
    def of_prior(cls, prior: float, sampling_rate: float) -> Self:
        """Undo the share of positives in the batches: the logits are taken as log-odds there.

        Parameters
        ----------
        prior : float
            Share of positives in the data, in (0, 1).
        sampling_rate : float
            Share of positives in the batches, in (0, 1).
        """
        return cls(1.0, float(logit(sampling_rate) - logit(prior)))

    @classmethod
    def calibrated(
        cls,
        logits: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
        calibration: str,
    ) -> Self:
        """Learn the log-odds from logits of rows that were not trained on.

        Parameters
        ----------
        logits : ndarray of shape (n,), float64
        targets : ndarray of shape (n,)
            0 and 1, both present.
        weights : ndarray of shape (n,) or None
            > 0; None for equal ones.
        calibration : {"sigmoid", "isotonic"}
            "sigmoid" is logistic regression on Platt's targets [1]_. "isotonic" is isotonic
            regression, with its steps joined by lines and mixed with 0.1 % of the sigmoid, so that
            no two scores become equal. Logits that rank no better than chance get nearly the
            same probability, by either.

        References
        ----------
        .. [1] J. Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to
           Regularized Likelihood Methods", 1999.
        """
        # scikit-learn takes one dtype only
        targets = targets.astype(np.float64)
        weights = None if weights is None else weights.astype(np.float64)
        centre = float(np.average(logits, weights=weights))
        unit = float(np.sqrt(np.average((logits - centre) ** 2, weights=weights))) or 1.0
        sigmoid = _SigmoidCalibration().fit((logits - centre) / unit, targets, weights)
        slope = float(-sigmoid.a_)
        if slope < _MIN_SLOPE:
            # out-of-bag scores that rank no better than chance
            odds = float(logit(np.average(targets, weights=weights)))
            return cls(_MIN_SLOPE / unit, centre - odds * unit / _MIN_SLOPE)
        line = cls(slope / unit, centre + float(sigmoid.b_ / slope) * unit)
        return line if calibration == "sigmoid" else line._with_steps(logits, targets, weights)

    def _with_steps(
        self, logits: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
    ) -> Self:
        shares = np.ones(len(logits)) if weights is None else weights
        least = 1 / (shares.sum() + 2)
        regression = IsotonicRegression(y_min=least, y_max=1 - least)
        steps = regression.fit(logits, targets, weights).predict(logits)
        # the mean logit of each step, and its value
        values, step_of_row = np.unique(steps, return_inverse=True)
        centres = np.bincount(step_of_row, shares * logits) / np.bincount(step_of_row, shares)
        odds = (1 - _SHARE_OF_SIGMOID) * logit(values) + _SHARE_OF_SIGMOID * self._line(centres)
        return self._of_knots(self.slope, tuple(centres.tolist()), tuple(odds.tolist()))

    @classmethod
    def _of_knots(cls, slope: float, logits: tuple[float, ...], odds: tuple[float, ...]) -> Self:
        # between knots the curve does not depend on the offset, which is its zero
        curve = cls(slope, 0.0, (logits, odds))
        return cls(slope, curve._logit_of_odds(0.0), (logits, odds))

    def shifted(self, odds: float) -> Self:
        """Return the decision with ``odds`` added to the log-odds."""
        if self.knots is None:
            return type(self)(self.slope, self.offset - odds / self.slope)
        logits, before = self.knots
        return self._of_knots(self.slope, logits, tuple(value + odds for value in before))

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Return the log-odds of the positive class, of shape (n,).

        Raises
        ------
        ValueError
            If a score is not finite.
        """
        scores = self._line(logits) if self.knots is None else self._curve(logits)
        if not np.isfinite(scores).all():
            rows = np.flatnonzero(~np.isfinite(scores))
            raise ValueError(
                f"the scores of {len(rows)} rows of X overflow, the first in row {rows[0]}: their "
                "values are too far out of the range seen in fit."
            )
        return scores

    def _line(self, logits: np.ndarray) -> np.ndarray:
        return self.slope * (logits - self.offset)

    def _curve(self, logits: np.ndarray) -> np.ndarray:
        assert self.knots is not None
        at, odds = map(np.asarray, self.knots)
        beyond = logits - np.clip(logits, at[0], at[-1])
        return np.interp(logits, at, odds) + self.slope * beyond

    def _logit_of_odds(self, odds: float) -> float:
        assert self.knots is not None
        at, values = map(np.asarray, self.knots)
        beyond = odds - np.clip(odds, values[0], values[-1])
        return float(np.interp(odds, values, at) + beyond / self.slope)


def log_probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the logarithms of both probabilities, of shape (n, 2), from scores."""
    return log_expit(np.column_stack([-scores, scores]))


def labels_of_scores(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the labels, of shape (n,): the second class where the score is positive."""
    return classes[(scores > 0).astype(int)]


def odds_of_class_weight(
    class_weight: Mapping[Any, float] | str | None,
    classes: np.ndarray,
    rate: float,
) -> float:
    """Return what class weights add to the log-odds.

    Parameters
    ----------
    class_weight : mapping from labels to weights, "balanced" or None
    classes : ndarray of shape (2,)
    rate : float
        Weighted share of positives in the data, in (0, 1).

    Returns
    -------
    float
        The logarithm of the positive class's weight over that of the negative one.

    Raises
    ------
    ValueError
        If a label is unknown, or a weight is not positive.
    """
    if class_weight is None:
        return 0.0
    if isinstance(class_weight, str):
        return float(logit(1 - rate))
    assert isinstance(class_weight, Mapping)
    unknown = set(class_weight) - set(classes.tolist())
    if unknown:
        raise ValueError(
            f"class_weight holds unknown labels {sorted(unknown, key=str)}; the classes are "
            f"{classes.tolist()}."
        )
    of_classes = [class_weight.get(label, 1.0) for label in classes.tolist()]
    if not all(isinstance(weight, Real) and 0 < float(weight) < np.inf for weight in of_classes):
        raise ValueError(f"class_weight must hold numbers > 0, got {dict(class_weight)}.")
    negative, positive = map(float, of_classes)
    return float(np.log(positive) - np.log(negative))
