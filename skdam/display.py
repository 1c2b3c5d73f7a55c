"""Plots in the style of scikit-learn's displays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

_LOSSES = {"inner_loss": "inner loss", "outer_loss": "AUC margin loss"}
_AUCS = {"oob_roc_auc": "out-of-bag ROC AUC", "valid_roc_auc": "validation ROC AUC"}


class TrainingHistoryDisplay:
    """Training curves: the losses and, if recorded, the out-of-bag and the validation ROC AUC.

    Dotted vertical lines mark where the learning rate changes at a milestone. A dash-dotted one
    marks where two-stage training switches from the inner loss to the AUC loss, and a solid one
    the end of the epoch whose weights early stopping kept.

    Use :meth:`from_estimator` to draw them. Needs matplotlib.

    Parameters
    ----------
    history : mapping of str to array-like of shape (n_iter,)
        A value for each epoch, such as ``history_`` of
        :class:`~skdam.CompositionalAUCClassifier`. Epochs without a value are NaN.
    best_epoch : int or None, default=None
        The epoch, counted from 1, whose weights were kept; not marked if None.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the losses.
    auc_ax_ : matplotlib Axes or None
        The twin axes of the ROC AUC, on the right; None if it was not recorded.
    lines_ : dict of str to matplotlib Line2D
        The curves, by their names in the history.
    marks_ : dict of str to list of matplotlib Line2D
        The vertical lines: "stage", "switch" and "kept".
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skdam import CompositionalAUCClassifier, TrainingHistoryDisplay
    >>> X, y = make_classification(weights=[0.8], random_state=0)
    >>> clf = CompositionalAUCClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> display = TrainingHistoryDisplay.from_estimator(clf)
    >>> sorted(display.lines_)
    ['inner_loss', 'oob_roc_auc', 'outer_loss']
    """

    def __init__(self, history: Mapping[str, Any], best_epoch: int | None = None) -> None:
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **line_kwargs: Any) -> Self:
        """Draw the training curves of a fitted classifier.

        Parameters
        ----------
        estimator : CompositionalAUCClassifier
            A fitted classifier.
        ax : matplotlib Axes or None, default=None
            Axes to draw on, with room below them for the legend; None creates a figure.
        **line_kwargs : dict
            Keyword arguments of matplotlib's ``plot``, for all curves.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(estimator)
        best_epoch = getattr(estimator, "best_epoch_", None)
        return cls(estimator.history_, best_epoch).plot(ax=ax, **line_kwargs)

    def plot(self, *, ax: Any = None, **line_kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax, **line_kwargs
            As in :meth:`from_estimator`.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            from matplotlib import pyplot
            from matplotlib.transforms import offset_copy
        except ImportError as error:
            raise ImportError(
                "TrainingHistoryDisplay needs matplotlib: pip install 'skdam[plot]'"
            ) from error

        self.ax_ = pyplot.subplots(layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self.auc_ax_ = None
        self.lines_ = {}
        if any(name in self.history for name in _AUCS):
            self.auc_ax_ = self.ax_.twinx()
            self.auc_ax_.set_ylabel("ROC AUC")
        # the curves of both axes share one cycle of colours
        names = [name for name in (*_LOSSES, *_AUCS) if name in self.history]
        for number, name in enumerate(names):
            values = np.asarray(self.history[name], dtype=float)
            epochs = np.arange(1, len(values) + 1)
            # a line would break at an epoch without a value
            present = np.isfinite(values)
            axes, label, marker = self.ax_, _LOSSES.get(name), None
            if name in _AUCS:
                # there may be one value alone
                axes, label, marker = self.auc_ax_, _AUCS[name], "."
            options = {"color": f"C{number}", "label": label, "marker": marker, **line_kwargs}
            (self.lines_[name],) = axes.plot(epochs[present], values[present], **options)
        self.marks_ = self._mark()
        self.ax_.set_xlabel("epoch")
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        self.ax_.set_ylabel("loss")
        first_marks = [marks[0] for marks in self.marks_.values() if marks]
        self.ax_.legend(
            handles=[*self.lines_.values(), *first_marks],
            loc="upper center",
            # below the label of the axis, whatever the height of the axes
            bbox_to_anchor=(0.5, 0),
            bbox_transform=offset_copy(self.ax_.transAxes, self.figure_, y=-36, units="points"),
            ncols=2,
            frameon=False,
        )
        return self

    def _mark(self) -> dict[str, list[Any]]:
        def lines(places: Iterable[float], style: str, label: str) -> list[Any]:
            options = {"color": "0.6", "linewidth": 1, "zorder": 0}
            return [
                self.ax_.axvline(place, linestyle=style, label=label, **options) for place in places
            ]

        switches = _switches(self.history)
        stages = _milestones(self.history, switches)
        # an epoch begins between its value and the one before
        return {
            "stage": lines([epoch - 0.5 for epoch in sorted(stages)], ":", "new stage"),
            "switch": lines([epoch - 0.5 for epoch in switches], "-.", "switch to the AUC loss"),
            "kept": lines(
                [] if self.best_epoch is None else [self.best_epoch], "-", "weights kept"
            ),
        }


def _switches(history: Mapping[str, Any]) -> set[int]:
    """Return the epochs in which two-stage training begins with the AUC loss."""
    if not all(name in history for name in _LOSSES):
        return set()
    inner, outer = (np.isfinite(np.asarray(history[name], dtype=float)) for name in _LOSSES)
    return {int(i) + 2 for i in np.flatnonzero((inner & ~outer)[:-1] & (outer & ~inner)[1:])}


def _milestones(history: Mapping[str, Any], switches: set[int]) -> set[int]:
    """Return the epochs, except switches, in which the learning rate is another one than before.

    There are none if it changes more often than in every second epoch: that is no schedule of
    stages.
    """
    rates = np.asarray(history.get("lr", ()), dtype=float)
    changed = set(map(int, np.flatnonzero(rates[1:] != rates[:-1]) + 2)) - switches
    return changed if 2 * len(changed) <= len(rates) else set()
