"""Time default fits of the skdam that is on the path, on request.

:mod:`benchmarks.speed.fits` runs this file as a program, also with the skdam of other checkouts, so
it imports nothing of the benchmarks. It prints the file of skdam. Then, for each line of its
input, ``[rows, features, parameters]`` as JSON, it prints the seconds of a fit.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from time import perf_counter

import numpy as np
import torch
from sklearn.datasets import make_classification

import skdam


@cache
def make_data(rows: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a float32 table with about 10 % positives."""
    X, y = make_classification(rows, features, weights=[0.9], random_state=0)
    return X.astype(np.float32), y


def main() -> None:
    """Answer requests until the input ends."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    print(skdam.__file__, flush=True)
    for line in sys.stdin:
        rows, features, parameters = json.loads(line)
        X, y = make_data(rows, features)
        start = perf_counter()
        skdam.CompositionalAUCClassifier(random_state=0, **parameters).fit(X, y)
        print(perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
