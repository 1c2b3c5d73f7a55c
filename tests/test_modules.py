import copy

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from skdam import TabularMLP


@pytest.fixture
def raw():
    """Columns of very different scales, one of them constant."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 4)) * [1e-3, 1.0, 1e4, 0.0] + [0.0, -5.0, 1e5, 0.1]
    return X.astype(np.float32)


def test_statistics_are_those_of_standard_scaler(raw):
    module = TabularMLP(4)
    module.fit_statistics(torch.from_numpy(raw))
    scaler = StandardScaler().fit(raw.astype(np.float64))
    np.testing.assert_allclose(module.mean, scaler.mean_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(module.scale, scaler.scale_, rtol=1e-4)
    assert module.scale[3] == 1


def test_statistics_of_more_rows_than_a_chunk(monkeypatch, raw):
    whole, chunked = TabularMLP(4), TabularMLP(4)
    whole.fit_statistics(torch.from_numpy(raw))
    monkeypatch.setattr("skdam.modules._CHUNK", 64)
    chunked.fit_statistics(torch.from_numpy(raw))
    torch.testing.assert_close(chunked.mean, whole.mean)
    torch.testing.assert_close(chunked.scale, whole.scale)


def test_output_does_not_depend_on_the_units(raw):
    module = TabularMLP(4)
    module.fit_statistics(torch.from_numpy(raw))
    other = copy.deepcopy(module)
    units = torch.tensor([1000.0, 1.0, 0.001, 1.0])
    other.fit_statistics(torch.from_numpy(raw) * units)
    X = torch.from_numpy(raw[:50])
    torch.testing.assert_close(other(X * units), module(X), atol=1e-4, rtol=1e-4)


def test_statistics_travel_with_the_state_dict(raw):
    module = TabularMLP(4)
    module.fit_statistics(torch.from_numpy(raw))
    other = TabularMLP(4)
    other.load_state_dict(module.state_dict())
    X = torch.from_numpy(raw)
    assert torch.equal(other(X), module(X))


def test_layers():
    module = TabularMLP(3, hidden_layer_sizes=(5, 7), dropout=0.5, activation="tanh")
    kinds = [type(layer).__name__ for layer in module.layers]
    assert kinds == ["Linear", "Tanh", "Dropout", "Linear", "Tanh", "Dropout", "Linear"]
    assert [p.shape for p in module.parameters()][::2] == [(5, 3), (7, 5), (1, 7)]
    assert module(torch.zeros(2, 3)).shape == (2,)


def test_no_hidden_layer_is_a_linear_model():
    module = TabularMLP(3, hidden_layer_sizes=())
    assert [type(layer).__name__ for layer in module.layers] == ["Linear"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n_features": 0}, "n_features"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"activation": "step"}, "activation"),
    ],
)
def test_arguments_are_checked(arguments, name):
    with pytest.raises(ValueError, match=name):
        TabularMLP(**({"n_features": 3} | arguments))
