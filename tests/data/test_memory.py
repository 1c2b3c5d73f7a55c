import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from skdam.data.memory import InMemoryDataset, is_in_memory, resident


@pytest.mark.parametrize("is_writeable", [True, False])
def test_arrays_are_shared_even_if_read_only(is_writeable):
    X = np.zeros((3, 2), dtype=np.float32)
    X.setflags(write=is_writeable)
    assert InMemoryDataset(X).X.data_ptr() == X.ctypes.data


def test_reversed_arrays_are_copied():
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(InMemoryDataset(X[::-1]).X, X[::-1])


def test_data_other_than_arrays_and_tensors_are_refused():
    with pytest.raises(TypeError, match="must be an ndarray or a Tensor, got list"):
        InMemoryDataset([[1.0]])


def test_single_items_and_missing_targets():
    dataset = InMemoryDataset(torch.ones(4, 2))
    x, y = dataset[2]
    assert len(dataset) == 4
    assert torch.equal(x, torch.ones(2))
    assert y == 0


def test_subsets_of_data_in_memory_are_in_memory():
    dataset = InMemoryDataset(torch.ones(4, 2))
    assert is_in_memory(Subset(Subset(dataset, [0, 2]), [1]))
    assert not is_in_memory(Subset([1, 2], [0]))


def test_data_is_copied_to_the_device_if_it_fits(monkeypatch):
    dataset = Subset(InMemoryDataset(np.zeros((6, 4), dtype=np.float32)), [3, 1])
    cuda, meta, cpu = map(torch.device, ("cuda", "meta", "cpu"))
    assert resident(dataset, cpu, "auto") is dataset
    assert resident(dataset, meta, False) is dataset
    moved = resident(dataset, meta, True)
    assert moved.indices == [3, 1]
    assert moved.dataset.X.device == moved.dataset.y.device == meta
    free = 2 * 6 * 4 * 4
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - 1, 10**9))
    assert resident(dataset, cuda, "auto") is dataset
    sent = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: sent.append(device) or self)
    assert resident(dataset, cuda, "auto") is not dataset
    assert sent == [cuda, cuda]
