import numpy as np
import pytest
import torch
from scipy import stats

from skdam.networks.dropout import Dropout


def drop(p, shape, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Dropout(p)(torch.ones(shape))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_of_zeros_and_scale_of_the_rest(p):
    X = drop(p, (400, 1000))
    n_dropped = int((X == 0).sum())
    assert stats.binomtest(n_dropped, X.numel(), p).pvalue > 1e-3
    torch.testing.assert_close(X[X > 0], torch.full_like(X[X > 0], 1 / (1 - p)), rtol=1e-4, atol=0)


def test_elements_that_share_a_random_number_are_independent():
    dropped = (drop(0.3, (100_000, 8)) == 0).numpy()
    correlations = np.corrcoef(dropped.T)
    np.testing.assert_allclose(correlations, np.eye(8), atol=5 / np.sqrt(len(dropped)))


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4)])
def test_inputs_of_any_shape(shape):
    X = drop(0.5, shape)
    assert X.shape == shape
    assert set(X.unique().tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize("p", [0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mask_is_the_factor_of_the_input(p, dtype):
    layer = Dropout(p)
    X = torch.randn(6, 7, dtype=dtype)
    with torch.random.fork_rng(devices=[]):
        state = torch.get_rng_state()
        mask = layer(torch.ones_like(X))
        torch.set_rng_state(state)
        torch.testing.assert_close(layer(X), X * mask, rtol=0, atol=0)


def test_the_gradient_is_the_mask():
    X = torch.randn(50, 50, requires_grad=True)
    output = Dropout(0.3)(X)
    output.sum().backward()
    torch.testing.assert_close(X.grad * X, output)


def test_nothing_is_zeroed_in_evaluation_or_at_rate_0_and_all_at_rate_1():
    X = torch.randn(5, 5)
    assert Dropout(0.5).eval()(X) is X
    assert Dropout(0.0)(X) is X
    assert not Dropout(1.0)(X).any()


def test_the_seed_determines_the_zeros():
    torch.testing.assert_close(drop(0.5, 99, seed=3), drop(0.5, 99, seed=3))
    assert not torch.equal(drop(0.5, 99, seed=3), drop(0.5, 99, seed=4))


def test_double_precision_is_kept():
    assert Dropout(0.5)(torch.ones(4, dtype=torch.float64)).dtype == torch.float64
