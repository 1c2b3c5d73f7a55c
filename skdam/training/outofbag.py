"""Out-of-bag scores: each training row by the member that never sees it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback
from torch import Tensor

from skdam._generators import own_generator
from skdam._targets import folds_of, weights_of
from skdam.callbacks import BATCHES_A_CHECK
from skdam.data.examples import labels_of
from skdam.data.memory import rows_in_memory
from skdam.networks.statistics import draw_by_class

_ROWS = 20_000
_CHUNK = 2**17
_GROWTH = 0.1


class OutOfBagScoring(Callback):
    """Record the ROC AUC of the out-of-bag logits as ``oob_roc_auc`` in the history.

    An epoch is scored at its end, once both 25 batches and a tenth of the batches before the last
    score have passed since then, and so is the last epoch; others have NaN. Of more than 20,000
    rows a sample of 20,000 is scored, half of them positives if there are enough.
    """

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Choose the rows to score."""
        self._sample_ = sampled(X, net.random_state)
        self._first_ = len(net.history)
        self._n_scored_ = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Score the rows, if it is time to."""
        rows = net.history[self._first_ :]
        n_batches = sum(row["train_batch_count"] for row in rows)
        pause = max(BATCHES_A_CHECK, _GROWTH * self._n_scored_)
        auc = math.nan
        if n_batches - self._n_scored_ >= pause or len(net.history) >= net.last_epoch_:
            self._n_scored_ = n_batches
            auc = self._score(net)
        net.history.record("oob_roc_auc", auc)

    def state_dict(self) -> dict[str, int]:
        """Return which epochs and batches have been counted."""
        return {"first": self._first_, "n_scored": self._n_scored_}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Return to a :meth:`state_dict`."""
        self._first_, self._n_scored_ = state_dict["first"], state_dict["n_scored"]

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Drop the rows."""
        del self._sample_

    def _score(self, net: Any) -> float:
        X, y = self._sample_
        net._set_training(False)
        device = next(net.module_.parameters()).device
        logits = net.module_.out_of_bag_logits(X.to(device), _folds(y).to(device))
        weights = weights_of(y)
        return float(
            roc_auc_score(
                y.as_subclass(Tensor).numpy(),
                logits.cpu().numpy(),
                sample_weight=None if weights is None else weights.numpy(),
            )
        )


def join(net: Any, dataset: Any) -> np.ndarray:
    """Let a network learn how its parts vote, and return its joint out-of-bag scores.

    Parameters
    ----------
    net : CompositionalAUCNet
        Trained; its module has ``out_of_bag``, ``out_of_bag_logits`` and ``share_vote``.
    dataset : InMemoryDataset or Subset of one
        The training data, with folds. The shares are learnt from at most 20,000 rows, half of them
        positives if there are enough.

    Returns
    -------
    ndarray of shape (n,), float64
    """
    net._set_training(False)
    module = net.module_
    device = next(module.parameters()).device
    X, y = (values.to(device) for values in sampled(dataset, net.random_state))
    logits, scores = module.out_of_bag(X, _folds(y))
    if scores is not None:
        module.share_vote(logits, scores, y.as_subclass(Tensor), weights_of(y))
    X, y = rows_in_memory(dataset)
    joint = [
        module.out_of_bag_decision(some.to(device), folds.to(device)).cpu()
        for some, folds in zip(X.split(_CHUNK), _folds(y).split(_CHUNK), strict=True)
    ]
    return torch.cat(joint).double().numpy()


def sampled(dataset: Any, seed: int | None) -> tuple[Tensor, Tensor]:
    """Return the rows of data in memory, at most 20,000, half of them positives if possible.

    Parameters
    ----------
    dataset : InMemoryDataset or Subset of one
    seed : int or None
        Of the draw.

    Returns
    -------
    X : Tensor of shape (n, n_features)
    y : Targets of shape (n,)
    """
    labels = labels_of(dataset)
    if len(labels) <= _ROWS:
        return rows_in_memory(dataset)
    with own_generator(np.random.SeedSequence(seed).generate_state(1)[0].item()):
        return rows_in_memory(dataset, draw_by_class(torch.as_tensor(labels), _ROWS))


def _folds(y: Tensor) -> Tensor:
    folds = folds_of(y)
    assert folds is not None
    return folds
