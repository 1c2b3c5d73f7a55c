"""From logits to scores, probabilities and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit, log_expit, logit
from torch.utils.data import Subset

from skdam.data.examples import labels_of, sample_weights_of
from skdam.training.epoch import DivergenceError
from skdam.training.scoring import probabilities

_ROWS_OF_A_CLASS = 2_000


@dataclass(frozen=True)
class Decision:
    """The threshold on the logits: a ranking loss leaves it undetermined.

    Parameters
    ----------
    offset : float
        The logit at which the label changes, subtracted from all logits.
    """

    offset: float

    @classmethod
    def learn(cls, logits_of: Callable[[Any], np.ndarray], dataset: Any) -> Self:
        """Put the threshold midway between the mean probabilities of the two classes.

        Parameters
        ----------
        logits_of : callable
            Maps a dataset of n examples to logits of shape (n,), float64.
        dataset : InMemoryDataset, ExampleDataset or Subset of one
            Training data with targets 0 and 1. At most 2,000 rows of each class, evenly
            spaced, are scored.

        Returns
        -------
        Decision

        Raises
        ------
        DivergenceError
            If the logits of the training data are not finite.
        """
        targets, weights = labels_of(dataset), sample_weights_of(dataset)
        means = []
        for target in (0, 1):
            rows = np.flatnonzero(targets == target)
            rows = rows[:: -(-len(rows) // _ROWS_OF_A_CLASS)]
            chances = expit(logits_of(Subset(dataset, rows.tolist())))
            means.append(np.average(chances, weights=None if weights is None else weights[rows]))
        tiny = np.finfo(np.float64).eps
        offset = float(logit(np.clip(np.mean(means), tiny, 1 - tiny)))
        if not np.isfinite(offset):
            raise DivergenceError(
                "the scores of the training data overflow: X has values too large for float32."
            )
        return cls(offset)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Return the logits less the offset, of shape (n,); ``logits`` is overwritten.

        Raises
        ------
        ValueError
            If a score is not finite.
        """
        logits -= self.offset
        if not np.isfinite(logits).all():
            rows = np.flatnonzero(~np.isfinite(logits))
            raise ValueError(
                f"the scores of {len(rows)} rows of X overflow, the first in row {rows[0]}: their "
                "values are too far out of the range seen in fit."
            )
        return logits

    @staticmethod
    def probabilities(scores: np.ndarray) -> np.ndarray:
        """Return the probabilities of both classes, of shape (n, 2), from scores."""
        return probabilities(scores)

    @staticmethod
    def log_probabilities(scores: np.ndarray) -> np.ndarray:
        """Return the logarithms of both probabilities, of shape (n, 2), from scores."""
        return log_expit(np.column_stack([-scores, scores]))

    @staticmethod
    def labels(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the labels, of shape (n,): the second class where the score is positive."""
        return classes[(scores > 0).astype(int)]
