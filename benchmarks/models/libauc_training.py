"""Compositional training by LibAUC, on skdam's network and batches.

LibAUC 2.0.1 takes an outer step if ``alpha`` of the loss has a gradient, and an inner one
otherwise. That gradient is never cleared: ``optimizer.zero_grad()`` covers only the weights,
``a`` and ``b``. From the first outer step on, every step is an outer one, half of them with the
gradient of the cross-entropy. ``repaired=True`` clears the gradients of the loss as well, so that
the phases alternate; everything else is LibAUC as shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
from libauc.losses import CompositionalAUCLoss
from libauc.optimizers import PDSCA
from sklearn.base import BaseEstimator, ClassifierMixin

from benchmarks.harness.progress import Progress, State
from benchmarks.models.loops import Batches, Forward, forward_pass, select_batches
from skdam import ResNet20, StratifiedBatchSampler, TabularMLP
from skdam.data.batches import sample_for_statistics
from skdam.data.memory import InMemoryDataset

N_EPOCHS = 50
_MILESTONES = (0.5, 0.75)


def train(
    module: TabularMLP | ResNet20,
    X: np.ndarray,
    y: np.ndarray,
    *,
    repaired: bool,
    n_epochs: int,
    batch_size: int = 128,
    sampling_rate: float = 0.5,
    lr: float = 0.1,
    weight_decay: float = 1e-4,
    epoch_decay: float = 2e-3,
    random_state: int = 0,
    device: str = "cpu",
    precision: str = "float32",
    on_epoch_end: Callable[[int], None] = lambda epoch: None,
    progress: Progress | None = None,
) -> None:
    """Train a network with the settings of LibAUC's tutorial on compositional training.

    Parameters
    ----------
    module : TabularMLP or ResNet20
        Trained in place.
    X, y : ndarray
        Data as for :class:`skdam.CompositionalAUCClassifier`, with targets 0 or 1.
    repaired : bool
        Whether the phases alternate, as in the paper.
    n_epochs, batch_size, sampling_rate, random_state, device, precision
        As in :class:`skdam.CompositionalAUCClassifier`.
    lr, weight_decay, epoch_decay
        As in :class:`skdam.CompositionalAUCClassifier`.
    on_epoch_end : callable
        Is called with the number of complete epochs.
    progress : Progress or None, default=None
        Saves and restores the state of training. None does neither.
    """
    dataset = InMemoryDataset(X, np.asarray(y, dtype=np.float32))
    module.fit_statistics(*sample_for_statistics(dataset))
    module.to(device)
    forward = forward_pass(module, device, precision)
    loss = CompositionalAUCLoss(margin=1.0, k=1, device=device)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(random_state)
        optimizer = PDSCA(
            module.parameters(),
            loss,
            lr=lr,
            beta1=0.9,
            beta2=0.9,
            weight_decay=weight_decay,
            epoch_decay=epoch_decay,
            verbose=False,
            device=device,
        )
        sampler = StratifiedBatchSampler(
            dataset.y, batch_size, sampling_rate=sampling_rate, random_state=random_state
        )
        parts = {
            "module": module,
            "loss": _LossState(loss),
            "optimizer": optimizer,
            "sampler": sampler,
        }
        for epoch in (progress or Progress()).epochs(n_epochs, on_epoch_end, parts):
            if epoch in {round(milestone * n_epochs) for milestone in _MILESTONES}:
                optimizer.update_regularizer(decay_factor=10, decay_factor0=10)
            module.train()
            batches = select_batches(dataset, sampler, device)
            libauc_epoch(forward, loss, optimizer, batches, repaired=repaired)
            module.eval()


def libauc_epoch(
    forward: Forward,
    loss: CompositionalAUCLoss,
    optimizer: PDSCA,
    batches: Batches,
    *,
    repaired: bool = False,
) -> None:
    """Train for an epoch; ``repaired`` clears the gradients of the loss before each step."""
    for inputs, targets in batches:
        optimizer.zero_grad()
        if repaired:
            loss.zero_grad()
        loss(torch.sigmoid(forward(inputs)), targets).backward()
        optimizer.step()


class _LossState:
    """LibAUC's loss as :class:`Stateful`, with what its state dict lacks.

    That is the counter of its steps and the gradients: the optimizer tells the phases by the
    gradient of ``alpha``, which is never cleared.
    """

    def __init__(self, loss: CompositionalAUCLoss) -> None:
        self._loss = loss

    def state_dict(self) -> State:
        """Return the state."""
        gradients = {name: p.grad for name, p in self._loss.named_parameters()}
        return {
            "parameters": self._loss.state_dict(),
            "gradients": gradients,
            "step": self._loss.step,
        }

    def load_state_dict(self, state_dict: State, /) -> None:
        """Restore a state."""
        self._loss.load_state_dict(state_dict["parameters"])
        for name, parameter in self._loss.named_parameters():
            parameter.grad = state_dict["gradients"][name]
        self._loss.step = state_dict["step"]


class LibAUCClassifier(ClassifierMixin, BaseEstimator):
    """``TabularMLP`` trained by LibAUC.

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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            self.module_ = TabularMLP(X.shape[1], n_members=1, **(self.module_parameters or {}))
        train(
            self.module_,
            X,
            y,
            repaired=self.repaired,
            n_epochs=N_EPOCHS,
            random_state=self.random_state,
        )
        return self

    @torch.no_grad()
    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Return the logits."""
        return self.module_(torch.as_tensor(X)).numpy()
