"""The data and networks that training steps are timed on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.models.strategies import PLAIN_NETWORK
from skdam import ResNet20, TabularMLP
from skdam.data.batches import scaled

BATCH_SIZE = 128
N_FEATURES = 30
NETWORKS = ("perceptron", "resnet20")


class Problem(NamedTuple):
    """Data, a network and a device."""

    X: np.ndarray
    y: np.ndarray
    network: str
    device: str

    @classmethod
    def make(cls, n_rows: int, network: str, device: str) -> Problem:
        """Return a problem with about 10 % positives."""
        rng = np.random.default_rng(0)
        if network == "resnet20":
            X: np.ndarray = rng.integers(0, 256, size=(n_rows, 3, 32, 32), dtype=np.uint8)
            signal = X[:, 0, 0, 0] / 128 - 1
        else:
            X = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
            signal = X[:, 0]
        y = (signal + rng.normal(size=n_rows) > 1.8).astype(np.float32)
        return cls(X, y, network, device)

    def make_module(self, **parameters: Any) -> nn.Module:
        """Return a network with its statistics fitted; the parameters change a plain perceptron."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if self.network == "resnet20":
                module: TabularMLP | ResNet20 = ResNet20(in_channels=3, **parameters)
            else:
                parameters = {"n_members": 1} | dict(PLAIN_NETWORK) | parameters
                module = TabularMLP(N_FEATURES, **parameters)
        module.fit_statistics(scaled(torch.from_numpy(self.X)), torch.from_numpy(self.y))
        return module.to(self.device)

    @property
    def is_on_cuda(self) -> bool:
        """Whether the device is an NVIDIA GPU, which computes asynchronously."""
        return torch.device(self.device).type == "cuda"

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return the data on the device."""
        return torch.from_numpy(self.X).to(self.device), torch.from_numpy(self.y).to(self.device)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.is_on_cuda:
            torch.cuda.synchronize()
