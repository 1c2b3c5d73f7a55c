"""Batches: selecting them from a dataset, scaling them, and how large they may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from skdam._targets import are_plain, rows_of, split_rows
from skdam.data.examples import labels_of, yields_batches
from skdam.data.memory import InMemoryDataset, rows_in_memory, unwrapped
from skdam.data.sampling import StratifiedBatchSampler

_INFERENCE_ELEMENTS = 2**20
_SELECTED_ELEMENTS = 2**18
_STATISTICS_ELEMENTS = 2**26
_STATISTICS_EXAMPLES = 10_000


def whole_batches(
    dataset: Any, sampler: StratifiedBatchSampler, device: torch.device, *, one_by_one: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of an epoch of data in memory, each selected as a whole, on a device.

    Parameters
    ----------
    dataset : InMemoryDataset or Subset of one
    sampler : StratifiedBatchSampler
    device : torch.device
    one_by_one : bool
        Whether the sampler counts each batch as yielded when it is. Otherwise small batches are
        selected many at a time, which is faster.

    Yields
    ------
    X : Tensor of shape (batch_size, ...)
        A copy of the rows of a batch, in the dtype of the data.
    y : Tensor of shape (batch_size,)
        A copy as well.
    """
    dataset, rows = unwrapped(dataset)
    X, y = dataset.X, dataset.y
    if rows is not None:
        rows = rows.to(X.device)
    batch_size = sampler.n_positive + sampler.n_negative
    n_together = max(_SELECTED_ELEMENTS // (batch_size * X[0].numel()), 1)
    for block in sampler.epoch(X.device, 1 if one_by_one else n_together):
        index = block.flatten()
        if rows is not None:
            index = rows[index]
        selected = X.index_select(0, index)
        if device.type == "cuda" and selected.device.type == "cpu":
            selected = selected.pin_memory()
        inputs = selected.to(device, non_blocking=True).split(batch_size)
        targets = split_rows(rows_of(y, index).to(device), batch_size)
        for batch in zip(inputs, targets, strict=True):
            # autograd must not see a view: a module may work in place
            yield batch[0].detach(), batch[1]


def consecutive_batches(dataset: Any, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield consecutive batches as copies; the buffer is reused, so each is valid until the next.

    Parameters
    ----------
    dataset : InMemoryDataset or Subset of one
    batch_size : int
        Examples in a batch; the last batch may have fewer.

    Yields
    ------
    X : Tensor of shape (batch_size, ...)
        A copy, which a module may change in place.
    y : Tensor of shape (batch_size,)
        May be a view of the dataset's targets.
    """
    if isinstance(dataset, InMemoryDataset):
        buffer = torch.empty_like(dataset.X[:batch_size])
        for X, y in zip(dataset.X.split(batch_size), dataset.y.split(batch_size), strict=True):
            yield buffer[: len(X)].copy_(X), y
        return
    for start in range(0, len(dataset), batch_size):
        yield take(dataset, range(start, min(start + batch_size, len(dataset))))


def take(dataset: Any, indices: Iterable[int]) -> Any:
    """Return the batch of these indices."""
    if yields_batches(dataset):
        return dataset.__getitems__(list(indices))
    return default_collate([dataset[index] for index in indices])


def keep_batch(batch: Any) -> Any:
    """Collate what a dataset yields that reads whole batches, see :func:`yields_batches`."""
    return batch


class CollatedExamples:
    """Collates a batch that was read as a whole by a user's function of single examples.

    Parameters
    ----------
    collate : callable
        Takes a list of pairs (x, y), returns a pair of batches, as for any DataLoader.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, batch: tuple[Tensor, Tensor]) -> tuple[Any, Any]:
        """Return the batch; targets with weights or folds stay as they are."""
        X, y = batch
        collated, labels = self._collate(list(zip(X, y.as_subclass(Tensor), strict=True)))
        return collated, labels if are_plain(y) else y


def scaled(X: Tensor) -> Tensor:
    """Return X as a network gets it: bytes as float32 in [0, 1], other dtypes unchanged."""
    return X.float().div_(255) if X.dtype == torch.uint8 else X


def sample_for_statistics(dataset: Any, *, copy: bool = True) -> tuple[Tensor, Tensor]:
    """Return the examples from which a module learns its statistics, scaled as in training.

    Parameters
    ----------
    dataset : InMemoryDataset, ExampleDataset or Subset of one
    copy : bool, default=True
        Whether to copy a table in memory, which modules that write to their input need.

    Returns
    -------
    X, y : Tensor
        All examples of a table in memory. Of other data at most 10,000 examples, and fewer
        large ones, evenly spaced within each class, so that the share of positives is kept.
    """
    whole, rows = unwrapped(dataset)
    if isinstance(whole, InMemoryDataset) and whole.X.ndim == 2:
        X, y = rows_in_memory(dataset)
        return (X.clone(), deepcopy(y)) if copy and rows is None else (X, y)
    most = min(_STATISTICS_EXAMPLES, _STATISTICS_ELEMENTS // dataset[0][0].numel())
    # the first and the last example by class are included, so both classes are present
    by_class = np.argsort(labels_of(dataset), kind="stable")
    spaced = np.linspace(0, len(by_class) - 1, min(len(by_class), max(most, 2)))
    X, y = take(dataset, np.sort(by_class[spaced.round().astype(int)]).tolist())
    return scaled(X), y


def inference_batch_size(example_shape: tuple[int, ...]) -> int:
    """Return how many examples to score at once: 16 to 4096, fewer of large ones."""
    return min(max(_INFERENCE_ELEMENTS // math.prod(example_shape), 16), 4096)
