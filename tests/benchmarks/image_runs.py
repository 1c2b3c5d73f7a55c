"""Runs of the benchmark on images, for several test files."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("PIL.Image")

from benchmarks.harness import runner
from benchmarks.images import __main__ as images
from benchmarks.images import data, plan
from benchmarks.images.data import Part, Split


class Killed(BaseException):
    """An exception that no handler of `Exception` catches."""


def part(n, seed, share=0.3, channels=1):
    """Return random images, the positive ones brighter."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n) < share * n).astype(int)
    X = rng.integers(0, 180, size=(n, channels, 10, 10))
    return Part((X + 40 * y[:, None, None, None]).astype(np.uint8), y)


def use_random_images(replace):
    """Run jobs in this process, on random images. ``replace`` sets an attribute of a module."""
    for module in (runner, plan):
        replace(module, "Workers", lambda n_workers, *, fresh: ThreadPoolExecutor(1))
    replace(data, "load", lambda name, seed, path: Split(*(part(80, seed + i) for i in range(3))))


def run(path, models="compositional,cross-entropy", preset="tiny"):
    """Run models on two sets with two seeds."""
    sets = "chest-xray,cifar10-30"
    command = ["run", "--preset", preset, "--sets", sets, "--models", models, "--seeds", "0", "1"]
    return images.main([*command, "--out", str(path)])


def aucs(path):
    """Return the rows of a file of results, without the seconds."""
    table = pd.read_csv(path).drop(columns="fit_seconds")
    return set(table.itertuples(index=False))
