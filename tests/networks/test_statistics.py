import numpy as np
import pytest
import torch
from helpers import columns_of_many_scales
from sklearn.preprocessing import StandardScaler

from skdam.networks.statistics import Standardiser, draw_by_class, placeholder_of, quantiles


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
    monkeypatch.setattr("skdam.networks.statistics._CHUNK", 64)
    chunked = standardiser_of(raw)
    torch.testing.assert_close(chunked.mean, whole.mean)
    torch.testing.assert_close(chunked.scale, whole.scale)


def test_weights_count_as_repetitions_in_mean_and_deviation(seeded):
    X = torch.randn(50, 3, 2) * torch.tensor([1.0, 1e3, 0.0]).reshape(3, 1) + 5
    times = 1 + torch.arange(50) % 3
    weighted, repeated = Standardiser(3), Standardiser(3)
    weighted.fit_statistics(X, times * 0.1)
    repeated.fit_statistics(X.repeat_interleave(times, 0))
    torch.testing.assert_close(weighted.state_dict(), repeated.state_dict())


def test_all_pixels_of_a_channel_are_one_column(seeded):
    X = torch.randn(20, 3, 4, 5) * torch.tensor([1.0, 10.0, 100.0]).reshape(3, 1, 1) + 7
    channels = X.movedim(1, 3).reshape(-1, 3)
    flat = standardiser_of(X)(X).movedim(1, 3).reshape(-1, 3)
    torch.testing.assert_close(flat, standardiser_of(channels)(channels), rtol=1e-4, atol=1e-5)


LEVELS = torch.linspace(0, 1, 9, dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 5, 97, 1000])
def test_quantiles_are_the_nearest_values(n):
    values = np.random.default_rng(0).normal(size=n)
    expected = np.sort(values)[np.round(LEVELS.numpy() * (n - 1)).astype(int)]
    np.testing.assert_array_equal(quantiles(torch.from_numpy(values), LEVELS, None), expected)


def test_weighted_quantiles_are_the_first_values_that_reach_the_level():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=60), rng.integers(1, 5, 60)
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    expected = [values[order][reached >= level][0] for level in LEVELS.tolist()]
    actual = quantiles(torch.from_numpy(values), LEVELS, torch.from_numpy(weights * 0.1))
    np.testing.assert_array_equal(actual, expected)
    repeated = torch.from_numpy(values.repeat(weights))
    np.testing.assert_array_equal(quantiles(repeated, LEVELS, torch.ones(len(repeated))), expected)


@pytest.mark.parametrize("number", [-999.0, 365243.0])
@pytest.mark.parametrize("share", [0.06, 0.9])
def test_a_frequent_number_far_from_the_others_is_a_placeholder(number, share, seeded):
    values = torch.randn(500, dtype=torch.float64)
    values[: int(500 * share)] = number
    assert placeholder_of(values, torch.ones(500)) == number


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 1.0],  # a flag
        [0.0, 0.0, 0.0, 1.0, 2.0, 4.0],  # counts
        [*[0.0] * 90, *range(100, 1100, 100)],  # amounts, most of them 0
        [7.0],
        [-999.0] * 4 + [*range(96)],  # not frequent
        [-20.0] * 10 + [*range(90)],  # not far
    ],
)
def test_other_numbers_are_no_placeholders(values):
    values = torch.tensor(values, dtype=torch.float64)
    assert placeholder_of(values, torch.ones(len(values))) is None


def test_weights_count_as_repetitions_for_placeholders():
    values = torch.tensor([-999.0, *range(19)], dtype=torch.float64)
    for first, expected in ((0.9, None), (1.1, -999.0)):
        weights = torch.tensor([first, *[1.0] * 19])
        assert placeholder_of(values, weights) == expected


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "count", "expected"),
    [(5, 95, 20, 5), (50, 50, 20, 10), (90, 10, 40, 30), (3, 4, 20, 3), (50, 50, 21, 10)],
)
def test_half_of_the_drawn_rows_are_positives_if_there_are_enough(
    n_positive, n_negative, count, expected, seeded
):
    y = torch.cat([torch.ones(n_positive), torch.zeros(n_negative)])
    rows = draw_by_class(y, count)
    assert len(rows.unique()) == len(rows) == min(count, len(y))
    assert y[rows].sum() == expected


@pytest.mark.parametrize("weights", [None, torch.arange(1.0, 201)])
def test_the_order_of_drawn_rows_does_not_tell_the_class(weights, seeded):
    rows = draw_by_class((torch.arange(200) % 3 == 0).float(), 50, weights)
    assert torch.equal(rows, rows.sort().values)


def test_torchs_generator_determines_the_drawn_rows():
    y = (torch.arange(200) % 3 == 0).float()
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            drawn.append(draw_by_class(y, 50).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_examples_of_larger_weight_are_drawn_sooner(seeded):
    y = (torch.arange(1000) % 2).float()
    weights = torch.where(torch.arange(1000) < 500, 4.0, 1.0)
    drawn = torch.cat([draw_by_class(y, 20, weights) for _ in range(50)])
    share = (drawn < 500).double().mean()
    assert share == pytest.approx(0.8, abs=0.05)
    assert y[drawn].mean() == 0.5
