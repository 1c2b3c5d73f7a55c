"""Datasets of users, read one example at a time, and the labels of any dataset."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import numpy as np
import skorch
import torch
from skorch.helper import SliceDataset
from skorch.utils import is_skorch_dataset
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, get_worker_info

from skdam._targets import are_plain, folds_of, rows_of, weights_of
from skdam.data.memory import InMemoryDataset, check_dense, to_tensor, unwrapped

_WORKER_PARAMETERS = {
    "multiprocessing_context",
    "num_workers",
    "prefetch_factor",
    "timeout",
    "worker_init_fn",
}


class ExampleDataset(Dataset[tuple[Tensor, Tensor]]):
    """Examples of a user's dataset, read one at a time, with separate targets.

    Loader workers and the main process each read from their own copy of the dataset object.
    Otherwise a file opened by one would be shared with the others, together with its position.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Yields examples, or tuples or lists that begin with one: arrays or tensors.
    y : ndarray or Tensor of shape (n,)
        Targets, with weights if it is a ``Targets``.
    kind : tuple
        Shape and dtype of every example, see :func:`kind_of`.

    Attributes
    ----------
    numbers : ndarray of shape (n,) or None
        The index of each example in the user's dataset, if some of that are left out; else None.

    Raises
    ------
    TypeError
        On access, if the dataset yields anything but arrays or tensors of real numbers.
    ValueError
        On access, if an example has another shape or dtype, or an infinite value.
    """

    numbers: np.ndarray | None = None

    def __init__(
        self, dataset: Dataset[Any], y: np.ndarray | Tensor, kind: tuple[tuple[int, ...], str]
    ) -> None:
        self._for_workers = dataset
        self._for_main = copied(dataset)
        self._kind = kind
        self.y = to_tensor(y)

    def __len__(self) -> int:
        return len(self.y)

    def __getstate__(self) -> dict[str, Any]:
        # a file that the main process has opened cannot be pickled, and workers do not need it
        return vars(self) | {"_for_main": self._for_workers}

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._example(index), self.y[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Return the batch of these indices; a DataLoader calls this if it is defined."""
        X = torch.stack([self._example(i) for i in indices])
        # networks that clip their input would hide it
        if X.isinf().any():
            first = int(X.isinf().flatten(1).any(1).nonzero()[0])
            number = number_of(self, indices[first])
            raise ValueError(f"X has an infinite value in example {number}.")
        return X, rows_of(self.y, torch.as_tensor(indices))

    def _example(self, index: int) -> Tensor:
        dataset = self._for_main if get_worker_info() is None else self._for_workers
        example = example_of(dataset[index])
        if kind_of(example) != self._kind:
            shape, dtype = kind_of(example)
            raise ValueError(
                f"example {number_of(self, index)} of the Dataset has shape {shape} and dtype "
                f"{dtype}, the first one in fit had {self._kind[0]} and {self._kind[1]}."
            )
        return example


def number_of(dataset: Any, index: int) -> int:
    """Return the index that an example of a dataset, or of a Subset of it, has for the user."""
    whole, rows = unwrapped(dataset)
    index = index if rows is None else int(rows[index])
    numbers = getattr(whole, "numbers", None)
    return index if numbers is None else int(numbers[index])


class LabelledDataset(skorch.dataset.Dataset):
    """A dataset with what skorch's scorings ask of one: ``X``, which is the dataset, and ``y``.

    Everything else is that of the dataset.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Labels are read from it when they are asked for, see :func:`labels_of`.
    """

    def __init__(self, dataset: Any) -> None:
        self.X = dataset

    @cached_property
    def y(self) -> np.ndarray:
        """The labels, of shape (n,)."""
        return labels_of(self.X)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: Any) -> Any:
        return self.X[index]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "X":
            raise AttributeError(name)
        return getattr(self.X, name)


def labelled(dataset: Any) -> Any:
    """Return a dataset that skorch's scorings can score: the dataset itself, if it is skorch's."""
    return dataset if is_skorch_dataset(dataset) else LabelledDataset(dataset)


def copied(dataset: Any, copies: dict[int, Any] | None = None) -> Any:
    """Return a copy of a dataset and of those that it wraps, which can open files of its own.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or skorch.helper.SliceDataset
        Everything that is neither is shared with the copy.
    copies : dict or None, default=None
        Copies that there are already, by the id of what they are copies of.
    """
    copies = {} if copies is None else copies
    if id(dataset) in copies:
        return copies[id(dataset)]
    copy_of = copies[id(dataset)] = copy.copy(dataset)
    for name, value in getattr(copy_of, "__dict__", {}).items():
        if _is_dataset(value):
            setattr(copy_of, name, copied(value, copies))
        elif isinstance(value, list) and value and all(map(_is_dataset, value)):
            setattr(copy_of, name, [copied(item, copies) for item in value])
    return copy_of


def _is_dataset(value: Any) -> bool:
    return isinstance(value, Dataset | SliceDataset)


def yields_batches(dataset: Any) -> bool:
    """Return whether a dataset reads whole batches: one of ours, or a Subset of one."""
    return isinstance(unwrapped(dataset)[0], InMemoryDataset | ExampleDataset)


def kind_of(example: np.ndarray | Tensor) -> tuple[tuple[int, ...], str]:
    """Return the shape of an example and the name of its dtype."""
    return tuple(example.shape), str(example.dtype).removeprefix("torch.")


def example_of(item: Any) -> Tensor:
    """Return the example in an item of a dataset, as float32 or bytes.

    Parameters
    ----------
    item : ndarray or Tensor, or tuple or list that begins with one

    Returns
    -------
    Tensor
        uint8 if the example is and has at least two axes, else float32.

    Raises
    ------
    TypeError
        If the example is not an array or a tensor of real numbers.
    """
    if isinstance(item, tuple | list):
        item = item[0]
    if not isinstance(item, np.ndarray | Tensor):
        raise TypeError(
            "a Dataset must yield examples that are arrays or tensors, alone or first in a tuple; "
            f"got {type(item).__name__}."
        )
    example = to_tensor(item)
    check_dense(example, "an example of a Dataset")
    if example.is_complex():
        raise TypeError("a Dataset must yield examples of real numbers, got complex ones.")
    # bytes in a table are plain numbers, as they are in an array
    return example if example.dtype == torch.uint8 and example.ndim > 1 else example.float()


def first_example(dataset: Any) -> Tensor:
    """Return the first example of a user's dataset.

    Raises
    ------
    TypeError
        If the dataset is not map-style, or its examples are not arrays or tensors of real
        numbers.
    ValueError
        If the dataset or its first example is empty, or the example has no axis.
    """
    if not hasattr(dataset, "__len__") or isinstance(dataset, IterableDataset):
        raise TypeError(
            "a Dataset must have a length and items by index (a map-style Dataset), got "
            f"{type(dataset).__name__}."
        )
    if not len(dataset):
        raise ValueError("the Dataset is empty: it has 0 examples, at least 1 is needed.")
    example = example_of(copied(dataset)[0])
    if not example.ndim or not example.numel():
        raise ValueError(
            f"a Dataset must yield examples with at least one axis and one number, got an example "
            f"of shape {tuple(example.shape)}."
        )
    return example


def labels_of(dataset: Any) -> np.ndarray:
    """Return the labels of a dataset: its ``y`` or, without one, those of its items.

    Returns
    -------
    ndarray of shape (n,)
    """
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices)]
    labels = getattr(dataset, "y", None)
    if labels is None:
        return read_labels(dataset)
    return labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)


def sample_weights_of(dataset: Any) -> np.ndarray | None:
    """Return the weights of the examples of a dataset, None if they are equal."""
    if isinstance(dataset, Subset):
        of_all = sample_weights_of(dataset.dataset)
        return None if of_all is None else of_all[np.asarray(dataset.indices)]
    weights = weights_of(getattr(dataset, "y", None))
    return None if weights is None else weights.cpu().numpy()


def has_plain_targets(dataset: Any) -> bool:
    """Return whether the targets of a dataset have neither weights nor folds."""
    return are_plain(getattr(unwrapped(dataset)[0], "y", None))


def has_folds(dataset: Any) -> bool:
    """Return whether the targets of a dataset have folds."""
    return folds_of(getattr(unwrapped(dataset)[0], "y", None)) is not None


def read_labels(dataset: Dataset[Any], **loader_parameters: Any) -> np.ndarray:
    """Read all items of a dataset of pairs once and return their labels.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Yields pairs (x, y).
    **loader_parameters
        Parameters of a DataLoader, of which only those that concern workers are used.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    TypeError
        If an item is not a pair.
    ValueError
        If an item has more than one label.
    """
    loader = DataLoader(
        copied(dataset),
        batch_size=256,
        collate_fn=_labels_of_pairs,
        generator=torch.Generator(),
        **{k: v for k, v in loader_parameters.items() if k in _WORKER_PARAMETERS},
    )
    return np.asarray([label for labels in loader for label in labels])


def _labels_of_pairs(items: list[Any]) -> list[Any]:
    if not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        raise TypeError("a Dataset must yield pairs (x, y), unless y is passed separately.")
    labels = [item[1] for item in items]
    for label in labels:
        if np.asarray(label).size != 1:
            raise ValueError(f"a Dataset must yield one label for each example, got {label!r}.")
    return [label.item() if hasattr(label, "item") else label for label in labels]
