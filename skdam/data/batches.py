"""Batches: their size, their selection from a dataset, and what a network gets of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, default_collate

from skdam.data.examples import labels_of
from skdam.data.memory import InMemoryDataset, reads_batches
from skdam.data.sampling import StratifiedBatchSampler

_INFERENCE_ELEMENTS = 2**20
_SELECTED_ELEMENTS = 2**18
_STATISTICS_ELEMENTS = 2**26
_STATISTICS_EXAMPLES = 10_000


def whole_batches(
    dataset: Any, sampler: StratifiedBatchSampler, device: torch.device, *, is_private: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of an epoch of data in memory, selected in one go, on a device.

    Parameters
    ----------
    dataset : InMemoryDataset or Subset of one
    sampler : StratifiedBatchSampler
    device : torch.device
    is_private : bool
        Whether nobody looks at targets or at the sampler before the end. Small batches are then
        selected many at a time, and all get one tensor of targets. They are alike: the sampler
        puts as many positives first, then as many negatives.
    """
    rows = None
    while isinstance(dataset, Subset):
        indices = torch.as_tensor(dataset.indices)
        rows = indices if rows is None else indices[rows]
        dataset = dataset.dataset
    X, y = dataset.X, dataset.y
    if rows is not None:
        rows = rows.to(X.device)
    batch_size = sampler.n_positive + sampler.n_negative
    n_together = 1
    if is_private:
        n_together = max(_SELECTED_ELEMENTS // (batch_size * X[0].numel()), 1)
    targets = None
    for block in sampler.epoch(X.device, n_together):
        index = block.flatten()
        if rows is not None:
            index = rows[index]
        if targets is None or not is_private:
            targets = y.index_select(0, index[:batch_size]).to(device)
        selected = X.index_select(0, index)
        if device.type == "cuda" and selected.device.type == "cpu":
            selected = selected.pin_memory().to(device, non_blocking=True)
        for batch in selected.split(batch_size):
            # not a view for autograd: a module may work in place
            yield batch.detach(), targets


def slices(dataset: Any, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of data in memory in their order, each for as long as it is the last.

    They are copies, as a module may work in place, and may be so in one and the same place.
    """
    if isinstance(dataset, InMemoryDataset):
        copy_of_batch = torch.empty_like(dataset.X[:batch_size])
        for X, y in zip(dataset.X.split(batch_size), dataset.y.split(batch_size), strict=True):
            yield copy_of_batch[: len(X)].copy_(X), y
        return
    for start in range(0, len(dataset), batch_size):
        yield take(dataset, range(start, min(start + batch_size, len(dataset))))


def take(dataset: Any, indices: Iterable[int]) -> Any:
    """Return the batch of these indices."""
    if reads_batches(dataset):
        return dataset.__getitems__(list(indices))
    return default_collate([dataset[index] for index in indices])


def keep_batch(batch: Any) -> Any:
    """Collate what :class:`InMemoryDataset` returns, which is a batch already."""
    return batch


def scaled(X: Tensor) -> Tensor:
    """Return X as a network gets it: bytes as float32 in [0, 1], all else as it is."""
    return X.float().div_(255) if X.dtype == torch.uint8 else X


def sample_for_statistics(dataset: Any, *, is_copy: bool = True) -> tuple[Tensor, Tensor]:
    """Return what the statistics of a module are learnt from, scaled as in training.

    Parameters
    ----------
    dataset : InMemoryDataset, ExampleDataset or Subset of one
    is_copy : bool, default=True
        Whether a table in memory is copied, for modules that may write to it.

    Returns
    -------
    X, y : Tensor
        The whole of a table in memory; of anything else at most 10,000 examples, fewer where
        they are large, with the share of positives of all, evenly spaced in each class.
    """
    if isinstance(dataset, InMemoryDataset) and dataset.X.ndim == 2:
        X, y = dataset.X, dataset.y
        return (X.clone(), y.clone()) if is_copy else (X, y)
    if reads_batches(dataset) and dataset[0][0].ndim == 1:
        return take(dataset, range(len(dataset)))
    most = min(_STATISTICS_EXAMPLES, _STATISTICS_ELEMENTS // dataset[0][0].numel())
    # both ends of the order are taken, so that neither class is missing
    order = np.argsort(labels_of(dataset), kind="stable")
    places = np.linspace(0, len(order) - 1, min(len(order), max(most, 2))).round().astype(int)
    X, y = take(dataset, np.sort(order[places]).tolist())
    return scaled(X), y


def inference_batch_size(example_shape: tuple[int, ...]) -> int:
    """Return how many examples are scored at once, fewer where they are large."""
    return min(max(_INFERENCE_ELEMENTS // math.prod(example_shape), 16), 4096)
