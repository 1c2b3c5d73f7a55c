"""Seconds of several functions, called in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

Timed = Callable[[], float]


def timed(function: Callable[[], Any], wait: Callable[[], Any] = lambda: None) -> Timed:
    """Return a function that returns the seconds of a call.

    Parameters
    ----------
    function : callable
    wait : callable
        Is called after the function, to wait for a GPU for instance; its time counts.
    """

    def seconds() -> float:
        start = perf_counter()
        function()
        wait()
        return perf_counter() - start

    return seconds


def interleave(functions: Mapping[str, Timed], repeats: int) -> dict[str, np.ndarray]:
    """Call all functions, which return seconds, once and then in each repeat, in random order.

    The speed of a machine may change from one repeat to the next, so that ratios should be taken
    within a repeat.

    Returns
    -------
    dict of str to ndarray of shape (1 + repeats,)
        The seconds of each function. The first call compiles, imports and fills caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    rng = np.random.default_rng(0)
    for repeat in range(repeats + 1):
        for name in rng.permutation(list(functions)):
            seconds[name].append(functions[name]())
        print(f"{repeat}/{repeats} repeats", file=sys.stderr)
    return {name: np.array(values) for name, values in seconds.items()}
