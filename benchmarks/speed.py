r"""What a step of training and a score cost, beside bare PyTorch, skorch and LibAUC.

From the repository root, on an otherwise idle machine::

    OMP_NUM_THREADS=1 python -m benchmarks.speed --rows 20000 --repeats 40 --out speed.md
    python -m benchmarks.speed --network resnet20 --device cuda --rows 50000 --out gpu.md

All train the same network on batches of 128: a perceptron, 64-64 on 30 features, or a ResNet20 on
32 x 32 pixels of noise in bytes. Each repeat times an epoch of each, in random order. Seconds are
medians over the repeats; ratios are medians of the ratios within a repeat, as the speed of a
machine may change from one to the next, and those of the fastest epochs, which other work on it
disturbs least. The first epoch, in which what is compiled is compiled, is not one of the repeats.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.harness.markdown import markdown_table
from benchmarks.models.strategies import PLAIN_NETWORK
from skdam import CompositionalAUCClassifier, CompositionalAUCNet, ResNet20, TabularMLP
from skdam.data.batches import scaled

BATCH_SIZE = 128
N_FEATURES = 30
NETWORKS = ("perceptron", "resnet20")
_SCORED_ROWS = 1_000_000

Run = Callable[[], Any]


class Problem(NamedTuple):
    """Data, and the network and the device to train on."""

    X: np.ndarray
    y: np.ndarray
    network: str
    device: str

    @classmethod
    def make(cls, n_rows: int, network: str, device: str) -> Problem:
        """Return one with 10 % positives."""
        rng = np.random.default_rng(0)
        if network == "resnet20":
            X: np.ndarray = rng.integers(0, 256, size=(n_rows, 3, 32, 32), dtype=np.uint8)
            signal = X[:, 0, 0, 0] / 128 - 1
        else:
            X = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
            signal = X[:, 0]
        y = (signal + rng.normal(size=n_rows) > 1.8).astype(np.float32)
        return cls(X, y, network, device)

    def make_module(self, **parameters: Any) -> nn.Module:
        """Return a network that is ready for training; of tables a plain perceptron."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if self.network == "resnet20":
                module: TabularMLP | ResNet20 = ResNet20(in_channels=3, **parameters)
            else:
                parameters = {"n_members": 1} | dict(PLAIN_NETWORK) | parameters
                module = TabularMLP(N_FEATURES, **parameters)
        module.fit_statistics(scaled(torch.from_numpy(self.X)), torch.from_numpy(self.y))
        return module.to(self.device)

    @property
    def is_on_cuda(self) -> bool:
        """Whether the device is a GPU of NVIDIA's, which works on while Python goes on."""
        return torch.device(self.device).type == "cuda"

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return the data on the device."""
        return torch.from_numpy(self.X).to(self.device), torch.from_numpy(self.y).to(self.device)


def bare_epoch(problem: Problem, *, n_passes: int = 1) -> Run:
    """Return an epoch of the least that training needs: select, forward, backward, SGD."""
    module = problem.make_module()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, foreach=True)
    inputs, targets = problem.tensors()

    def epoch() -> None:
        for batch in torch.randperm(len(inputs), device=inputs.device).split(BATCH_SIZE):
            some = scaled(inputs.index_select(0, batch))
            wanted = targets.index_select(0, batch)
            for _ in range(n_passes):
                optimizer.zero_grad()
                binary_cross_entropy_with_logits(module(some), wanted).backward()
                optimizer.step()

    return epoch


def our_epoch(
    problem: Problem, *, module: Mapping[str, Any] = MappingProxyType({}), **parameters: Any
) -> Run:
    """Return an epoch of ours."""
    net = CompositionalAUCNet(
        problem.make_module(**module),
        batch_size=BATCH_SIZE,
        device=problem.device,
        verbose=0,
        **parameters,
    ).initialize()
    return lambda: net.partial_fit(problem.X, problem.y, epochs=1)


def skorch_epoch(problem: Problem) -> Run:
    """Return an epoch of skorch as it comes, without the rows that it holds out."""
    net = NeuralNetBinaryClassifier(
        problem.make_module(),
        batch_size=BATCH_SIZE,
        lr=0.1,
        train_split=None,
        device=problem.device,
        verbose=0,
    ).initialize()
    X = scaled(torch.from_numpy(problem.X)).numpy()
    return lambda: net.partial_fit(X, problem.y, epochs=1)


def libauc_epoch(problem: Problem) -> Run:
    """Return an epoch of LibAUC's loop: its loss, its optimizer, a shuffling DataLoader."""
    from libauc.losses import CompositionalAUCLoss
    from libauc.optimizers import PDSCA

    device = problem.device
    module = problem.make_module()
    loss = CompositionalAUCLoss(device=device)
    optimizer = PDSCA(module.parameters(), loss, lr=0.1, verbose=False, device=device)
    data = TensorDataset(scaled(torch.from_numpy(problem.X)), torch.from_numpy(problem.y))
    batches = DataLoader(data, BATCH_SIZE, shuffle=True)

    def epoch() -> None:
        for inputs, targets in batches:
            inputs, targets = inputs.to(device), targets.to(device)
            optimizer.zero_grad()
            loss(torch.sigmoid(module(inputs)), targets).backward()
            optimizer.step()

    return epoch


def training_runs(problem: Problem) -> Iterator[tuple[str, Callable[[], Run]]]:
    """Yield what makes that which trains, by name."""
    lookahead: dict[str, Any] = {"optimizer__variant": "lookahead"}
    yield "bare torch", partial(bare_epoch, problem)
    yield "bare torch, two passes a batch", partial(bare_epoch, problem, n_passes=2)
    yield "skdam, alternating", partial(our_epoch, problem)
    yield "skdam, lookahead", partial(our_epoch, problem, **lookahead)
    yield "skdam, alternating, compiled", partial(our_epoch, problem, compile=True)
    yield "skdam, lookahead, compiled", partial(our_epoch, problem, **lookahead, compile=True)
    yield "skdam, AUC from scratch", partial(our_epoch, problem, strategy="auc")
    yield "skdam, cross-entropy", partial(our_epoch, problem, strategy="cross-entropy")
    if problem.is_on_cuda:
        yield "skdam, alternating, bfloat16", partial(our_epoch, problem, precision="bfloat16")
        graphs: dict[str, Any] = {"compile": True, "compile__mode": "reduce-overhead"}
        yield "skdam, alternating, CUDA graphs", partial(our_epoch, problem, **graphs)
    yield "skorch", partial(skorch_epoch, problem)
    if find_spec("libauc") is None:
        print("LibAUC is left out: it is not installed.", file=sys.stderr)
    else:
        yield "LibAUC", partial(libauc_epoch, problem)
    if problem.network == "resnet20":
        return
    for n_members in (8, 32):
        members = {"n_members": n_members, "n_landmarks": 0}
        yield f"skdam, {n_members} members", partial(our_epoch, problem, module=members)
    encoded = {"n_members": 8, "n_landmarks": 0, "encoding": "piecewise-linear"}
    yield "skdam, 8 members, encoded", partial(our_epoch, problem, module=encoded)
    default: dict[str, Any] = {"n_members": 8, "encoding": "piecewise-linear", "dropout": 0.1}
    yield "skdam, the default network", partial(our_epoch, problem, module=default)
    not_encoded = default | {"encoding": None}
    name = "skdam, the default network, not encoded"
    yield name, partial(our_epoch, problem, module=not_encoded)
    default_compiled = partial(our_epoch, problem, module=default, compile=True)
    yield "skdam, the default network, compiled", default_compiled


# what is reported of two runs: how many times as long the first takes as the second
PAIRS = (
    ("skdam, alternating", "bare torch"),
    ("skdam, lookahead", "bare torch, two passes a batch"),
    ("skdam, alternating, compiled", "bare torch"),
    ("skorch", "skdam, alternating"),
    ("LibAUC", "skdam, alternating"),
    ("LibAUC", "skdam, alternating, compiled"),
    ("skdam, 8 members", "skdam, alternating"),
    ("skdam, 32 members", "skdam, alternating"),
    ("skdam, 8 members, encoded", "skdam, 8 members"),
    ("skdam, the default network", "skdam, the default network, not encoded"),
    ("skdam, the default network, compiled", "skdam, the default network"),
    ("skdam, predict_proba", "bare torch, scores"),
)


def scoring_runs(problem: Problem, n_rows: int) -> dict[str, Run]:
    """Return what scores ``n_rows`` rows, by name."""
    X, y = problem.X, problem.y
    repeated = np.tile(X, (-(-n_rows // len(X)), *[1] * (X.ndim - 1)))[:n_rows]
    clf = CompositionalAUCClassifier(
        problem.make_module(), max_epochs=1, device=problem.device, random_state=0
    ).fit(X, y)
    module = clf.net_.module_.eval()

    def bare() -> None:
        with torch.inference_mode():
            batches = torch.from_numpy(repeated).split(1024)
            torch.cat([module(scaled(batch.to(problem.device))) for batch in batches]).cpu()

    return {
        "bare torch, scores": bare,
        "skdam, predict_proba": lambda: clf.predict_proba(repeated),
    }


def measure(problem: Problem, runs: Mapping[str, Run], repeats: int) -> dict[str, np.ndarray]:
    """Return the seconds of each run on a problem, the first time and then in each repeat."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    rng = np.random.default_rng(0)
    for repeat in range(repeats + 1):
        for name in rng.permutation(list(runs)):
            start = perf_counter()
            runs[name]()
            if problem.is_on_cuda:
                torch.cuda.synchronize()
            seconds[name].append(perf_counter() - start)
        print(f"{repeat}/{repeats} repeats", file=sys.stderr)
    return {name: np.array(values) for name, values in seconds.items()}


def summary(
    problem: Problem, training: Mapping[str, np.ndarray], scoring: Mapping[str, Any]
) -> str:
    """Return the tables as Markdown."""
    n_rows = len(problem.X)
    n_steps = -(-n_rows // BATCH_SIZE)
    place = f"{torch.get_num_threads()} CPU thread(s)"
    if problem.is_on_cuda:
        place += f", {torch.cuda.get_device_name(problem.device)}"
    text = f"# Speed\n\n{place}, torch {torch.__version__}.\n\n"
    text += f"## An epoch of {n_rows} rows, {problem.network}, batches of {BATCH_SIZE}\n\n"
    text += markdown_table(
        ["", "seconds", "us a step", "of bare torch", "first epoch"],
        [
            [
                name,
                f"{np.median(times[1:]):.3f}",
                f"{np.median(times[1:]) / n_steps * 1e6:.0f}",
                f"{np.median(times[1:] / training['bare torch'][1:]):.2f}",
                f"{times[0]:.3f}",
            ]
            for name, times in training.items()
        ],
    )
    text += "\n## Scores\n\n"
    text += markdown_table(
        ["", "seconds"], [[name, f"{np.median(times[1:]):.3f}"] for name, times in scoring.items()]
    )
    text += "\n## Ratios within a repeat\n\n"
    everything = {**training, **scoring}
    rows = []
    for name, other in PAIRS:
        if name in everything and other in everything:
            times, others = everything[name][1:], everything[other][1:]
            low, median, high = np.quantile(times / others, [0.25, 0.5, 0.75])
            spread, fastest = f"{low:.2f} to {high:.2f}", f"{times.min() / others.min():.2f}"
            rows.append([name, other, f"{median:.2f}", spread, fastest])
    return text + markdown_table(["", "by", "median", "quartiles", "of the fastest"], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=NETWORKS, default="perceptron")
    parser.add_argument("--device", default="cpu", help="where to train, as in torch")
    parser.add_argument("--without", help="part of the names of runs to leave out, as 'compiled'")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--scored-rows", type=int, default=_SCORED_ROWS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help="Markdown file")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    problem = Problem.make(arguments.rows, arguments.network, arguments.device)
    epochs = {
        name: make()
        for name, make in training_runs(problem)
        if arguments.without is None or arguments.without not in name
    }
    training = measure(problem, epochs, arguments.repeats)
    scores = scoring_runs(problem, arguments.scored_rows)
    scoring = measure(problem, scores, arguments.repeats)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(summary(problem, training, scoring))
    return 0


if __name__ == "__main__":
    sys.exit(main())
