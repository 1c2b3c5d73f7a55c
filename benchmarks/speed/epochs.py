"""Time an epoch of training by skdam, bare PyTorch, skorch and LibAUC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from skorch import NeuralNetBinaryClassifier
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.harness.packages import can_run
from benchmarks.harness.timing import interleave, timed
from benchmarks.models.loops import sgd_epoch
from benchmarks.speed.problem import BATCH_SIZE, Problem
from benchmarks.speed.results import Measurement
from skdam import CompositionalAUCNet
from skdam.data.batches import scaled

Epoch = Callable[[], Any]

BARE = "bare torch"
# the ratios that are reported: the seconds of the first by those of the second
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
)


def bare_epoch(problem: Problem, *, n_passes: int = 1) -> Epoch:
    """Return an epoch of the minimum: select, forward, backward, SGD."""
    module = problem.make_module()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, foreach=True)
    inputs, targets = problem.tensors()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(inputs), device=inputs.device).split(BATCH_SIZE):
            yield scaled(inputs.index_select(0, rows)), targets.index_select(0, rows)

    return lambda: sgd_epoch(module, optimizer, batches(), n_passes=n_passes)


def our_epoch(
    problem: Problem, *, module: Mapping[str, Any] = MappingProxyType({}), **parameters: Any
) -> Epoch:
    """Return an epoch of skdam; ``module`` are parameters of the network."""
    net = CompositionalAUCNet(
        problem.make_module(**module),
        batch_size=BATCH_SIZE,
        device=problem.device,
        verbose=0,
        **parameters,
    ).initialize()
    return lambda: net.partial_fit(problem.X, problem.y, epochs=1)


def skorch_epoch(problem: Problem) -> Epoch:
    """Return an epoch of skorch with its defaults, except that no rows are held out."""
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


def libauc_epoch(problem: Problem) -> Epoch:
    """Return an epoch of LibAUC: its loss, its optimizer, a shuffling DataLoader."""
    from libauc.losses import CompositionalAUCLoss
    from libauc.optimizers import PDSCA

    from benchmarks.models import libauc_training

    device = problem.device
    module = problem.make_module()
    loss = CompositionalAUCLoss(device=device)
    optimizer = PDSCA(module.parameters(), loss, lr=0.1, verbose=False, device=device)
    data = TensorDataset(scaled(torch.from_numpy(problem.X)), torch.from_numpy(problem.y))
    loader = DataLoader(data, BATCH_SIZE, shuffle=True)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in loader:
            yield inputs.to(device), targets.to(device)

    return lambda: libauc_training.libauc_epoch(module, loss, optimizer, batches())


def training_epochs(problem: Problem) -> Iterator[tuple[str, Callable[[], Epoch]]]:
    """Yield the name of each epoch, and the function that makes it."""
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
    if can_run("LibAUC", "libauc"):
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


def measure_epochs(problem: Problem, repeats: int, without: str | None = None) -> Measurement:
    """Time an epoch of each way of training, except those whose name contains ``without``."""
    epochs = {
        name: timed(make(), problem.synchronize)
        for name, make in training_epochs(problem)
        if without is None or without not in name
    }
    seconds = interleave(epochs, repeats)
    pairs = [(name, BARE) for name in seconds] + [pair for pair in PAIRS if pair[1] != BARE]
    return Measurement(
        "epochs", problem.network, problem.device, len(problem.X), seconds, tuple(pairs)
    )
