"""Fixtures of the tests of the benchmarks."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.harness import runner
from skdam import ResNet20


@pytest.fixture
def in_process(monkeypatch):
    """Run jobs in a thread of the test, without a new process."""
    monkeypatch.setattr(runner, "Workers", lambda n_workers, *, fresh: ThreadPoolExecutor(1))


@pytest.fixture
def random_images(monkeypatch):
    """Run the benchmark on images in this process, on random images."""
    import image_runs

    image_runs.use_random_images(monkeypatch.setattr)


@pytest.fixture
def dies_in_batch(monkeypatch):
    """A function that makes training fail in the batch of a given number, or never for None."""
    from image_runs import Killed

    forward = ResNet20.forward
    left = []

    def counting(module, X):
        if module.training and left and not left[0]:
            raise Killed
        if module.training and left:
            left[0] -= 1
        return forward(module, X)

    def arm(number):
        left[:] = [] if number is None else [number]

    monkeypatch.setattr(ResNet20, "forward", counting)
    return arm
