"""Datasets, data and estimators that several test files use."""

import numpy as np
from torch.utils.data import Dataset, IterableDataset

from skdam import CompositionalAUCClassifier


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
