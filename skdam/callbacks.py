"""skorch callbacks of compositional training, one job each."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import skorch.callbacks
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from skdam._history import shown

BATCHES_A_CHECK = 25

# the columns of a log between the epoch and what callbacks of the user record
_COLUMNS = (
    "inner_loss",
    "outer_loss",
    "train_loss",
    "valid_loss",
    "oob_roc_auc",
    "valid_roc_auc",
)
_MIN_WIDTH = 8


class StageSchedule(Callback):
    """Start the optimizer's stages at milestones, and switch to the AUC loss in two-stage training.

    A milestone is a fraction of the epochs, after which both learning rates decay and the
    average weights of the stage that ends become the reference weights. With
    ``strategy="two-stage"`` the first half of the epochs minimises the inner loss and the
    second half the AUC loss; milestones are then fractions of each half.

    The milestones and the factor of the decay are the parameters ``milestones`` and
    ``lr_decay`` of the net.
    """

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        epoch = len(net.history) - 1 - net.first_epoch_
        switch, starts = stages(net, net.max_epochs)
        if net.strategy == "two-stage" and epoch >= switch and net.optimizer_.pretraining:
            net.optimizer_.start_auc_stage()
        if epoch in starts:
            net.optimizer_.restart_stage(net.lr_decay)


def stages(net: Any, n_epochs: int) -> tuple[int, set[int]]:
    """Return the epoch that switches to the AUC loss, and those after which rates have decayed.

    Epochs are counted from 0, and each event is at the start of its epoch. Only two-stage training
    switches; the others have trained their loss from epoch 0.
    """
    switch = n_epochs // 2 if net.strategy == "two-stage" else 0
    parts = [(0, switch), (switch, n_epochs)]
    starts = {
        begin + round(milestone * (end - begin))
        for milestone in net.milestones
        for begin, end in parts
    }
    return switch, starts - {0, switch}


class EarlyStoppingAUC(Callback):
    """Stop when a ROC AUC stalls, and keep the weights of the best epoch.

    The ROC AUC of validation data is checked at the end of an epoch, once 25 batches have passed
    since the last check, and at the end of the last epoch. So if an epoch has 25 batches or more,
    every epoch is checked. An epoch without a check is not scored, and its validation scores in
    the history are NaN. If another callback monitors ``valid_loss`` or ``valid_roc_auc``, every
    epoch is scored and checked. Any other ROC AUC is checked in the epochs where it is not NaN.
    With ``strategy="two-stage"`` the checks of the first stage are ignored.

    Parameters
    ----------
    n_iter_no_change : int, default=10
        Checks without an improvement of ``tol`` before training stops.
    tol : float, default=1e-4
        Smallest increase of the ROC AUC that counts as an improvement.
    monitor : str, default="valid_roc_auc"
        Name of the ROC AUC in the history. Epochs where it is NaN are no checks.
    window : int, default=1
        The score of a check is the mean of this number of latest values, >= 1.

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

    def state_dict(self) -> dict[str, Any]:
        """Return what has been learnt; the tensors of the best weights are the live ones."""
        return {name: value for name, value in vars(self).items() if name.endswith("_")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Return to a :meth:`state_dict`."""
        self.__dict__.update(state_dict)

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
        is_best = score > self.best_score_
        has_improved = is_best and score >= self.best_score_ + self.tol
        self._n_stalled_ = 0 if has_improved else self._n_stalled_ + 1
        if is_best:
            self.best_score_ = score
            self.best_epoch_ = net.history[-1, "epoch"]
            self._best_state_ = copy.deepcopy(net.training_state())
        if self.stalled_:
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

    @property
    def stalled_(self) -> bool:
        """Whether as many checks as ``n_iter_no_change`` have passed without an improvement."""
        return self._n_stalled_ >= self.n_iter_no_change


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


class PrintLog(skorch.callbacks.PrintLog):
    """Print a line for each epoch, and at the end why training ended and which weights are kept.

    A line shows the epoch, the losses, the scores and the learning rate under their names in the
    history, the seconds that the epoch took (``dur``), and the time that is left if nothing stops
    training early. What an epoch does not have is blank. A net that is not verbose prints nothing.

    Parameters
    ----------
    keys_ignored : str, list of str or None, default=None
        Names in the history that are not printed. ``train_loss`` is printed only if there is
        neither ``inner_loss`` nor ``outer_loss``.
    sink : callable, default=print
        Called with each line. A sink other than the default gets the lines even if the net is not
        verbose.
    """

    def __init__(
        self, keys_ignored: str | list[str] | None = None, sink: Callable[[str], Any] = print
    ) -> None:
        self.keys_ignored = keys_ignored
        self.sink = sink

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self._start_ = time.perf_counter()
        self._first_ = self._n_printed_ = len(net.history)
        self._columns_: list[str] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        for row in net.history[self._n_printed_ :]:
            self._print_row(net, row)
        self._n_printed_ = len(net.history)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        # no callback sees the end of an epoch at which another one ends training
        self.on_epoch_end(net)
        stops = [stop for _, stop in net.callbacks_ if isinstance(stop, EarlyStoppingAUC)]
        kept = [_what_is_kept(stop) for stop in stops if stop.best_epoch_]
        self._print(net, " ".join([_why_ended(net, stops), *kept]))

    def _print_row(self, net: Any, row: dict[str, Any]) -> None:
        columns = self._columns_of(net, row)
        epochs = f"{row['epoch']}/{net.last_epoch_}"
        widths = [max(len(name), _MIN_WIDTH) for name in ("epoch", *columns, "left")]
        widths[0] = max(len("epoch"), 2 * len(str(net.last_epoch_)) + 1)
        if columns != self._columns_:
            self._columns_ = columns
            self._print(net, _line(("epoch", *columns, "left"), widths))
            self._print(net, _line(("-" * width for width in widths), widths))
        done = row["epoch"] - self._first_
        a_epoch = (time.perf_counter() - self._start_) / done
        left = tqdm.format_interval(a_epoch * (net.last_epoch_ - row["epoch"]))
        cells = (_cell(name, row.get(name)) for name in columns)
        self._print(net, _line((epochs, *cells, left), widths))

    def _columns_of(self, net: Any, row: dict[str, Any]) -> list[str]:
        """Return the names of the columns: those of the rows so far and of this one."""
        names = {*self._columns_, *shown(row)}
        if net.strategy == "two-stage":
            names |= {"inner_loss", "outer_loss"}
        if names & {"inner_loss", "outer_loss"}:
            names.discard("train_loss")
        names -= {"epoch", *self.keys_ignored_}
        first = [name for name in _COLUMNS if name in names]
        last = [name for name in ("lr", "dur") if name in names]
        return [*first, *sorted(names - {*first, *last}), *last]

    def _print(self, net: Any, line: str) -> None:
        if self.sink is not print:
            self.sink(line)
        elif net.verbose:
            # above a progress bar, if there is one
            tqdm.write(line)
            sys.stdout.flush()


class ProgressBar(Callback):
    """Show one bar for the whole training, batch by batch, with the time that is left.

    It goes to stderr or, in a notebook, below the cell. The end is that of the last epoch, if
    nothing stops training early.
    """

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self._bar_: Any = None

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if self._bar_ is None:
            epochs = net.last_epoch_ - len(net.history) + 1
            total = epochs * len(net.sampler_)
            self._bar_ = tqdm(total=total, unit="batch", dynamic_ncols=True)
        self._bar_.set_description(f"epoch {len(net.history)}/{net.last_epoch_}")

    def on_batch_end(self, net: Any, training: bool = True, **kwargs: Any) -> None:
        if training:
            self._bar_.update()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self._bar_ is not None:
            self._bar_.close()


def _why_ended(net: Any, stops: Iterable[EarlyStoppingAUC]) -> str:
    n, most = len(net.history), net.last_epoch_
    for stop in stops:
        if stop.stalled_:
            checks = f"{stop.n_iter_no_change} check{'s' * (stop.n_iter_no_change > 1)}"
            return f"Stopped after epoch {n} of {most}: {stop.monitor} stalled for {checks}."
    if n < most:
        return f"Interrupted after epoch {n} of {most}."
    return f"Trained to the last epoch, {n} of {most}."


def _what_is_kept(stop: EarlyStoppingAUC) -> str:
    of_checks = f" (mean of the last {stop.window} checks)" if stop.window > 1 else ""
    score = f"{stop.monitor} {stop.best_score_:.4f}{of_checks}"
    return f"Kept the weights of epoch {stop.best_epoch_}: {score}."


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _cell(name: str, value: Any) -> str:
    if value is None or isinstance(value, str | bool | np.bool_):
        return value if isinstance(value, str) else "+" * bool(value)
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return ""
        return format(value, {"lr": ".3g", "dur": ".2f"}.get(name, ".4f"))
    return str(value)
