"""In-memory data, read a whole batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


class InMemoryDataset(Dataset[tuple[Tensor, Tensor]]):
    """Arrays that a DataLoader reads one batch, not one example, at a time.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n, ...)
        Shared, not copied, where it is writeable.
    y : ndarray or Tensor of shape (n,) or None, default=None
        Targets. None stands for zeros, which prediction ignores.
    """

    def __init__(self, X: np.ndarray | Tensor, y: np.ndarray | Tensor | None = None) -> None:
        self.X = _to_tensor(X)
        self.y = torch.zeros(len(X)) if y is None else _to_tensor(y)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.X[index], self.y[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return the batch of these indices: what a DataLoader looks for first."""
        index = torch.as_tensor(indices)
        return self.X.index_select(0, index), self.y.index_select(0, index)


def keep_batch(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Collate what :class:`InMemoryDataset` returns, which is a batch already."""
    return batch


def _to_tensor(values: np.ndarray | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values
    # torch has no read-only tensors, and memory-mapped arrays from joblib are read-only
    return torch.from_numpy(values if values.flags.writeable else values.copy())
