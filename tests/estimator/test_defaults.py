"""What is chosen by the shape and the number of rows of the data."""

import numpy as np
import pytest
from torch import nn

from skdam import ResNet20, TabularMLP
from skdam.estimator.defaults import module_for, training_length


@pytest.mark.parametrize(
    ("n", "batch_size", "n_epochs"), [(200, 128, 150), (200, 2, 20), (200, 16, 24), (50, 128, 300)]
)
def test_epochs_are_enough_for_300_batches(toy, n, batch_size, n_epochs, make):
    X, y = (part[:n] for part in toy)
    clf = make(max_epochs="auto", batch_size=batch_size, n_members=1, module__hidden_layer_sizes=())
    assert clf.fit(X, y).n_iter_ == n_epochs


@pytest.mark.parametrize(
    ("n", "batch_size"), [(50, 50), (5000, 64), (12_800, 100), (140_000, 1024)]
)
def test_batches_grow_with_the_data(n, batch_size, make):
    X = np.random.default_rng(0).normal(size=(n, 1)).astype(np.float32)
    clf = make(max_epochs=1, n_members=1, module__hidden_layer_sizes=())
    sampler = clf.fit(X, np.arange(n) % 3 == 0).net_.sampler_
    assert sampler.n_positive + sampler.n_negative == batch_size


def test_the_default_network_depends_on_the_shape_of_an_example():
    assert module_for(None, (5,)) is TabularMLP
    assert module_for(None, (3, 32, 32)) is ResNet20
    with pytest.raises(ValueError, match="pass module="):
        module_for(None, (5, 5))
    linear = nn.Linear(5, 1)
    assert module_for(linear, (5, 5)) is linear


@pytest.mark.parametrize(
    ("n_rows", "example_shape", "expected"),
    [
        (50, (3,), (64, 300)),
        (5_000, (3,), (64, 20)),
        (12_800, (3,), (100, 20)),
        (10**6, (3,), (1024, 20)),
        (10**6, (3, 32, 32), (128, 20)),
        (2_000, (3, 32, 32), (64, 20)),
        (640, (3,), (64, 30)),
    ],
)
def test_automatic_batches_and_epochs(n_rows, example_shape, expected):
    assert training_length("auto", "auto", n_rows, example_shape) == expected


def test_batch_size_and_epochs_given_by_the_user_are_kept():
    assert training_length(7, 5, 10**6, (3,)) == (7, 5)
    assert training_length(100, "auto", 1_000, (3,)) == (100, 30)
    assert training_length("auto", 5, 12_800, (3,)) == (100, 5)
