"""skorch callbacks of compositional training, one job each."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
from skorch.callbacks import Callback


class StageSchedule(Callback):
    """Restart the optimizer's stage at milestones, and switch two-stage training.

    A milestone is a share of the epochs: at that point both rates decay and the
    reference weights move to the average of the stage. Under
    ``strategy="two-stage"`` the first half of the epochs trains the inner loss, the
    second half the AUC loss, and each half has the milestones of its own.

    Parameters
    ----------
    milestones : iterable of float, default=(0.5, 0.75)
        In (0, 1). Empty for constant rates.
    lr_decay : float, default=0.1
        Factor of both rates at a milestone.
    """

    def __init__(self, milestones: Iterable[float] = (0.5, 0.75), lr_decay: float = 0.1) -> None:
        self.milestones = milestones
        self.lr_decay = lr_decay

    def initialize(self) -> StageSchedule:
        values = np.asarray(self.milestones, dtype=object)
        if values.ndim != 1 or not all(isinstance(m, Real) and 0 < float(m) < 1 for m in values):
            raise ValueError(f"milestones must be numbers in (0, 1), got {self.milestones!r}.")
        if not 0 < self.lr_decay <= 1:
            raise ValueError(f"lr_decay must be a number in (0, 1], got {self.lr_decay!r}.")
        return self

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        epoch = len(net.history) - 1 - net.first_epoch_
        length = net.max_epochs
        if net.strategy == "two-stage":
            switch = length // 2
            if epoch >= switch and net.pretraining_:
                net.start_auc_stage()
            epoch, length = (epoch, switch) if epoch < switch else (epoch - switch, length - switch)
        if epoch and epoch in {round(milestone * length) for milestone in self.milestones}:
            net.optimizer_.restart_stage(self.lr_decay)


class EarlyStoppingAUC(Callback):
    """Stop when the validation ROC AUC stalls, and keep the best epoch.

    Parameters
    ----------
    n_iter_no_change : int, default=10
        Epochs without an improvement of ``tol`` before training stops.
    tol : float, default=1e-4
        The least improvement that counts.

    Attributes
    ----------
    best_score_ : float
        Highest validation ROC AUC, that of the weights which are kept.
    best_epoch_ : int
        Its epoch, counted from 1.
    """

    def __init__(self, n_iter_no_change: int = 10, tol: float = 1e-4) -> None:
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.best_score_ = -np.inf
        self.best_epoch_ = 0
        self._n_stalled_ = 0
        self._best_state_: dict[str, Any] | None = None

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        score = net.history[-1, "valid_roc_auc"]
        self._n_stalled_ = 0 if score >= self.best_score_ + self.tol else self._n_stalled_ + 1
        if score > self.best_score_:
            self.best_score_ = score
            self.best_epoch_ = net.history[-1, "epoch"]
            self._best_state_ = copy.deepcopy(net.training_state())
        if self._n_stalled_ >= self.n_iter_no_change:
            # the way in which skorch's own callbacks end training
            raise KeyboardInterrupt

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self._best_state_ is not None:
            net.load_training_state(self._best_state_)
            self._best_state_ = None
