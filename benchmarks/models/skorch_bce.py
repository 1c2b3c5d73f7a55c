"""A network trained by skorch with its defaults."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from skorch import NeuralNetBinaryClassifier
from torch import nn


class SkorchBCE(ClassifierMixin, BaseEstimator):
    """A 64-64 MLP in skorch's binary classifier, with cross-entropy and plain SGD.

    skorch's defaults are unchanged: 10 epochs with a learning rate of 0.01, a fifth of the data
    held out. Only what it requires is added: the number of inputs, float32 targets, a seed.

    Parameters
    ----------
    random_state : int, default=0
    """

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Train the network."""
        self.classes_ = np.unique(y)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            network = nn.Sequential(
                nn.Linear(X.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
            )
            self.net_ = NeuralNetBinaryClassifier(network, verbose=0)
            self.net_.fit(X, y.astype(np.float32))
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each class."""
        return self.net_.predict_proba(X)
