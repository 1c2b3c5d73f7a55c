"""What is chosen where the user left it open, by the shape of an example and the rows."""

from __future__ import annotations

import numpy as np
from torch import nn

from skdam.networks.defaults import default_module

_LEAST_BATCH_SIZE = 64
_LARGEST_BATCH_OF_TABLE = 1024
_LARGEST_BATCH_OF_OTHER_DATA = 128
_BATCHES_AN_EPOCH = 128
_LEAST_BATCHES = 300
_LEAST_EPOCHS = 20


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


def training_length(
    batch_size: int | str, max_epochs: int | str, n_rows: int, example_shape: tuple[int, ...]
) -> tuple[int, int]:
    """Return the batch size and the number of epochs, with "auto" replaced.

    Parameters
    ----------
    batch_size : int or "auto"
        "auto" is 64 or, where that is more, a 128th of the rows, up to 1024 for tables and
        128 for other data.
    max_epochs : int or "auto"
        "auto" is 20 or, where that is more, as many as it takes for 300 batches.
    n_rows : int
        Examples to train on.
    example_shape : tuple of int
        Shape of one example; a table has one axis.

    Returns
    -------
    batch_size, max_epochs : int
    """
    if isinstance(batch_size, str):
        is_table = len(example_shape) == 1
        largest = _LARGEST_BATCH_OF_TABLE if is_table else _LARGEST_BATCH_OF_OTHER_DATA
        batch_size = int(np.clip(n_rows // _BATCHES_AN_EPOCH, _LEAST_BATCH_SIZE, largest))
    if isinstance(max_epochs, str):
        n_batches = -(-n_rows // batch_size)
        max_epochs = max(_LEAST_EPOCHS, -(-_LEAST_BATCHES // n_batches))
    return batch_size, max_epochs
