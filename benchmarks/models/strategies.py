"""`CompositionalAUCClassifier` in the forms that several benchmarks train it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from skdam import CompositionalAUCClassifier

# the strategies and variants other than the default, alternating compositional training
STRATEGIES: Mapping[str, dict[str, Any]] = {
    "auc": {"strategy": "auc"},
    "cross-entropy": {"strategy": "cross-entropy"},
    "two-stage": {"strategy": "two-stage"},
    "lookahead": {"variant": "lookahead"},
}

# a plain perceptron: of `TabularMLP`, besides `n_members=1`, and of the classifier
PLAIN_NETWORK: Mapping[str, Any] = {"encoding": None, "dropout": 0.0}
PLAIN_PERCEPTRON: Mapping[str, Any] = {"n_members": 1} | {
    f"module__{name}": value for name, value in PLAIN_NETWORK.items()
}


class NaturalRateClassifier(CompositionalAUCClassifier):
    """The classifier on batches with the share of positives of the data, as they come at random."""

    def fit(self, X: Any, y: Any = None, *args: Any, **kwargs: Any) -> Self:
        """Fit, see :class:`skdam.CompositionalAUCClassifier`; ``y`` holds 0 and 1."""
        self.sampling_rate = float(np.mean(y))
        return super().fit(X, y, *args, **kwargs)
