"""Shared fixtures: real imbalanced data, small networks."""

import os
from contextlib import contextmanager

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from skdam.datasets import make_imbalanced

matplotlib.use("Agg")

# a fit takes what it takes, and longer on a busy machine
_ANY_TIME = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
# the same examples each time
settings.register_profile("fast", max_examples=25, derandomize=True, **_ANY_TIME)
settings.register_profile(
    "long", max_examples=int(os.environ.get("N_EX", "2000")), print_blob=True, **_ANY_TIME
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

# files of fixtures hold no examples: several of one name could not be imported as modules
collect_ignore_glob = ["*conftest.py"]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    # the networks are small: more threads are slower, and parallel test runs compete for cores
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cancer():
    """Wisconsin breast cancer, the malignant class positive and thinned to 10 %."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return make_imbalanced(X, 1 - y, 0.1, random_state=0)


@pytest.fixture(scope="session")
def digits():
    """Handwritten digits as grey images of bytes, the eights positive and rare."""
    X, y = load_digits(return_X_y=True)
    X = (X.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    X, y = make_imbalanced(X, (y == 8).astype(int), 0.05, random_state=0)
    return train_test_split(X, y, stratify=y, random_state=0)


@pytest.fixture(scope="session")
def few_digits(digits):
    """A hundred of the digits, 20 of them positive."""
    X, _, y, _ = digits
    rows = np.r_[np.flatnonzero(y == 1)[:20], np.flatnonzero(y == 0)[:80]]
    return X[rows], y[rows]


@pytest.fixture
def batch():
    """A batch of 32 examples with 5 features, in double precision."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(32, 5, generator=generator, dtype=torch.float64)
    y = (X[:, 0] + torch.randn(32, generator=generator, dtype=torch.float64) > 0.5).double()
    return X, y


@pytest.fixture
def network():
    """A small smooth network in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)
        ).double()


@pytest.fixture
def seeded():
    """Torch's generator seeded, and put back after the test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def untouched_generators():
    """A context in which the global generators must not move."""

    @contextmanager
    def context():
        before = np.random.get_state(), torch.get_rng_state()
        yield
        after = np.random.get_state()
        np.testing.assert_array_equal(before[0][1], after[1])
        assert before[0][2:] == after[2:]
        assert torch.equal(before[1], torch.get_rng_state())

    return context


@pytest.fixture
def toy():
    """Two overlapping Gaussian classes, 15 % positives, as float32 and {0, 1}."""
    rng = np.random.default_rng(0)
    y = (np.arange(200) % 20 < 3).astype(np.float32)
    X = rng.normal(size=(200, 4)).astype(np.float32)
    X[y == 1, 0] += 1.5
    return X, y


@pytest.fixture
def logits_and_targets():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(64, generator=generator, dtype=torch.float64)
    return logits, (torch.arange(64) % 4 == 0).double()
