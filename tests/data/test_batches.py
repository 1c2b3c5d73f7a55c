import numpy as np
import pytest
import torch
from helpers import UserDataset
from torch import nn
from torch.utils.data import DataLoader, Subset

from skdam import CompositionalAUCClassifier, StratifiedBatchSampler
from skdam.data.batches import (
    consecutive_batches,
    inference_batch_size,
    keep_batch,
    sample_for_statistics,
    scaled,
    take,
    whole_batches,
)
from skdam.data.examples import ExampleDataset
from skdam.data.memory import InMemoryDataset


@pytest.fixture
def numbered():
    """A table in memory whose rows and targets tell their index; every fourth is positive."""
    X = torch.arange(40.0).reshape(20, 2)
    return InMemoryDataset(X, (torch.arange(20) % 4 == 0).float())


def test_a_loader_yields_the_requested_rows():
    X = np.arange(20, dtype=np.float32).reshape(10, 2)
    y = np.arange(10, dtype=np.float32)
    loader = DataLoader(
        InMemoryDataset(X, y), batch_sampler=[[3, 1], [9, 9, 0]], collate_fn=keep_batch
    )
    for (batch, targets), rows in zip(loader, [[3, 1], [9, 9, 0]], strict=True):
        np.testing.assert_array_equal(batch, X[rows])
        np.testing.assert_array_equal(targets, y[rows])


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("is_subset", [True, False])
def test_whole_batches_are_the_batches_of_the_sampler(numbered, one_by_one, is_subset):
    dataset = Subset(Subset(numbered, range(19, -1, -1)), range(2, 16)) if is_subset else numbered
    y = numbered.y.flip(0)[2:16] if is_subset else numbered.y
    sampler, same = (StratifiedBatchSampler(y, 5, random_state=0) for _ in range(2))
    device = torch.device("cpu")
    batches = list(whole_batches(dataset, sampler, device, one_by_one=one_by_one))
    for (X, targets), rows in zip(batches, same, strict=True):
        expected, expected_targets = take(dataset, rows)
        assert torch.equal(X, expected)
        assert torch.equal(targets, expected_targets)


def test_changed_targets_of_a_batch_are_those_of_no_other(numbered):
    sampler = StratifiedBatchSampler(numbered.y, 5, random_state=0)
    sums = []
    for _, targets in whole_batches(numbered, sampler, torch.device("cpu"), one_by_one=False):
        sums.append(targets.sum().item())
        targets.numpy()[:] = 0
    assert sums == [sums[0]] * len(sampler)
    assert sums[0] > 0
    assert numbered.y.any()


@pytest.mark.parametrize("is_subset", [True, False])
def test_consecutive_batches_are_copies_in_the_order_of_the_data(numbered, is_subset):
    dataset = Subset(numbered, range(3, 18)) if is_subset else numbered
    expected = numbered.X[3:18].clone() if is_subset else numbered.X.clone()
    seen = []
    for X, _ in consecutive_batches(dataset, 6):
        seen.append(X.clone())
        X.zero_()
    assert max(map(len, seen)) == 6
    assert torch.equal(torch.cat(seen), expected)
    assert numbered.X.any(1).all()


def test_bytes_are_scaled_to_fractions_and_floats_are_not():
    X = torch.tensor([[0.0, 255.0]])
    assert torch.equal(scaled(X.byte()), torch.tensor([[0.0, 1.0]]))
    assert scaled(X) is X


def test_statistics_of_a_table_in_memory_come_from_all_rows():
    dataset = InMemoryDataset(np.ones((20_000, 2), dtype=np.float32))
    assert sample_for_statistics(dataset, copy=False)[0] is dataset.X
    torch.testing.assert_close(sample_for_statistics(dataset)[0], dataset.X)


def test_a_module_may_write_to_its_sample_of_a_table():
    X = np.zeros((3, 2), dtype=np.float32)
    sample_for_statistics(InMemoryDataset(X, np.arange(3.0)))[0].add_(1)
    assert not X.any()


def test_a_module_learns_statistics_from_all_training_rows_of_a_table():
    class Look(nn.Linear):
        def __init__(self, n_features):
            super().__init__(n_features, 1)

        def fit_statistics(self, X, y):
            self.n_rows = len(X), y.sum().item()

    y = np.arange(12_000) % 10 == 0
    clf = CompositionalAUCClassifier(Look, max_epochs=1, early_stopping=True)
    clf.fit(np.zeros((12_000, 2)), y)
    assert clf.net_.module_.n_rows == (10_800, 1080)


@pytest.mark.parametrize("in_memory", [True, False])
def test_statistics_of_images_come_from_a_sample_of_both_classes(in_memory):
    y = np.zeros(25_000, dtype=np.float32)
    y[12_345] = 1
    X = np.full((25_000, 1, 1, 2), 51, dtype=np.uint8)
    dataset = (
        InMemoryDataset(X, y)
        if in_memory
        else ExampleDataset(UserDataset(X, y), y, ((1, 1, 2), "uint8"))
    )
    sample, targets = sample_for_statistics(dataset)
    assert sample.shape == (10_000, 1, 1, 2)
    assert targets.sum() == 1
    torch.testing.assert_close(sample, torch.full_like(sample, 0.2))


def test_samples_of_large_images_are_smaller_and_keep_the_share_of_positives(monkeypatch):
    monkeypatch.setattr("skdam.data.batches._STATISTICS_ELEMENTS", 100 * 64)
    y = (np.arange(1000) % 5 == 0).astype(np.float32)
    X = np.zeros((1000, 1, 8, 8), dtype=np.float32)
    sample, targets = sample_for_statistics(InMemoryDataset(X, y))
    assert len(sample) == 100
    assert targets.sum() == pytest.approx(20, abs=1)


def test_large_examples_are_scored_in_small_batches():
    sizes = [inference_batch_size(shape) for shape in [(30,), (3, 32, 32), (1, 99, 99), (10**7,)]]
    assert sizes == [4096, 2**20 // 3072, 2**20 // 99**2, 16]
