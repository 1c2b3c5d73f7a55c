"""In-memory data, read a whole batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import skorch
import torch
from torch import Tensor
from torch.utils.data import Subset


class InMemoryDataset(skorch.dataset.Dataset):
    """Arrays that a DataLoader reads one batch, not one example, at a time.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n, ...)
        Shared, not copied, where it is writeable.
    y : ndarray or Tensor of shape (n,) or None, default=None
        Targets. None stands for zeros, which prediction ignores.
    """

    def __init__(self, X: np.ndarray | Tensor, y: np.ndarray | Tensor | None = None) -> None:
        super().__init__(_to_tensor(X), torch.zeros(len(X)) if y is None else _to_tensor(y))

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return the batch of these indices: what a DataLoader looks for first."""
        index = torch.as_tensor(indices, device=self.X.device)
        return self.X.index_select(0, index), self.y.index_select(0, index)


def keep_batch(batch: Any) -> Any:
    """Collate what :class:`InMemoryDataset` returns, which is a batch already."""
    return batch


def reads_batches(dataset: Any) -> bool:
    """Return whether a dataset is in memory, as a whole or as a part of one that is."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return isinstance(dataset, InMemoryDataset)


def labels_of(dataset: Any) -> np.ndarray:
    """Return the targets of a dataset: its ``y`` or, without one, those of its items."""
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices)]
    labels = getattr(dataset, "y", None)
    if labels is None:
        labels = [dataset[index][1] for index in range(len(dataset))]
    return labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)


def _to_tensor(values: np.ndarray | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values
    if not isinstance(values, np.ndarray):
        raise TypeError(f"data must be an ndarray or a Tensor, got {type(values).__name__}.")
    # torch has no read-only tensors, as joblib's memory-mapped arrays are, nor reversed ones
    usable = values.flags.writeable and min(values.strides, default=0) >= 0
    return torch.from_numpy(values if usable else values.copy())
