"""Pieces of the training loops of rivals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from skdam.data.batches import scaled
from skdam.data.memory import InMemoryDataset

Batches = Iterable[tuple[Tensor, Tensor]]
Forward = Callable[[Tensor], Tensor]


def forward_pass(module: nn.Module, device: str, precision: str) -> Forward:
    """Return a forward pass of unscaled inputs in "float32" or "bfloat16", with float32 logits."""

    def forward(inputs: Tensor) -> Tensor:
        with _autocast(device, precision):
            logits = module(scaled(inputs))
        return logits.float()

    return forward


def _autocast(device: str, precision: str) -> AbstractContextManager[object]:
    if precision == "bfloat16":
        return torch.autocast(torch.device(device).type, torch.bfloat16)
    return nullcontext()


def select_batches(dataset: InMemoryDataset, rows: Iterable[Any], device: str) -> Batches:
    """Yield the batches of given rows on a device."""
    for batch in rows:
        X, y = dataset.__getitems__(batch)
        yield X.to(device), y.to(device)


def sgd_epoch(
    forward: Forward, optimizer: torch.optim.Optimizer, batches: Batches, *, n_passes: int = 1
) -> None:
    """Train for an epoch on cross-entropy, with ``n_passes`` steps on each batch."""
    for inputs, targets in batches:
        for _ in range(n_passes):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(forward(inputs), targets).backward()
            optimizer.step()
