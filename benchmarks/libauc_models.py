"""LibAUC's compositional training, on skdam's network and batches.

LibAUC 2.0.1 tells an inner step from an outer one by whether ``alpha`` of the loss has a
gradient, and nothing ever takes it away again: ``optimizer.zero_grad()`` knows the weights,
``a`` and ``b`` alone. From the first outer step on, every step is an outer one, half of them
with the gradient of the cross-entropy. ``repaired=True`` clears the loss as well, after which
the phases alternate; all else of LibAUC is as shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from libauc.losses import CompositionalAUCLoss
from libauc.optimizers import PDSCA
from sklearn.base import BaseEstimator, ClassifierMixin

from skdam import StratifiedBatchSampler, TabularMLP

N_EPOCHS = 50
DECAY_EPOCHS = (int(0.5 * N_EPOCHS), int(0.75 * N_EPOCHS))


class LibAUCClassifier(ClassifierMixin, BaseEstimator):
    """``TabularMLP`` trained with the settings of LibAUC's tutorial on compositional training.

    Parameters
    ----------
    repaired : bool, default=False
        Whether the phases alternate, as in the paper.
    module_parameters : mapping or None, default=None
        Parameters of the network.
    random_state : int, default=0
    """

    def __init__(
        self,
        repaired: bool = False,
        module_parameters: Mapping[str, Any] | None = None,
        random_state: int = 0,
    ) -> None:
        self.repaired = repaired
        self.module_parameters = module_parameters
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Train the network."""
        self.classes_ = np.unique(y)
        inputs, targets = torch.as_tensor(X), torch.as_tensor(y).float()
        # the initial weights, and the reference point that LibAUC draws
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            self.module_ = TabularMLP(X.shape[1], n_members=1, **(self.module_parameters or {}))
            self.module_.fit_statistics(inputs, targets)
            self._train(inputs, targets)
        self.module_.eval()
        return self

    def _train(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        loss = CompositionalAUCLoss(margin=1.0, k=1, device="cpu")
        optimizer = PDSCA(
            self.module_.parameters(),
            loss,
            lr=0.1,
            beta1=0.9,
            beta2=0.9,
            weight_decay=1e-4,
            epoch_decay=2e-3,
            verbose=False,
            device="cpu",
        )
        batches = StratifiedBatchSampler(targets, 128, random_state=self.random_state)
        for epoch in range(N_EPOCHS):
            if epoch in DECAY_EPOCHS:
                optimizer.update_regularizer(decay_factor=10, decay_factor0=10)
            for batch in batches:
                optimizer.zero_grad()
                if self.repaired:
                    loss.zero_grad()
                scores = torch.sigmoid(self.module_(inputs[batch]))
                loss(scores, targets[batch]).backward()
                optimizer.step()

    @torch.no_grad()
    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Return the logits."""
        return self.module_(torch.as_tensor(X)).numpy()
