"""Data as the training loop reads it: in memory, a batch at a time, or example by example."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import skorch
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    default_collate,
    get_worker_info,
)

from skdam.data.sampling import StratifiedBatchSampler

_INFERENCE_ELEMENTS = 2**20
_SELECTED_ELEMENTS = 2**18
_STATISTICS_ELEMENTS = 2**26
_STATISTICS_EXAMPLES = 10_000
_WORKER_PARAMETERS = {
    "multiprocessing_context",
    "num_workers",
    "prefetch_factor",
    "timeout",
    "worker_init_fn",
}


class InMemoryDataset(skorch.dataset.Dataset):
    """Arrays that a DataLoader reads one batch, not one example, at a time.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n, ...)
        Shared, not copied, also where it is read-only, as a memory map of joblib is: nothing
        may write to it.
    y : ndarray or Tensor of shape (n,) or None, default=None
        Targets. None stands for zeros, which prediction ignores.
    """

    def __init__(self, X: np.ndarray | Tensor, y: np.ndarray | Tensor | None = None) -> None:
        super().__init__(_to_tensor(X), torch.zeros(len(X)) if y is None else _to_tensor(y))

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return the batch of these indices: what a DataLoader looks for first."""
        index = torch.as_tensor(indices, device=self.X.device)
        return self.X.index_select(0, index), self.y.index_select(0, index)


class ExampleDataset(Dataset[tuple[Tensor, Tensor]]):
    """Examples of a user's dataset, one at a time, with targets that are known apart.

    The workers of a loader and the main process each read from an object of their own:
    a file that one has opened, the others would share, and its position with it.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Yields examples, or tuples or lists that begin with one: arrays or tensors.
    y : ndarray of shape (n,)
        Targets.
    kind : tuple
        Shape and dtype that all examples have, see :func:`kind_of`.
    """

    def __init__(
        self, dataset: Dataset[Any], y: np.ndarray, kind: tuple[tuple[int, ...], str]
    ) -> None:
        self._for_workers = dataset
        self._for_main = copy.copy(dataset)
        self._kind = kind
        self.y = torch.from_numpy(y)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        dataset = self._for_main if get_worker_info() is None else self._for_workers
        example = example_of(dataset[index])
        if kind_of(example) != self._kind:
            shape, dtype = kind_of(example)
            raise ValueError(
                f"example {index} of the Dataset has shape {shape} and dtype {dtype}, the first "
                f"one in fit had {self._kind[0]} and {self._kind[1]}."
            )
        return example, self.y[index]


def kind_of(example: np.ndarray | Tensor) -> tuple[tuple[int, ...], str]:
    """Return the shape of an example and the name of its dtype."""
    return tuple(example.shape), str(example.dtype).removeprefix("torch.")


def example_of(item: Any) -> Tensor:
    """Return the example that an item of a dataset is or begins with, as float32 or bytes."""
    if isinstance(item, tuple | list):
        item = item[0]
    if not isinstance(item, np.ndarray | Tensor):
        raise TypeError(
            "a Dataset must yield examples that are arrays or tensors, alone or first in a tuple; "
            f"got {type(item).__name__}."
        )
    example = _to_tensor(item)
    if example.is_complex():
        raise TypeError("a Dataset must yield examples of real numbers, got complex ones.")
    # as of arrays: a table of bytes is one of numbers
    return example if example.dtype == torch.uint8 and example.ndim > 1 else example.float()


def first_example(dataset: Any) -> Tensor:
    """Return the first example of a user's dataset, or raise if it is of no use."""
    if not hasattr(dataset, "__len__") or isinstance(dataset, IterableDataset):
        raise TypeError(
            "a Dataset must have a length and items by index (a map-style Dataset), got "
            f"{type(dataset).__name__}."
        )
    if not len(dataset):
        raise ValueError("the Dataset is empty: it has 0 examples, at least 1 is needed.")
    example = example_of(copy.copy(dataset)[0])
    if not example.ndim or not example.numel():
        raise ValueError(
            f"a Dataset must yield examples with at least one axis and one number, got an example "
            f"of shape {tuple(example.shape)}."
        )
    return example


def read_labels(dataset: Dataset[Any], **loader_parameters: Any) -> np.ndarray:
    """Read all items of a dataset of pairs once, and keep their labels."""
    loader = DataLoader(
        copy.copy(dataset),
        batch_size=256,
        collate_fn=_labels,
        generator=torch.Generator(),
        **{k: v for k, v in loader_parameters.items() if k in _WORKER_PARAMETERS},
    )
    return np.asarray([label for labels in loader for label in labels])


def _labels(items: list[Any]) -> list[Any]:
    if not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        raise TypeError("a Dataset must yield pairs (x, y), unless y is passed beside it.")
    labels = [item[1] for item in items]
    for label in labels:
        if np.asarray(label).size != 1:
            raise ValueError(f"a Dataset must yield one label for each example, got {label!r}.")
    return [label.item() if hasattr(label, "item") else label for label in labels]


def inference_batch_size(example_shape: tuple[int, ...]) -> int:
    """Return how many examples are scored at once, fewer where they are large."""
    return min(max(_INFERENCE_ELEMENTS // math.prod(example_shape), 16), 4096)


def scaled(X: Tensor) -> Tensor:
    """Return X as a network gets it: bytes as float32 in [0, 1], all else as it is."""
    return X.float().div_(255) if X.dtype == torch.uint8 else X


def take(dataset: Any, indices: Iterable[int]) -> Any:
    """Return the batch of these indices."""
    if reads_batches(dataset):
        return dataset.__getitems__(list(indices))
    return default_collate([dataset[index] for index in indices])


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


def resident(dataset: Any, device: torch.device, choice: bool | str) -> Any:
    """Return data in memory as it is or, to train on another device, copied there.

    Parameters
    ----------
    dataset : InMemoryDataset or Subset of one
    device : torch.device
        Where to train.
    choice : bool or "auto"
        Whether to copy. "auto" does on CUDA if X takes at most half of the memory that is free.
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
        return read_labels(dataset)
    return labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)


def _to_tensor(values: np.ndarray | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values
    if not isinstance(values, np.ndarray):
        raise TypeError(f"data must be an ndarray or a Tensor, got {type(values).__name__}.")
    if min(values.strides, default=0) < 0:
        return torch.from_numpy(values.copy())
    with warnings.catch_warnings():
        # torch has no read-only tensors; nothing here writes to data
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(values)
