import numpy as np
import torch
from torch.utils.data import DataLoader

from skdam.data import InMemoryDataset, keep_batch


def test_memory_is_shared_where_it_is_writeable():
    X = np.zeros((3, 2), dtype=np.float32)
    dataset = InMemoryDataset(X)
    X[1, 1] = 5
    assert dataset.X[1, 1] == 5


def test_read_only_arrays_are_copied():
    X = np.zeros((3, 2), dtype=np.float32)
    X.setflags(write=False)
    dataset = InMemoryDataset(X)
    dataset.X[0, 0] = 1
    assert X[0, 0] == 0


def test_batches_are_the_rows_asked_for():
    X = np.arange(20, dtype=np.float32).reshape(10, 2)
    y = np.arange(10, dtype=np.float32)
    loader = DataLoader(
        InMemoryDataset(X, y), batch_sampler=[[3, 1], [9, 9, 0]], collate_fn=keep_batch
    )
    for (batch, targets), rows in zip(loader, [[3, 1], [9, 9, 0]], strict=True):
        np.testing.assert_array_equal(batch, X[rows])
        np.testing.assert_array_equal(targets, y[rows])


def test_single_items_and_missing_targets():
    dataset = InMemoryDataset(torch.ones(4, 2))
    x, y = dataset[2]
    assert len(dataset) == 4
    assert torch.equal(x, torch.ones(2))
    assert y == 0
