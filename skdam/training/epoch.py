"""An epoch: who observes its batches, where they come from, and what becomes of the losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from skorch.dataset import get_len
from torch import Tensor
from torch.utils.data import DataLoader

from skdam._targets import Targets, weights_of
from skdam.data.batches import keep_batch, whole_batches
from skdam.data.examples import has_plain_targets
from skdam.data.memory import is_in_memory, resident
from skdam.data.sampling import StratifiedBatchSampler
from skdam.optim.pdsca import is_trained
from skdam.training.culprit import not_finite
from skdam.training.observers import only_ours_sees_targets
from skdam.training.scoring import vote

_MAX_LOSSES = 256


class DivergenceError(FloatingPointError, ValueError):
    """Training met a loss or a weight that is not finite."""


def train_epoch(
    net: Any, iterator: Any, prefix: str, step_fn: Any, *, observed: bool, **fit_params: Any
) -> None:
    """Train a net for an epoch, and record its losses.

    It does what skorch does, but calls callbacks only where one observes batches, and reads
    losses from the device no more often than needed.

    Parameters
    ----------
    net : CompositionalAUCNet
    iterator : DataLoader or iterable of batches
    prefix : str
        Of the names in the history.
    step_fn : callable
        Takes a batch and ``fit_params``, returns what :meth:`CompositionalAUCNet.train_step` does.
    observed : bool
        Whether callbacks are told of batches.

    Raises
    ------
    DivergenceError
        If a loss or a weight is not finite.
    """
    net._set_training(True)
    log = LossLog(prefix)
    checkpoint = net.checkpoint_
    if checkpoint is not None:
        checkpoint.begin_epoch(net, log)
    for batch in training_batches(net, iterator, observed=observed):
        if observed:
            net.notify("on_batch_begin", batch=batch, training=True)
            net._set_training(True)
        step = step_fn(batch, **fit_params)
        X = batch[0]
        losses = step.get("losses") or {f"{prefix}_loss": step["loss"].detach()}
        size = len(X) if isinstance(X, Tensor) else get_len(X)
        log.add(losses, size)
        if observed:
            for name, loss in losses.items():
                net.history.record_batch(name, loss.item())
            net.history.record_batch(f"{prefix}_loss", step["loss"].item())
            net.history.record_batch(f"{prefix}_batch_size", size)
            net.notify("on_batch_end", batch=batch, training=True, **step)
        # callbacks and workers cannot go on in the middle of an epoch
        elif checkpoint is not None and needs_no_loader(iterator):
            checkpoint.end_batch(net, log)
    rows = log.rows()
    if not observed:
        net.history[-1]["batches"].extend(rows)
    net.history.record(f"{prefix}_batch_count", len(rows))
    _record_losses(net, rows, getattr(iterator, "dataset", None))


def training_batches(net: Any, iterator: Any, *, observed: bool) -> Iterator[Any]:
    """Yield the batches of an epoch, without the loader where that makes no difference.

    Data that is resident on the device stays there until the end of the training.
    """
    if not needs_no_loader(iterator) or type(iterator.batch_sampler) is not StratifiedBatchSampler:
        yield from iterator
        return
    device = torch.device(net.device)
    if net._resident_ is None or net._resident_[0] is not iterator:
        net._resident_ = (iterator, resident(iterator.dataset, device, net.data_on_device))
    batches = whole_batches(net._resident_[1], iterator.batch_sampler, device, one_by_one=observed)
    is_plain = has_plain_targets(net._resident_[1])
    if observed or not is_plain or not only_ours_sees_targets(net):
        yield from batches
        return
    # the sampler puts as many positives first in each batch
    targets: Targets | None = None
    for X, y in batches:
        if targets is None:
            targets = Targets.of(y.float()).with_classes()
        yield X, targets


def needs_no_loader(iterator: Any) -> bool:
    """Return whether a loader does nothing but select examples of data in memory."""
    return (
        type(iterator) is DataLoader
        and is_in_memory(iterator.dataset)
        and iterator.collate_fn is keep_batch
        and not iterator.num_workers
    )


class ValidationScores:
    """The scores of an epoch of validation.

    Parameters
    ----------
    net : CompositionalAUCNet
    step_fn : callable
        Takes a batch and the parameters of the fit, returns ``y_pred`` and more.
    """

    def __init__(self, net: Any, step_fn: Any) -> None:
        self._net = net
        self._step_fn = step_fn
        self._scores: list[Tensor] = []
        self._targets: list[Tensor] = []

    def step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Take the step of validation, and keep the scores."""
        step = self._step_fn(batch, **fit_params)
        self._scores.append(vote(self._net.module_, step["y_pred"]).cpu())
        self._targets.append(batch[1])
        return step

    def record(self, history: Any, name: str, dataset: Any) -> None:
        """Record the ROC AUC, and whether it is the best so far, in the row of the epoch.

        Raises
        ------
        DivergenceError
            If a score is not finite; it names the example of the dataset, if it is that.
        """
        scores = torch.cat(self._scores)
        if not torch.isfinite(scores).all():
            culprit = None if dataset is None else not_finite(self._net, dataset)
            reason = culprit or "values of X are too far out of the range of the training data"
            raise DivergenceError(f"scores of the validation data are not finite: {reason}.")
        weights = [w for w in map(weights_of, self._targets) if w is not None]
        auc = roc_auc_score(
            torch.cat(self._targets).numpy(),
            scores.numpy(),
            sample_weight=torch.cat(weights).numpy() if weights else None,
        )
        # NaN stands for an epoch without validation
        earlier = (row.get(name, math.nan) for row in list(history)[:-1])
        best = max((score for score in earlier if not math.isnan(score)), default=-math.inf)
        history.record(name, float(auc))
        history.record(f"{name}_best", bool(auc > best))

    @staticmethod
    def record_none(history: Any, prefix: str) -> None:
        """Record NaN in the row of an epoch without validation, for callbacks that read scores."""
        for name in (f"{prefix}_loss", f"{prefix}_roc_auc"):
            history.record(name, math.nan)
            history.record(f"{name}_best", False)


class LossLog:
    """The losses of an epoch, which stay on their device until its end.

    Parameters
    ----------
    prefix : str
        Of the names of the loss and of the size of a batch.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._restored: list[dict[str, float]] = []
        self._steps: list[tuple[tuple[str, ...], int]] = []
        self._recent: list[Tensor] = []
        self._earlier: list[Tensor] = []

    @property
    def n_batches(self) -> int:
        """The number of batches so far."""
        return len(self._restored) + len(self._steps)

    def restore(self, rows: list[dict[str, float]]) -> None:
        """Go on after the batches of these :meth:`rows`."""
        self._restored = rows

    def add(self, losses: dict[str, Tensor], batch_size: int) -> None:
        """Keep the losses of the steps of a batch."""
        self._steps.append((tuple(losses), batch_size))
        self._recent.extend(losses.values())
        # small tensors that stay, between large ones that go, would leave gaps in memory
        if len(self._recent) >= _MAX_LOSSES:
            self._join()

    def rows(self) -> list[dict[str, float]]:
        """Return a row for each batch; its loss is that of its last step."""
        self._join()
        values = iter(torch.cat(self._earlier).tolist() if self._earlier else ())
        rows = [*self._restored]
        for names, batch_size in self._steps:
            row = {name: next(values) for name in names}
            row[f"{self._prefix}_loss"] = row[names[-1]]
            row[f"{self._prefix}_batch_size"] = batch_size
            rows.append(row)
        return rows

    def _join(self) -> None:
        if self._recent:
            self._earlier.append(torch.stack(self._recent))
            self._recent.clear()


def _record_losses(net: Any, rows: list[dict[str, float]], dataset: Any) -> None:
    for name in ("inner_loss", "outer_loss"):
        values = [row[name] for row in rows if name in row]
        for value in values:
            if not math.isfinite(value):
                raise _divergence(net, f"the {name.replace('_', ' ')} is {value}", dataset)
        if values:
            net.history.record(name, float(np.mean(values)))
    net.history.record("lr", net.optimizer_.param_groups[0]["lr"])
    for name, tensor in net.module_.named_parameters():
        if is_trained(tensor) and not torch.isfinite(tensor).all():
            raise _divergence(net, f"{name} is not finite", dataset)


def _divergence(net: Any, what: str, dataset: Any) -> DivergenceError:
    failed = f"training diverged in epoch {len(net.history)}: {what}"
    culprit = None if dataset is None else not_finite(net, dataset)
    if culprit is not None:
        return DivergenceError(f"{failed}, and {culprit}.")
    group = net.optimizer_.param_groups[0]
    rates = ", ".join(f"{k}={group[k]:g}" for k in ("lr", "inner_lr") if group[k] is not None)
    return DivergenceError(
        f"{failed} with {rates}. Use a smaller lr, or features of a smaller range."
    )
