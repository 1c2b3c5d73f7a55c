import numpy as np
import pytest
import torch
from helpers import Stream, UserDataset
from torch.utils.data import Subset

from skdam.data.examples import ExampleDataset, first_example, labels_of, read_labels
from skdam.data.memory import InMemoryDataset


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int16])
def test_examples_become_float32_or_stay_bytes(dtype):
    X = np.arange(24).reshape(4, 6).astype(dtype)
    X = X.reshape(4, 2, 3)
    kind = ((2, 3), "uint8" if dtype == np.uint8 else "float32")
    dataset = ExampleDataset(UserDataset(X, "abcd"), np.array([0, 1, 0, 1], dtype=np.float32), kind)
    example, target = dataset[1]
    assert example.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
    np.testing.assert_array_equal(example, X[1])
    assert target == 1


def test_bytes_in_a_table_become_float32():
    assert first_example(UserDataset(np.ones((3, 2), dtype=np.uint8))).dtype == torch.float32


def test_an_example_of_another_shape_is_refused():
    dataset = ExampleDataset(
        UserDataset([torch.ones(2), torch.ones(3)]), np.ones(2), ((2,), "float32")
    )
    dataset[0]
    with pytest.raises(ValueError, match=r"example 1 .* shape \(3,\) and dtype float32"):
        dataset[1]


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        (UserDataset([]), ValueError, "0 examples"),
        (UserDataset(["text"]), TypeError, "arrays or tensors.*got str"),
        (UserDataset(np.ones((2, 3)) * 1j), TypeError, "complex"),
        (UserDataset(torch.ones(2)), ValueError, r"at least one axis .* shape \(\)"),
        (Stream(), TypeError, "map-style"),
    ],
)
def test_datasets_without_a_usable_first_example_are_refused(dataset, error, message):
    with pytest.raises(error, match=message):
        first_example(dataset)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    "labels", [list("abac"), torch.tensor([1, 0, 1, 2]), np.array([0.5, 1.5, 0.5, 2.5])], ids=str
)
def test_labels_are_read_in_order(labels, num_workers):
    read = read_labels(UserDataset(np.zeros((4, 2)), labels), num_workers=num_workers)
    np.testing.assert_array_equal(read, np.asarray(labels))


def test_items_without_one_label_are_refused():
    with pytest.raises(TypeError, match=r"must yield pairs \(x, y\), unless y is passed"):
        read_labels(UserDataset(np.zeros((4, 2))))
    with pytest.raises(ValueError, match="one label for each example"):
        read_labels(UserDataset(np.zeros((4, 2)), np.zeros((4, 2))))


def test_labels_of_a_subset_are_those_of_its_indices():
    y = np.array([0.0, 1.0, 2.0])
    for dataset in (InMemoryDataset(np.zeros((3, 1)), y), UserDataset(np.zeros((3, 1)), y)):
        np.testing.assert_array_equal(labels_of(Subset(dataset, [2, 0])), [2, 0])
