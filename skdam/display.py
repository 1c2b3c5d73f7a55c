"""Plots in the style of scikit-learn's displays."""

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
    """Training curves: the losses and, if recorded, the validation ROC AUC.

    Use :meth:`from_estimator` to draw them. Needs matplotlib.

    Parameters
    ----------
    history : mapping of str to array-like of shape (n_iter,)
        A value for each epoch, such as ``history_`` of
        :class:`~skdam.CompositionalAUCClassifier`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the losses.
    auc_ax_ : matplotlib Axes or None
        The twin axes of the ROC AUC, on the right; None if it was not recorded.
    lines_ : dict of str to matplotlib Line2D
        The curves, by their names in the history.
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
            A fitted classifier.
        ax : matplotlib Axes or None, default=None
            Axes to draw on; None creates a figure.
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
        # the curves of both axes share one cycle of colours
        for number, name in enumerate(name for name in _LABELS if name in self.history):
            axes = self.ax_
            if name == "valid_roc_auc":
                axes = self.auc_ax_ = self.ax_.twinx()
                axes.set_ylabel("ROC AUC")
            values = np.asarray(self.history[name], dtype=float)
            epochs = np.arange(1, len(values) + 1)
            # a line would break at an epoch without a value
            present = np.isfinite(values)
            options = {"color": f"C{number}", "label": _LABELS[name], **line_kwargs}
            (self.lines_[name],) = axes.plot(epochs[present], values[present], **options)
        self.ax_.set_xlabel("epoch")
        self.ax_.set_ylabel("loss")
        self.ax_.legend(handles=list(self.lines_.values()))
        return self
