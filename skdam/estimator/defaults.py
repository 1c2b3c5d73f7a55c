"""What is chosen where the user left it open, by the network and the size of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from skdam.networks.defaults import default_module
from skdam.networks.resnet import ResNet20
from skdam.networks.tabular import TabularMLP

_PERCEPTRON = {
    "betas": (1.0, 0.1),
    "weight_decay": 0.03,
    "epoch_decay": 0.0,
    "clip_value": math.inf,
    "milestones": (),
    "optimizer__adaptive": True,
    "criterion__saddle": "batch",
}
_ALTERNATING = {"optimizer__averaging": 0.98}
# the inner step of lookahead is plain SGD, which needs a rate of its own
_LOOKAHEAD = {"inner_lr": 0.1}
_OTHER = {
    "lr": 0.1,
    "betas": (0.9, 0.9),
    "weight_decay": 1e-4,
    "epoch_decay": 2e-3,
    "clip_value": 1.0,
    "milestones": (0.5, 0.75),
}
# weights start at random, and epoch decay would pull them back there
_RESNET = {"weight_decay": 5e-4, "epoch_decay": 0.0}
# with the AUC loss from scratch it would not begin to learn
_LR_OF_COMPOSITION = 0.3

# what network_size may choose
_SIZES = ("n_landmarks", "encoding", "n_bins", "n_values", "dropout")

_LR_OF_128 = 1e-3
_BATCHES_AN_EPOCH = 96
_MAX_BATCHES = 3600
# more would gain a little, and take several times as long
_MAX_BATCHES_OF_MANY_ROWS = 1200
_BATCHES_WITHOUT_STOP = 400
# a step takes as long as there are columns
_MIN_BATCHES_OF_MANY_COLUMNS = 300
_MIN_EPOCHS = 8
_FEW_ROWS = 2_500
_VERY_FEW_ROWS = 1_000
_MANY_ROWS = 20_000
_VERY_MANY_ROWS = 200_000
_MAX_VALUES = 400
_MAX_ROWS = 2**14
_MANY_COLUMNS = 1_000

_MAX_BATCH_SIZE_OF_OTHER_DATA = 128
_BATCHES_OF_OTHER_DATA = 300
_EPOCHS_OF_OTHER_DATA = 20


def module_for(
    module: type[nn.Module] | nn.Module | None, example_shape: tuple[int, ...]
) -> type[nn.Module] | nn.Module:
    """Return the module or, for None, the default network for examples of a shape.

    Raises
    ------
    ValueError
        If there is no default network for this shape.
    """
    return default_module(example_shape) if module is None else module


def takes_gaps(module: type[nn.Module] | nn.Module | None) -> bool:
    """Return whether the network for tables takes NaN for gaps, and codes of categories.

    A module says so with an attribute ``takes_gaps``. The default network does.
    """
    return bool(getattr(module_for(module, (1,)), "takes_gaps", False))


def is_tabular(module: type[nn.Module] | nn.Module) -> bool:
    """Return whether the recipe of the default network for tables is for a module."""
    kind = module if isinstance(module, type) else type(module)
    return issubclass(kind, TabularMLP)


def recipe(
    module: type[nn.Module] | nn.Module,
    variant: str,
    y: np.ndarray,
    example_shape: tuple[int, ...],
    batch_size: int | None = None,
    *,
    strategy: str = "compositional",
    stops: bool = True,
) -> dict[str, Any]:
    """Return the parameters of training that suit a network and the size of the data.

    Parameters
    ----------
    module : nn.Module class or instance
        The module in use.
    variant : {"alternating", "lookahead"}
        Of the composition; other strategies have none.
    y : ndarray of shape (n,)
        Targets to train on, 0 or 1.
    example_shape : tuple of int
        Shape of one example; a table has one axis.
    batch_size : int or None, default=None
        Examples in a batch, from which learning rate and epochs follow; None where it is to be
        chosen, too.
    strategy : {"compositional", "two-stage", "auc", "cross-entropy"}, default="compositional"
    stops : bool, default=True
        Whether training may stop early. Otherwise the network for tables trains for fewer
        batches, as then they are no upper bound.

    Returns
    -------
    dict
        By the names of the estimator's parameters.
    """
    n_rows = len(y)
    is_composed = strategy == "compositional"
    looks_ahead = is_composed and variant == "lookahead"
    if is_tabular(module):
        if batch_size is None:
            batch_size = int(np.clip(n_rows // _BATCHES_AN_EPOCH, 128, 1024))
        n_batches = -(-n_rows // batch_size)
        most = _most_batches(n_rows, stops)
        share = _MANY_COLUMNS / max(example_shape[0], _MANY_COLUMNS)
        least = max(int(most * share), _MIN_BATCHES_OF_MANY_COLUMNS)
        # a batch is no larger than the data
        n_in_batch = min(batch_size, max(n_rows, 128))
        return {
            **_PERCEPTRON,
            **(_LOOKAHEAD if looks_ahead else _ALTERNATING),
            "lr": _LR_OF_128 * math.sqrt(n_in_batch / 128),
            "batch_size": batch_size,
            "sampling_rate": _sampling_rate(y),
            "max_epochs": max(_MIN_EPOCHS, -(-least // n_batches)),
        }
    is_table = len(example_shape) == 1
    largest = 1024 if is_table else _MAX_BATCH_SIZE_OF_OTHER_DATA
    if batch_size is None:
        batch_size = int(np.clip(n_rows // 128, 64, largest))
    n_batches = -(-n_rows // batch_size)
    n_epochs = max(_EPOCHS_OF_OTHER_DATA, -(-_BATCHES_OF_OTHER_DATA // n_batches))
    chosen = {**_OTHER, "sampling_rate": 0.5, "batch_size": batch_size, "max_epochs": n_epochs}
    if isinstance(module, type) and issubclass(module, ResNet20):
        chosen |= _RESNET
        if is_composed and not looks_ahead:
            chosen["lr"] = _LR_OF_COMPOSITION
    return chosen


def network_size(
    module: type[nn.Module] | nn.Module, X: np.ndarray | None, n_rows: int, n_features: int
) -> dict[str, Any]:
    """Return the parameters of :class:`~skdam.TabularMLP` that suit a table.

    Parameters
    ----------
    module : nn.Module class or instance
        The module in use; for others there are none.
    X : ndarray of shape (n_rows, n_features), or None
        None where it is not in memory.
    n_rows, n_features : int

    Returns
    -------
    dict
        By the names of the network's parameters.
    """
    if not (isinstance(module, type) and is_tabular(module)):
        return {}
    # with more rows the out-of-bag logit of one member understates the vote of all, and the share
    # of the kernel machine would get too large
    chosen: dict[str, Any] = {"n_landmarks": min(n_rows, 512) if n_rows <= _MANY_ROWS else 0}
    # the table of the encoding grows with the columns, whatever the batch
    if n_rows < _VERY_FEW_ROWS or n_features > _MANY_COLUMNS:
        chosen["encoding"] = None
    elif n_rows < _FEW_ROWS:
        chosen["n_bins"] = 8
    if _MANY_ROWS <= n_rows < _VERY_MANY_ROWS:
        chosen["dropout"] = 0.3
    if n_rows >= _MANY_ROWS and X is not None and n_features <= _MANY_COLUMNS:
        n_values = tuple(_n_values(column) for column in X.T)
        chosen["n_values"] = n_values if sum(n_values) <= _MAX_ROWS else None
    return chosen


def network_size_of(
    module: type[nn.Module] | nn.Module, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return those parameters of a network, by name, that :func:`network_size` may choose."""
    if not (isinstance(module, type) and is_tabular(module)):
        return {}
    return {name: parameters[name] for name in _SIZES if name in parameters}


def _most_batches(n_rows: int, stops: bool) -> int:
    if not stops:
        return _BATCHES_WITHOUT_STOP
    return _MAX_BATCHES if n_rows < _MANY_ROWS else _MAX_BATCHES_OF_MANY_ROWS


def _sampling_rate(y: np.ndarray) -> float:
    """Return the share of positives in batches of a table.

    Among many rows of a rare class the gain is from seeing more of the other class.
    """
    if len(y) < _MANY_ROWS:
        return 0.5
    share = float(np.mean(y))
    rate = math.sqrt(min(share, 1 - share) / 2)
    return rate if share <= 0.5 else 1 - rate


def _n_values(column: np.ndarray) -> int:
    """Return the number of distinct values of whole numbers, 0 if it is more than 400."""
    for values in (column[:: max(len(column) // _MANY_ROWS, 1)], column):
        distinct = np.unique(values[~np.isnan(values)])
        if len(distinct) > _MAX_VALUES or (distinct % 1).any():
            return 0
    return len(distinct)
