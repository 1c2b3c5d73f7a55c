r"""What a step of training and a score cost, beside bare PyTorch, skorch and LibAUC.

From the repository root, on an otherwise idle machine::

    OMP_NUM_THREADS=1 python -m benchmarks.speed --rows 100000 --repeats 5 --out speed.md

All train the same perceptron, 64-64 on 30 features, on batches of 128. An epoch of each is timed in
turn, ``--repeats`` times; what is reported are medians, and the seconds of the first epoch, in
which what is compiled is compiled.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.models import PLAIN_NETWORK
from benchmarks.report import markdown_table
from skdam import CompositionalAUCClassifier, CompositionalAUCNet, TabularMLP

BATCH_SIZE = 128
N_FEATURES = 30
_SCORED_ROWS = 1_000_000

Run = Callable[[], Any]


def make_data(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a float32 table with 10 % positives."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=n_rows) > 1.8).astype(np.float32)
    return X, y


def make_module(X: np.ndarray, y: np.ndarray, **parameters: Any) -> TabularMLP:
    """Return a network that is ready for training; by default a plain perceptron."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = TabularMLP(N_FEATURES, **({"n_members": 1} | dict(PLAIN_NETWORK) | parameters))
    module.fit_statistics(torch.from_numpy(X), torch.from_numpy(y))
    return module


def bare_epoch(X: np.ndarray, y: np.ndarray, *, n_passes: int = 1) -> Run:
    """Return an epoch of the least that training needs: select, forward, backward, SGD."""
    module = make_module(X, y)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, foreach=True)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)

    def epoch() -> None:
        for batch in torch.randperm(len(inputs)).split(BATCH_SIZE):
            some, wanted = inputs.index_select(0, batch), targets.index_select(0, batch)
            for _ in range(n_passes):
                optimizer.zero_grad()
                binary_cross_entropy_with_logits(module(some), wanted).backward()
                optimizer.step()

    return epoch


def our_epoch(
    X: np.ndarray, y: np.ndarray, *, module: Mapping[str, Any] | None = None, **parameters: Any
) -> Run:
    """Return an epoch of ours."""
    net = CompositionalAUCNet(
        make_module(X, y, **(module or {})), batch_size=BATCH_SIZE, verbose=0, **parameters
    ).initialize()
    return lambda: net.partial_fit(X, y, epochs=1)


def skorch_epoch(X: np.ndarray, y: np.ndarray) -> Run:
    """Return an epoch of skorch as it comes, without the rows that it holds out."""
    net = NeuralNetBinaryClassifier(
        make_module(X, y), batch_size=BATCH_SIZE, lr=0.1, train_split=None, verbose=0
    ).initialize()
    return lambda: net.partial_fit(X, y, epochs=1)


def libauc_epoch(X: np.ndarray, y: np.ndarray) -> Run:
    """Return an epoch of LibAUC's loop: its loss, its optimizer, a shuffling DataLoader."""
    from libauc.losses import CompositionalAUCLoss
    from libauc.optimizers import PDSCA

    module = make_module(X, y)
    loss = CompositionalAUCLoss(device="cpu")
    optimizer = PDSCA(module.parameters(), loss, lr=0.1, verbose=False, device="cpu")
    batches = DataLoader(
        TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), BATCH_SIZE, shuffle=True
    )

    def epoch() -> None:
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss(torch.sigmoid(module(inputs)), targets).backward()
            optimizer.step()

    return epoch


def training_runs(X: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, Run]]:
    """Yield what trains, by name."""
    yield "bare torch", bare_epoch(X, y)
    yield "bare torch, two passes a batch", bare_epoch(X, y, n_passes=2)
    yield "skdam, alternating", our_epoch(X, y)
    yield "skdam, lookahead", our_epoch(X, y, optimizer__variant="lookahead")
    yield "skdam, alternating, compiled", our_epoch(X, y, compile=True)
    yield (
        "skdam, lookahead, compiled",
        our_epoch(X, y, optimizer__variant="lookahead", compile=True),
    )
    yield "skdam, AUC from scratch", our_epoch(X, y, strategy="auc")
    yield "skdam, cross-entropy", our_epoch(X, y, strategy="cross-entropy")
    yield "skorch", skorch_epoch(X, y)
    if find_spec("libauc") is None:
        print("LibAUC is left out: it is not installed.", file=sys.stderr)
    else:
        yield "LibAUC", libauc_epoch(X, y)
    for n_members in (8, 32):
        members = {"n_members": n_members, "n_landmarks": 0}
        yield f"skdam, {n_members} members", our_epoch(X, y, module=members)
    encoded = {"n_members": 8, "n_landmarks": 0, "encoding": "piecewise-linear"}
    yield "skdam, 8 members, encoded", our_epoch(X, y, module=encoded)
    default = {"n_members": 8, "encoding": "piecewise-linear", "dropout": 0.1}
    yield "skdam, the default network", our_epoch(X, y, module=default)
    yield "skdam, the default network, compiled", our_epoch(X, y, module=default, compile=True)


def scoring_runs(X: np.ndarray, y: np.ndarray, n_rows: int) -> Iterator[tuple[str, Run]]:
    """Yield what scores ``n_rows`` rows, by name."""
    repeated = np.tile(X, (-(-n_rows // len(X)), 1))[:n_rows]
    clf = CompositionalAUCClassifier(make_module(X, y), max_epochs=1, random_state=0).fit(X, y)
    module = clf.net_.module_.eval()
    batches = torch.from_numpy(repeated).split(1024)

    def bare() -> None:
        with torch.inference_mode():
            torch.cat([module(batch) for batch in batches])

    yield "bare torch", bare
    yield "skdam, predict_proba", lambda: clf.predict_proba(repeated)


class Seconds(NamedTuple):
    """What a run took the first time, and the median of the others."""

    first: float
    median: float


def measure(runs: Iterator[tuple[str, Run]], repeats: int) -> dict[str, Seconds]:
    """Return the seconds of each, run in turn."""
    named = dict(runs)
    seconds: dict[str, list[float]] = {name: [] for name in named}
    for repeat in range(repeats + 1):
        for name, run in named.items():
            start = perf_counter()
            run()
            seconds[name].append(perf_counter() - start)
        print(f"{repeat}/{repeats} repeats", file=sys.stderr)
    return {n: Seconds(first, float(np.median(rest))) for n, (first, *rest) in seconds.items()}


def summary(
    training: Mapping[str, Seconds], scoring: Mapping[str, Seconds], n_rows: int, n_scored: int
) -> str:
    """Return the tables as Markdown."""
    n_steps = -(-n_rows // BATCH_SIZE)
    floor = training["bare torch"].median
    text = f"# Speed\n\n{torch.get_num_threads()} CPU thread(s), torch {torch.__version__}.\n\n"
    text += f"## An epoch of {n_rows} x {N_FEATURES}, batches of {BATCH_SIZE}\n\n"
    text += markdown_table(
        ["", "seconds", "us a step", "of bare torch", "first epoch"],
        [
            [
                name,
                f"{value.median:.3f}",
                f"{value.median / n_steps * 1e6:.0f}",
                f"{value.median / floor:.2f}",
                f"{value.first:.3f}",
            ]
            for name, value in training.items()
        ],
    )
    text += f"\n## Scores of {n_scored} rows\n\n"
    floor = scoring["bare torch"].median
    return text + markdown_table(
        ["", "seconds", "of bare torch"],
        [
            [name, f"{value.median:.3f}", f"{value.median / floor:.2f}"]
            for name, value in scoring.items()
        ],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--scored-rows", type=int, default=_SCORED_ROWS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    X, y = make_data(arguments.rows)
    training = measure(training_runs(X, y), arguments.repeats)
    scoring = measure(scoring_runs(X, y, arguments.scored_rows), arguments.repeats)
    text = summary(training, scoring, arguments.rows, arguments.scored_rows)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
