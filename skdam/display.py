"""Plots in the manner of scikit-learn's displays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

_LABELS = {
    "inner_loss": "inner loss",
    "outer_loss": "AUC margin loss",
    "valid_roc_auc": "validation ROC AUC",
}


class TrainingHistoryDisplay:
    """Training curves: the losses and, if there is one, the validation ROC AUC.

    Use :meth:`from_estimator` to draw. Needs matplotlib.

    Parameters
    ----------
    history : mapping of str to array-like of shape (n_iter,)
        As ``history_`` of :class:`~skdam.CompositionalAUCClassifier`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The losses.
    auc_ax_ : matplotlib Axes or None
        The twin axes of the AUC, on the right.
    lines_ : dict of str to matplotlib Line2D
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skdam import CompositionalAUCClassifier, TrainingHistoryDisplay
    >>> X, y = make_classification(weights=[0.8], random_state=0)
    >>> clf = CompositionalAUCClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> display = TrainingHistoryDisplay.from_estimator(clf)
    >>> sorted(display.lines_)
    ['inner_loss', 'outer_loss']
    """

    def __init__(self, history: Mapping[str, Any]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **line_kwargs: Any) -> Self:
        """Draw the training curves of a fitted classifier.

        Parameters
        ----------
        estimator : CompositionalAUCClassifier
            Fitted.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        TrainingHistoryDisplay
        """
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(ax=ax, **line_kwargs)

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
        except ImportError as error:
            raise ImportError(
                "TrainingHistoryDisplay needs matplotlib: pip install 'skdam[plot]'"
            ) from error

        self.ax_ = pyplot.subplots()[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        self.auc_ax_ = None
        self.lines_ = {}
        # one cycle of colours over both axes
        for number, name in enumerate(name for name in _LABELS if name in self.history):
            axes = self.ax_
            if name == "valid_roc_auc":
                axes = self.auc_ax_ = self.ax_.twinx()
                axes.set_ylabel("ROC AUC")
            values = np.asarray(self.history[name], dtype=float)
            epochs = np.arange(1, len(values) + 1)
            options = {"color": f"C{number}", "label": _LABELS[name], **line_kwargs}
            (self.lines_[name],) = axes.plot(epochs, values, **options)
        self.ax_.set_xlabel("epoch")
        self.ax_.set_ylabel("loss")
        self.ax_.legend(handles=list(self.lines_.values()))
        return self
