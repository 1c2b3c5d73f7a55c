"""skorch callbacks of compositional training, one job each."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from skorch.callbacks import Callback

BATCHES_A_CHECK = 25


class StageSchedule(Callback):
    """Start the optimizer's stages at milestones, and switch to the AUC loss in two-stage training.

    A milestone is a share of the epochs. There both learning rates decay and the
    reference weights become the average weights of the stage that ends. With
    ``strategy="two-stage"`` the first half of the epochs trains the inner loss and the
    second half the AUC loss; milestones are then shares of each half.

    The milestones and the factor of the decay are the parameters ``milestones`` and
    ``lr_decay`` of the net.
    """

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        epoch = len(net.history) - 1 - net.first_epoch_
        length = net.max_epochs
        if net.strategy == "two-stage":
            switch = length // 2
            if epoch >= switch and net.optimizer_.pretraining:
                net.optimizer_.start_auc_stage()
            epoch, length = (epoch, switch) if epoch < switch else (epoch - switch, length - switch)
        if epoch and epoch in {round(milestone * length) for milestone in net.milestones}:
            net.optimizer_.restart_stage(net.lr_decay)


class EarlyStoppingAUC(Callback):
    """Stop when a ROC AUC stalls, and keep the weights of the best epoch.

    That of validation data is checked at the end of the first epoch that is 25 or more batches
    after the last check, and at the end of the last epoch. So with 25 batches in an epoch or more,
    every epoch is checked. An epoch without a check is not scored, and its validation scores in
    the history are NaN. Any other AUC is checked in the epochs where it is not NaN. With
    ``strategy="two-stage"`` the checks of the first stage are ignored. If the net is verbose, a
    line at the end of training says which weights are kept.

    Parameters
    ----------
    n_iter_no_change : int, default=10
        Checks without an improvement of ``tol`` before training stops.
    tol : float, default=1e-4
        Smallest increase of the ROC AUC that counts as an improvement.
    monitor : str, default="valid_roc_auc"
        Name of the ROC AUC in the history. Epochs where it is NaN are no checks.
    window : int, default=1
        The score of a check is the mean of so many of the latest values, >= 1.

    Attributes
    ----------
    best_score_ : float
        Highest score.
    best_epoch_ : int
        The epoch of that score, counted from 1. Its weights are kept.

    Raises
    ------
    ValueError
        At the end of an epoch, if the history lacks ``monitor``, as without validation data.
    """

    def __init__(
        self,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        monitor: str = "valid_roc_auc",
        window: int = 1,
    ) -> None:
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.monitor = monitor
        self.window = window

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.best_score_ = -np.inf
        self.best_epoch_ = 0
        self._n_stalled_ = 0
        self._best_state_: dict[str, Any] | None = None
        self._n_checked_ = len(net.history)
        self._recent_: list[float] = []

    def is_due(self, net: Any) -> bool:
        """Return whether the epoch in which the net has just been trained is to be checked."""
        batches = sum(row["train_batch_count"] for row in net.history[self._n_checked_ :])
        return batches >= BATCHES_A_CHECK or len(net.history) >= net.last_epoch_

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if self.monitor not in net.history[-1]:
            raise ValueError(
                f"EarlyStoppingAUC needs {self.monitor} in the history; for that of validation "
                "data, set train_split of the net."
            )
        score = net.history[-1, self.monitor]
        if math.isnan(score):
            return
        self._n_checked_ = len(net.history)
        if net.strategy == "two-stage" and net.optimizer_.pretraining:
            return
        self._recent_ = [*self._recent_, score][-self.window :]
        score = float(np.mean(self._recent_))
        self._n_stalled_ = 0 if score >= self.best_score_ + self.tol else self._n_stalled_ + 1
        if score > self.best_score_:
            self.best_score_ = score
            self.best_epoch_ = net.history[-1, "epoch"]
            self._best_state_ = copy.deepcopy(net.training_state())
        if self._n_stalled_ >= self.n_iter_no_change:
            # skorch's own callbacks end training in this way
            raise KeyboardInterrupt

    def keep_best(self, net: Any) -> None:
        """Return to the weights of the best epoch; the net calls it at the end of training.

        So callbacks that save the net at the end save those, whatever their order.
        """
        if self._best_state_ is None:
            return
        net.load_training_state(self._best_state_)
        self._best_state_ = None
        if net.verbose:
            of_checks = f" (mean of the last {self.window} checks)" if self.window > 1 else ""
            print(
                f"Kept the weights of epoch {self.best_epoch_}: {self.monitor} "
                f"{self.best_score_:.4f}{of_checks}."
            )


def validation_is_due(net: Any) -> bool:
    """Return whether the net is to be scored after the epoch in which it has just been trained.

    It is, unless all callbacks that monitor a validation score check some epochs only. Those of
    skorch would take the NaN of the others for a score that does not improve.
    """
    monitors = [
        callback
        for _, callback in net.callbacks_
        if getattr(callback, "monitor", None) in ("valid_loss", "valid_roc_auc")
    ]
    return not monitors or any(
        not isinstance(callback, EarlyStoppingAUC) or callback.is_due(net) for callback in monitors
    )
