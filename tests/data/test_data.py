import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from skdam.data.batches import inference_batch_size, keep_batch, sample_for_statistics
from skdam.data.examples import ExampleDataset, read_labels
from skdam.data.memory import InMemoryDataset, resident


@pytest.mark.parametrize("is_writeable", [True, False])
def test_memory_is_shared(is_writeable):
    X = np.zeros((3, 2), dtype=np.float32)
    X.setflags(write=is_writeable)
    assert InMemoryDataset(X).X.data_ptr() == X.ctypes.data


def test_reversed_arrays_are_copied():
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(InMemoryDataset(X[::-1]).X, X[::-1])


def test_a_module_may_write_to_its_sample_of_a_table():
    X = np.zeros((3, 2), dtype=np.float32)
    sample_for_statistics(InMemoryDataset(X, np.arange(3.0)))[0].add_(1)
    assert not X.any()


def test_data_goes_to_the_device_if_it_fits(monkeypatch):
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


class Pairs(Dataset):
    """Three-channel images and their labels, one at a time."""

    def __init__(self, X, y):
        self.X, self.y_ = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.y_[index]


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int16])
def test_examples_become_float32_or_stay_bytes(dtype):
    X = np.arange(24).reshape(4, 6).astype(dtype)
    X = X.reshape(4, 2, 3)
    kind = ((2, 3), "uint8" if dtype == np.uint8 else "float32")
    dataset = ExampleDataset(Pairs(X, "abcd"), np.array([0, 1, 0, 1], dtype=np.float32), kind)
    example, target = dataset[1]
    assert example.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
    np.testing.assert_array_equal(example, X[1])
    assert target == 1


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    "labels", [list("abac"), torch.tensor([1, 0, 1, 2]), np.array([0.5, 1.5, 0.5, 2.5])], ids=str
)
def test_labels_are_read_in_order(labels, num_workers):
    read = read_labels(Pairs(np.zeros((4, 2)), labels), num_workers=num_workers)
    np.testing.assert_array_equal(read, np.asarray(labels))


def test_statistics_of_a_table_in_memory_are_of_all_of_it():
    dataset = InMemoryDataset(np.ones((20_000, 2), dtype=np.float32))
    assert sample_for_statistics(dataset, copy=False)[0] is dataset.X
    torch.testing.assert_close(sample_for_statistics(dataset)[0], dataset.X)


@pytest.mark.parametrize("in_memory", [True, False])
def test_statistics_of_images_are_of_a_sample_of_both_classes(in_memory):
    y = np.zeros(25_000, dtype=np.float32)
    y[12_345] = 1
    X = np.full((25_000, 1, 1, 2), 51, dtype=np.uint8)
    dataset = (
        InMemoryDataset(X, y) if in_memory else ExampleDataset(Pairs(X, y), y, ((1, 1, 2), "uint8"))
    )
    sample, targets = sample_for_statistics(dataset)
    assert sample.shape == (10_000, 1, 1, 2)
    assert targets.sum() == 1
    torch.testing.assert_close(sample, torch.full_like(sample, 0.2))


def test_statistics_keep_the_share_of_positives_and_take_less_of_large_images(monkeypatch):
    monkeypatch.setattr("skdam.data.batches._STATISTICS_ELEMENTS", 100 * 64)
    y = (np.arange(1000) % 5 == 0).astype(np.float32)
    X = np.zeros((1000, 1, 8, 8), dtype=np.float32)
    sample, targets = sample_for_statistics(InMemoryDataset(X, y))
    assert len(sample) == 100
    assert targets.sum() == pytest.approx(20, abs=1)


def test_large_examples_are_scored_in_small_batches():
    sizes = [inference_batch_size(shape) for shape in [(30,), (3, 32, 32), (1, 99, 99), (10**7,)]]
    assert sizes == [4096, 2**20 // 3072, 2**20 // 99**2, 16]
