"""Datasets, data and estimators that several test files use."""

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import Dataset, IterableDataset

from skdam import CompositionalAUCClassifier, CompositionalAUCNet


class UserDataset(Dataset):
    """A map-style Dataset as users write them, which counts how often each item is read."""

    def __init__(self, X, y=None):
        self.X, self.labels = X, y
        self.n_reads = np.zeros(len(X), dtype=int)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        self.n_reads[index] += 1
        return self.X[index] if self.labels is None else (self.X[index], self.labels[index])


class Stream(IterableDataset):
    """An empty Dataset without length and index."""

    def __iter__(self):
        return iter(())


def columns_of_many_scales(n):
    """Four columns of very different scales as float32, the last one constant."""
    X = np.random.default_rng(0).normal(size=(n, 4))
    return (X * [1e-3, 1.0, 1e4, 0.0] + [0.0, -5.0, 1e5, 0.1]).astype(np.float32)


def image_classifier(**parameters):
    """A classifier with a small ResNet20 by default, for images."""
    defaults = {"max_epochs": 2, "random_state": 0, "module__width": 2}
    return CompositionalAUCClassifier(**(defaults | parameters))


def make_net(kind=CompositionalAUCNet, module=nn.Linear, **parameters):
    defaults = {
        "module__in_features": 4,
        "module__out_features": 1,
        "max_epochs": 4,
        "batch_size": 50,
        "random_state": 0,
        "verbose": 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return kind(module, **(defaults | parameters)).initialize()


def fit(net, toy):
    return net.partial_fit(*toy)


class Members(nn.Module):
    """Linear members in one layer."""

    def __init__(self, n_members=3, n_returned=3):
        super().__init__()
        self.n_members = n_members
        self.linear = nn.Linear(4, n_returned)

    def forward(self, X):
        return self.linear(X)


class PhaseCounter(Callback):
    """Counts the phases of the losses that are evaluated for a gradient."""

    def on_train_begin(self, net, **kwargs):
        self.phases = []
        wrapped = net.criterion_.forward

        def forward(logits, targets, phase):
            if torch.is_grad_enabled():
                self.phases.append(phase[0])
            return wrapped(logits, targets, phase)

        net.criterion_.forward = forward

    def __str__(self):
        return "".join(self.phases)
