import numpy as np
import pytest
import torch
from helpers import columns_of_many_scales
from sklearn.preprocessing import StandardScaler

from skdam.networks.encoding import PiecewiseLinearEncoding, Standardiser


@pytest.fixture
def raw():
    """Columns of very different scales, one of them constant."""
    return columns_of_many_scales(1000)


def standardiser_of(X):
    module = Standardiser(X.shape[1])
    module.fit_statistics(torch.as_tensor(X))
    return module


def test_statistics_are_those_of_standard_scaler(raw):
    module = standardiser_of(raw)
    scaler = StandardScaler().fit(raw.astype(np.float64))
    np.testing.assert_allclose(module.mean, scaler.mean_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(module.scale[:3], scaler.scale_[:3], rtol=1e-4)


def test_a_constant_column_becomes_0_for_all_data(raw):
    other = torch.from_numpy(raw).clone()
    other[:, 3] = torch.linspace(-1e6, 1e6, len(raw))
    assert torch.equal(standardiser_of(raw)(other)[:, 3], torch.zeros(len(raw)))


def test_a_deviation_that_underflows_counts_as_constant():
    X = torch.zeros(100, 1)
    X[0] = 1.4e-45
    assert torch.equal(standardiser_of(X)(X), torch.zeros(100, 1))


def test_statistics_do_not_depend_on_the_chunks(monkeypatch, raw):
    whole = standardiser_of(raw)
    monkeypatch.setattr("skdam.networks.encoding._CHUNK", 64)
    chunked = standardiser_of(raw)
    torch.testing.assert_close(chunked.mean, whole.mean)
    torch.testing.assert_close(chunked.scale, whole.scale)


def encoding_of(column, n_bins):
    module = PiecewiseLinearEncoding(1, n_bins)
    module.fit_statistics(torch.as_tensor(column).reshape(-1, 1))
    return module


def encode(module, column):
    return module(torch.as_tensor(column).reshape(-1, 1)).squeeze(1)


def test_bins_of_a_uniform_column():
    module = encoding_of(np.linspace(0, 4, 101), 4)
    expected = [
        [0.0, 0.0, 0.0, 0.0],
        [0.25, 0.0, 0.0, 0.0],
        [1.0, 0.5, 0.0, 0.0],
        [1.0, 1.0, 1.0, 1.0],
        [0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0, 1.0],
    ]
    encoded = encode(module, torch.tensor([0.0, 0.25, 1.5, 4.0, -9.0, 99.0]))
    torch.testing.assert_close(encoded, torch.tensor(expected), atol=1e-6, rtol=0)


def test_the_mean_of_the_bins_is_the_share_of_smaller_values():
    """Each of k bins holds 1/k of the examples: their mean is the distribution function."""
    column = np.random.default_rng(0).lognormal(size=20_000).astype(np.float32)
    encoded = encode(encoding_of(column, 16), column).mean(1)
    share = np.argsort(np.argsort(column)) / len(column)
    assert np.abs(encoded.numpy() - share).max() < 1 / 16


def test_a_column_of_few_values_has_fewer_bins():
    column = np.repeat([0.0, 1.0, 5.0], [10, 80, 10]).astype(np.float32)
    encoded = encode(encoding_of(column, 8), torch.tensor([0.0, 1.0, 5.0]))
    assert encoded.count_nonzero(0).gt(0).sum() == 2
    assert len(encoded.unique(dim=0)) == 3


@pytest.mark.parametrize("values", [[3.0], [0.0, 1.0]])
def test_a_column_of_one_or_two_values_has_no_bins(values):
    encoded = encode(encoding_of(np.tile(values, 50), 8), torch.tensor([-1.0, 0.5, 9.0]))
    assert torch.equal(encoded, torch.zeros(3, 8))


def test_a_second_call_replaces_the_statistics_of_the_first():
    module = encoding_of(np.arange(100.0), 8)
    module.fit_statistics(torch.ones(100, 1))
    assert not module.slope.any()


def test_bins_too_narrow_for_a_finite_slope_have_finite_codes():
    column = torch.arange(5).repeat(20) * 1e-44
    assert encode(encoding_of(column, 4), column).isfinite().all()


def test_weights_count_as_repetitions_in_mean_and_deviation(seeded):
    X = torch.randn(50, 3, 2) * torch.tensor([1.0, 1e3, 0.0]).reshape(3, 1) + 5
    times = 1 + torch.arange(50) % 3
    weighted, repeated = Standardiser(3), Standardiser(3)
    weighted.fit_statistics(X, times * 0.1)
    repeated.fit_statistics(X.repeat_interleave(times, 0))
    torch.testing.assert_close(weighted.state_dict(), repeated.state_dict())


def test_weights_move_the_bins():
    X = torch.arange(1000.0).reshape(-1, 1)
    weights = torch.where(X[:, 0] < 500, 9.0, 1.0)
    encode = PiecewiseLinearEncoding(1, 10)
    encode.fit_statistics(X, weights)
    # nine tenths of the weight are below 500
    torch.testing.assert_close(encode.lower[0, 9], torch.tensor(500.0), atol=2, rtol=0)
    encode.fit_statistics(X, torch.ones(1000))
    torch.testing.assert_close(encode.lower[0], torch.arange(0, 1000, 100.0), atol=1, rtol=0)
