"""Stratified sampling: batches with fixed numbers of positives and negatives."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import BatchSampler, Sampler

from skdam._numbers import as_number, check_ints


class StratifiedBatchSampler(Sampler[list[int]]):
    """Yield batches of indices with fixed numbers of positives and negatives.

    Each class is shuffled separately, and again whenever it is exhausted. So, over time,
    all examples of a class are drawn equally often, whichever class is smaller. An epoch
    has as many batches as it takes to draw ``n`` examples. Random numbers come from the
    sampler's own generator.

    Parameters
    ----------
    y : array-like or Tensor of shape (n,)
        Labels, 0 or 1 (or bool), with at least one of each.
    batch_size : int, default=128
        Examples in a batch, >= 2. If it is larger than ``n``, a batch has ``n`` examples.
    sampling_rate : float, default=0.5
        Share of positives in a batch, in (0, 1):
        ``round(sampling_rate * batch_size)`` positives, at least one of each class.
    random_state : int, numpy.random.SeedSequence or None, default=None
        Seed of the sampler's generator. None draws a new seed.

    Attributes
    ----------
    n_positive, n_negative : int
        Examples of each class in a batch.

    Raises
    ------
    ValueError
        If y does not hold both classes and nothing else, or a parameter is out of range.

    Examples
    --------
    >>> from skdam import StratifiedBatchSampler
    >>> sampler = StratifiedBatchSampler([0, 0, 0, 0, 0, 1], batch_size=2, random_state=0)
    >>> len(sampler)
    3
    >>> [sum(index == 5 for index in batch) for batch in sampler]
    [1, 1, 1]
    """

    def __init__(
        self,
        y: ArrayLike | torch.Tensor,
        batch_size: int = 128,
        *,
        sampling_rate: float = 0.5,
        random_state: int | np.random.SeedSequence | None = None,
    ) -> None:
        labels = np.asarray(y)
        if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
            raise ValueError("y must be 1-D and hold 0 and 1 only.")
        positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
        if not len(positives) or not len(negatives):
            raise ValueError(
                f"y must hold both classes, got {len(positives)} positives and "
                f"{len(negatives)} negatives."
            )
        check_ints(2, batch_size=batch_size)
        rate = as_number("sampling_rate", sampling_rate)
        if not 0 < rate < 1:
            raise ValueError(f"sampling_rate must be a number in (0, 1), got {sampling_rate!r}.")
        size = min(int(batch_size), len(labels))
        self.n_positive = min(max(round(rate * size), 1), size - 1)
        self.n_negative = size - self.n_positive
        self._n_batches = -(-len(labels) // size)
        self._generator = np.random.default_rng(random_state)
        # int32 takes half the memory
        dtype = np.int32 if len(labels) <= np.iinfo(np.int32).max else np.int64
        self._walks = (_ClassWalk(positives.astype(dtype)), _ClassWalk(negatives.astype(dtype)))
        self._epoch_start = self._snapshot()
        self._n_yielded = 0
        self._n_skipped = 0

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of an epoch, or the rest of one after loading a state.

        Raises
        ------
        TypeError
            If a DataLoader has this sampler as its ``sampler``, which would make one batch of
            several.
        """
        caller = sys._getframe(1).f_code
        if caller is BatchSampler.__iter__.__code__:
            raise TypeError(
                "a StratifiedBatchSampler yields batches: use "
                "DataLoader(dataset, batch_sampler=sampler) instead of sampler=sampler."
            )
        return chain.from_iterable(block.tolist() for block in self.epoch())

    def epoch(
        self, device: torch.device | str = "cpu", n_together: int = 1
    ) -> Iterator[torch.Tensor]:
        """Yield the batches of an epoch as tensors of indices on a device.

        The indices of the whole epoch are moved to the device at once.

        Parameters
        ----------
        device : torch.device or str, default="cpu"
        n_together : int, default=1
            Batches in a tensor, fewer in the last. They count as yielded together.

        Yields
        ------
        Tensor of shape (n_together, n_positive + n_negative), int32 or int64
            The rows are batches, in each of which the positives come first.
        """
        self._epoch_start = self._snapshot()
        batches = np.hstack(
            [
                walk.take(size * self._n_batches, self._generator).reshape(-1, size)
                for walk, size in zip(self._walks, (self.n_positive, self.n_negative), strict=True)
            ]
        )
        on_device = torch.from_numpy(batches).to(device)
        start, self._n_skipped = self._n_skipped, 0
        for index in range(start, self._n_batches, n_together):
            block = on_device[index : index + n_together]
            self._n_yielded = index + len(block)
            yield block
        self._epoch_start = self._snapshot()
        self._n_yielded = 0

    @property
    def n_yielded(self) -> int:
        """How many batches of the current epoch have been yielded."""
        return self._n_yielded

    def state_dict(self) -> dict[str, Any]:
        """Return the position: the generator, the order of each class, the batches yielded.

        After loading it into a sampler of the same data, the next epoch yields the rest of
        the current one. A DataLoader with workers runs ahead of the training: batches that
        it has requested count as yielded.
        """
        # tensors, because torch.load with weights_only refuses NumPy arrays
        orders = [torch.from_numpy(order.copy()) for order in self._epoch_start["orders"]]
        return self._epoch_start | {"orders": orders, "n_yielded": self._n_yielded}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a position; the argument is neither changed nor shared.

        Parameters
        ----------
        state_dict : dict
            From :meth:`state_dict`.

        Raises
        ------
        ValueError
            If the state is of other data or of batches with other numbers of positives and
            negatives.
        """
        for walk, order in zip(self._walks, state_dict["orders"], strict=True):
            if not np.array_equal(np.sort(walk.order), np.sort(order.numpy())):
                raise ValueError("the state dict is of other data: its classes hold other rows.")
        batch = [self.n_positive, self.n_negative]
        if state_dict["batch"] != batch:
            raise ValueError(
                f"the state dict is of batches with {state_dict['batch']} positives and "
                f"negatives, this sampler's have {batch}."
            )
        self._generator.bit_generator.state = state_dict["generator"]
        for walk, order, position in zip(
            self._walks, state_dict["orders"], state_dict["positions"], strict=True
        ):
            walk.order, walk.position = order.numpy().astype(walk.order.dtype), position
        self._epoch_start = self._snapshot()
        self._n_yielded = self._n_skipped = state_dict["n_yielded"]

    def _snapshot(self) -> dict[str, Any]:
        return {
            "generator": self._generator.bit_generator.state,
            # no copies needed: reshuffling makes a new array
            "orders": [walk.order for walk in self._walks],
            "positions": [walk.position for walk in self._walks],
            "batch": [self.n_positive, self.n_negative],
        }


class _ClassWalk:
    """The examples of one class, repeated without end and reshuffled at each pass."""

    def __init__(self, members: np.ndarray) -> None:
        self.order = members
        self.position = len(members)

    def take(self, count: int, generator: np.random.Generator) -> np.ndarray:
        parts = []
        while count:
            if self.position == len(self.order):
                self.order = generator.permutation(self.order)
                self.position = 0
            part = self.order[self.position : self.position + count]
            self.position += len(part)
            count -= len(part)
            parts.append(part)
        return np.concatenate(parts)
