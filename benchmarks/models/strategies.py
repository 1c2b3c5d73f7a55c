"""Parameters of `CompositionalAUCClassifier` that several benchmarks train with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
