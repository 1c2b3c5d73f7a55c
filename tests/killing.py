"""Kill fits at random moments until they are done, and compare with fits that were left alone.

A process of its own, as it forks, which needs torch on one thread: run it as
``python tests/killing.py N`` for N kills.
"""

import itertools
import os
import pickle
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_classification
from torch import nn

from skdam import CompositionalAUCClassifier
from skdam.training import checkpoint


class Wide(nn.Module):
    """Dropout and a linear layer."""

    def __init__(self, n_features):
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.3), nn.Linear(n_features, 1))

    def forward(self, X):
        return self.layers(X)


SMALL = {"n_members": 2, "module__hidden_layer_sizes": (8,), "module__n_landmarks": 20}
FITS = [
    SMALL | {"max_epochs": 40, "n_iter_no_change": 1, "batch_size": 10},
    SMALL | {"max_epochs": 10, "early_stopping": True, "n_iter_no_change": 2},
    SMALL | {"max_epochs": 10, "strategy": "two-stage", "milestones": (0.5,), "cross_fit": False},
    SMALL | {"max_epochs": 5, "variant": "lookahead", "early_stopping": False},
    # of wide data few batches are selected together, so files are written between them
    {"max_epochs": 10, "module": Wide, "batch_size": 10},
]
X, y = make_classification(150, 4, weights=[0.7], random_state=0)
X_WIDE = np.random.default_rng(0).normal(size=(150, 10_000)).astype(np.float32)


def fit(parameters, path, result):
    """Fit, and write what the model is."""
    checkpoint.SECONDS = 0  # also in the middle of epochs
    fsync = os.fsync
    os.fsync = lambda file: (fsync(file), time.sleep(0.005))  # a slow disk
    inputs = X_WIDE if parameters.get("module") is Wide else X
    clf = CompositionalAUCClassifier(
        **({"batch_size": 30} | parameters), random_state=0, checkpoint=path
    ).fit(inputs, y)
    history = {name: values for name, values in clf.history_.items() if name != "dur"}
    scores = getattr(clf, "oob_decision_function_", None)
    weights = {name: value.numpy() for name, value in clf.net_.module_.state_dict().items()}
    part = result.with_suffix(".part")
    part.write_bytes(pickle.dumps((history, scores, clf.predict_proba(inputs), weights)))
    part.replace(result)


def forked(*arguments):
    """Start a fit in a process of its own."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            fit(*arguments)
            status = 0
        finally:
            os._exit(status)
    return pid


def ends_within(pid, seconds):
    """Return whether a process ends in time; it is killed if not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0, "the fit failed"
            return True
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1] == 0


def main(n_kills):
    """Kill as often, and print how many fits ended with the model of one left alone."""
    chance = random.Random(0)
    folder = Path(tempfile.mkdtemp())
    torch.set_num_threads(1)
    # what is imported late is imported here, once
    CompositionalAUCClassifier(max_epochs=1).fit(X, y)
    wanted = []
    for number, parameters in enumerate(FITS):
        result, start = folder / f"wanted{number}", time.monotonic()
        assert ends_within(forked(parameters, None, result), 600)
        wanted.append((result, time.monotonic() - start))
    print("seconds:", [round(duration, 2) for _, duration in wanted])
    n_done = n_while_writing = n_fits = 0
    while n_done < n_kills:
        number = n_fits % len(FITS)
        path, result = folder / f"fit{n_fits}.ckpt", folder / f"got{n_fits}"
        expected, duration = wanted[number]
        left = set()
        for attempt in itertools.count():
            # an attempt that is late has more time, so that each fit ends
            limit = chance.uniform(0, duration) if attempt < 6 else 600
            if ends_within(forked(FITS[number], path, result), limit):
                break
            n_done += 1
            parts = {*folder.glob(f".{path.name}.part-*")}
            n_while_writing += not parts <= left
            left |= parts
        np.testing.assert_equal(
            pickle.loads(result.read_bytes()), pickle.loads(expected.read_bytes())
        )
        assert not list(folder.glob(f"*{path.name}*")), "files are left"
        n_fits += 1
    print(f"{n_done} kills, {n_while_writing} while writing: {n_fits} of {n_fits} fits are equal")


if __name__ == "__main__":
    main(int(sys.argv[1]))
