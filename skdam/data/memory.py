"""Datasets in memory, which a DataLoader reads one batch at a time."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import skorch
import torch
from torch import Tensor
from torch.utils.data import Subset

from skdam._targets import rows_of


class InMemoryDataset(skorch.dataset.Dataset):
    """Arrays from which a DataLoader reads a batch at once instead of single examples.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n, ...)
        Shared without a copy, even if it is read-only, as a memory map of joblib is.
        Nothing may write to it.
    y : ndarray or Tensor of shape (n,) or None, default=None
        Targets, with weights if it is a ``Targets``. None stands for zeros; prediction ignores
        them.

    Raises
    ------
    TypeError
        If X or y is neither an array nor a tensor.
    """

    def __init__(self, X: np.ndarray | Tensor, y: np.ndarray | Tensor | None = None) -> None:
        super().__init__(to_tensor(X), torch.zeros(len(X)) if y is None else to_tensor(y))

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return the batch of these indices; a DataLoader calls this if it is defined."""
        index = torch.as_tensor(indices, device=self.X.device)
        return self.X.index_select(0, index), rows_of(self.y, index)


def to_tensor(values: np.ndarray | Tensor) -> Tensor:
    """Return an array as a tensor of the same dtype, which shares memory where torch allows it."""
    if isinstance(values, Tensor):
        return values
    if not isinstance(values, np.ndarray):
        raise TypeError(f"data must be an ndarray or a Tensor, got {type(values).__name__}.")
    if min(values.strides, default=0) < 0:
        return torch.from_numpy(values.copy())
    with warnings.catch_warnings():
        # torch has no read-only tensors; the package never writes to data
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(values)


def check_dense(tensor: Tensor, what: str) -> None:
    """Raise TypeError unless a tensor is an ordinary one, with a real number in each place.

    Parameters
    ----------
    tensor : Tensor
    what : str
        What it is, for the message.
    """
    remedies = {
        "nested": (tensor.is_nested, "pad it, as with .to_padded_tensor(0.0)"),
        "sparse": (tensor.layout != torch.strided, "pass .to_dense()"),
        "quantized": (tensor.is_quantized, "pass .dequantize()"),
        "meta": (tensor.is_meta, "it holds no data"),
    }
    for kind, (is_one, remedy) in remedies.items():
        if is_one:
            raise TypeError(f"{what} is a {kind} tensor, and a dense one is needed; {remedy}.")


def to_array(tensor: Tensor, what: str) -> np.ndarray:
    """Return a tensor as an array, one of bfloat16 or of eight bits as float32.

    Raises
    ------
    TypeError
        If the tensor is sparse, quantized, nested or without data.
    """
    check_dense(tensor, what)
    is_known = tensor.dtype in (torch.float16, torch.float32, torch.float64)
    if tensor.is_floating_point() and not is_known:
        tensor = tensor.float()
    return tensor.numpy(force=True)


def is_in_memory(dataset: Any) -> bool:
    """Return whether a dataset is an :class:`InMemoryDataset` or a Subset of one."""
    return isinstance(unwrapped(dataset)[0], InMemoryDataset)


def unwrapped(dataset: Any) -> tuple[Any, torch.Tensor | None]:
    """Return the dataset of which a dataset is a Subset, and its rows there; None for all."""
    rows: torch.Tensor | None = None
    while isinstance(dataset, Subset):
        indices = torch.as_tensor(dataset.indices)
        rows = indices if rows is None else indices[rows]
        dataset = dataset.dataset
    return dataset, rows


def rows_in_memory(dataset: Any, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return X and targets of data in memory, or of some rows of it.

    Parameters
    ----------
    dataset : InMemoryDataset or Subset of one
    rows : Tensor of shape (n,), int64, or None, default=None
        None for all, which are not copied unless they are a subset.
    """
    dataset, of_subset = unwrapped(dataset)
    if of_subset is not None:
        rows = of_subset if rows is None else of_subset[rows]
    X, y = dataset.X, dataset.y
    return (X, y) if rows is None else (X[rows], rows_of(y, rows))


def resident(dataset: Any, device: torch.device, choice: bool | str) -> Any:
    """Return data in memory for training on a device: as it is, or copied there.

    Parameters
    ----------
    dataset : InMemoryDataset or Subset of one
    device : torch.device
        The device to train on.
    choice : bool or "auto"
        Whether to copy. "auto" copies to CUDA if X takes at most half of the free memory.

    Returns
    -------
    InMemoryDataset or Subset of one
    """
    if isinstance(dataset, Subset):
        moved = resident(dataset.dataset, device, choice)
        return dataset if moved is dataset.dataset else Subset(moved, dataset.indices)
    X, y = dataset.X, dataset.y
    if choice == "auto":
        choice = device.type == "cuda" and 2 * X.nbytes <= torch.cuda.mem_get_info(device)[0]
    if not choice or _is_on(X, device):
        return dataset
    moved = copy.copy(dataset)
    moved.X, moved.y = X.to(device), y.to(device)
    return moved


def _is_on(X: Tensor, device: torch.device) -> bool:
    return X.device.type == device.type and device.index in (None, X.device.index)
