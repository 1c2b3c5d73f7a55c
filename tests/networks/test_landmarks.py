import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import laplacian_kernel

from skdam.networks.landmarks import LandmarkKernelMachine, draw_by_class


@pytest.fixture
def X():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32))


def machine_of(X, n_landmarks=None):
    machine = LandmarkKernelMachine(X.shape[1], n_landmarks or len(X))
    machine.fit_statistics(X, X.shape[1])
    return machine


def features(machine, X):
    """The features of X, read off as the logits of unit weights."""
    columns = []
    for index in range(len(machine.weight)):
        with torch.no_grad():
            machine.weight.zero_()[index] = 1
        columns.append(machine(X).detach())
    return torch.stack(columns, 1)


def test_inner_products_of_the_features_are_the_kernel(X):
    """On the landmarks Nyström's method is exact."""
    F = features(machine_of(X), X).double()
    expected = 3**2 * laplacian_kernel(X.clamp(-3, 3).numpy(), gamma=2 / X.shape[1])
    np.testing.assert_allclose(F @ F.T, expected, rtol=1e-3, atol=1e-2)


def test_it_starts_from_balanced_ridge_regression(X):
    y = np.arange(60) % 6 == 0
    machine = machine_of(X)
    machine.start_from_ridge(X, torch.from_numpy(y))
    ridge = KernelRidge(alpha=0.3, kernel="laplacian", gamma=2 / 4)
    ridge.fit(X.clamp(-3, 3), np.where(y, 1, -1), sample_weight=np.where(y, 3, 0.6))
    expected = 3 * ridge.predict(X.clamp(-3, 3))
    np.testing.assert_allclose(machine(X).detach(), expected, rtol=1e-2, atol=1e-2)


def test_unused_landmarks_have_no_effect(X):
    few, many = machine_of(X), machine_of(X, 100)
    weight = torch.randn(100, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        few.weight.copy_(weight[:60])
        many.weight.copy_(weight)
    torch.testing.assert_close(many(X), few(X), rtol=1e-4, atol=1e-4)


def test_values_beyond_three_deviations_are_clipped(X):
    machine = machine_of(X)
    with torch.no_grad():
        machine.weight.fill_(0.1)
    far = X.clone()
    far[:, 0] = 3
    near = machine(far)
    far[:, 0] = 1e30
    assert torch.equal(machine(far), near)


def test_constant_columns_do_not_change_the_kernel(X):
    padded = torch.cat([X, torch.zeros(len(X), 6)], 1)
    plain, other = machine_of(X), LandmarkKernelMachine(10, len(X))
    other.fit_statistics(padded, 4)
    with torch.no_grad():
        plain.weight.fill_(0.1)
        other.weight.fill_(0.1)
    torch.testing.assert_close(other(padded), plain(X))


def test_duplicate_landmarks_have_a_finite_whitening(X):
    machine = machine_of(X[:3].repeat(20, 1))
    assert machine.whitening.isfinite().all()


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "count", "expected"),
    [(5, 95, 20, 5), (50, 50, 20, 10), (90, 10, 40, 30), (3, 4, 20, 3)],
)
def test_half_of_the_drawn_rows_are_positives_if_there_are_enough(
    n_positive, n_negative, count, expected
):
    y = torch.cat([torch.ones(n_positive), torch.zeros(n_negative)])
    rows = draw_by_class(y, count)
    assert len(rows.unique()) == len(rows) == min(count, len(y))
    assert y[rows].sum() == expected


def test_examples_of_larger_weight_are_drawn_sooner(seeded):
    y = (torch.arange(1000) % 2).float()
    weights = torch.where(torch.arange(1000) < 500, 4.0, 1.0)
    drawn = torch.cat([draw_by_class(y, 20, weights) for _ in range(50)])
    share = (drawn < 500).double().mean()
    assert share == pytest.approx(0.8, abs=0.05)
    assert y[drawn].mean() == 0.5


def test_weights_count_as_repetitions_in_the_ridge_regression(seeded):
    X, y = torch.randn(60, 2), (torch.arange(60) % 4 == 0).float()
    times = 1 + torch.arange(60) % 3
    repeated = torch.arange(60).repeat_interleave(times)
    heads = []
    for rows, weights in ((torch.arange(60), times.float()), (repeated, None)):
        machine = LandmarkKernelMachine(2, 10)
        machine.fit_statistics(X[:10], 2)
        machine.start_from_ridge(X[rows], y[rows], weights)
        heads.append(machine.weight.detach())
    torch.testing.assert_close(*heads)
