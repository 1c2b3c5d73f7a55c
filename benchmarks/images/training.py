"""Train one network on images in several ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.harness.progress import GeneratorState, Progress, Stateful
from benchmarks.images.catalogue import LIBAUC, OURS, SGD, parse
from benchmarks.images.data import Part
from benchmarks.images.resumption import Resumption
from benchmarks.models.loops import forward_pass, select_batches, sgd_epoch
from skdam import (
    CompositionalAUCClassifier,
    CompositionalAUCNet,
    ResNet20,
    StratifiedBatchSampler,
)
from skdam.data.batches import sample_for_statistics
from skdam.data.memory import InMemoryDataset
from skdam.losses.inner import INNER_LOSSES
from skdam.training.net import Precision

# is called with the number of complete epochs, and a net that scores and embeds images
OnEpochEnd = Callable[[int, CompositionalAUCNet], None]


@dataclass(frozen=True)
class Training:
    """What is the same for all models of a run."""

    n_epochs: int
    batch_size: int
    width: int
    random_state: int
    precision: Precision = "float32"


@dataclass(frozen=True)
class _Task:
    """A network to train, on what, and how."""

    module: ResNet20
    data: Part
    training: Training
    parameters: dict[str, Any]
    on_epoch_end: OnEpochEnd
    progress: Progress


def train(
    text: str,
    data: Part,
    training: Training,
    on_epoch_end: OnEpochEnd,
    progress: Progress | None = None,
) -> None:
    """Train a model.

    Parameters
    ----------
    text : str
        The model, see :func:`benchmarks.images.catalogue.parse`.
    data : Part
    training : Training
    on_epoch_end : callable
        Is called with the number of complete epochs, and a net that scores and embeds images.
    progress : Progress or None, default=None
        Saves and restores the state of training. None does neither.
    """
    name, changes = parse(text)
    parameters = (OURS | LIBAUC | SGD)[name] | changes
    if parameters.get("sampling_rate", 0.5) is None:
        parameters["sampling_rate"] = float(data.y.mean())
    if name == "weighted-cross-entropy":
        # batches hold whole positives, so their share differs a little from that in the data
        sampler = StratifiedBatchSampler(
            data.y, training.batch_size, sampling_rate=parameters["sampling_rate"]
        )
        parameters["inner_loss"] = _Weighted(sampler.n_negative / sampler.n_positive)
    # every model starts from the same weights
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.random_state)
        module = ResNet20(data.X.shape[1], width=training.width)
    trainer = _train_ours if name in OURS else _train_libauc if name in LIBAUC else _train_sgd
    trainer(_Task(module, data, training, parameters, on_epoch_end, progress or Progress()))


class _Weighted:
    """Cross-entropy in which the loss of positives is multiplied by a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = INNER_LOSSES["cross-entropy"](logits, targets)
        # the mean is 1, so that a learning rate means the same as without weights
        weights = torch.where(targets > 0.5, self.factor, 1.0)
        return losses * weights * (1 + self.factor) / (2 * self.factor)


def _train_ours(task: _Task) -> None:
    training = task.training
    resumption = Resumption(
        task.progress, lambda n, module: task.on_epoch_end(n, _scoring_net(module))
    )
    CompositionalAUCClassifier(
        task.module,
        max_epochs=training.n_epochs,
        batch_size=training.batch_size,
        precision=training.precision,
        random_state=training.random_state,
        callbacks=[resumption],
        **task.parameters,
    ).fit(*task.data)


def _scoring_net(module: nn.Module) -> CompositionalAUCNet:
    """Return a net that scores in batches, without gradients, in float32."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # on a CPU, larger batches would exceed its caches
    return CompositionalAUCNet(module, batch_size=256, device=device, verbose=0).initialize()


def _train_libauc(task: _Task) -> None:
    from benchmarks.models import libauc_training

    training, net = task.training, _scoring_net(task.module)
    libauc_training.train(
        task.module,
        *task.data,
        n_epochs=training.n_epochs,
        batch_size=training.batch_size,
        random_state=training.random_state,
        device=net.device,
        precision=training.precision,
        on_epoch_end=lambda n: task.on_epoch_end(n, net),
        progress=task.progress,
        **task.parameters,
    )


def _train_sgd(task: _Task) -> None:
    """Train in the usual way, without regard to AUC: SGD with momentum, random batches."""
    module, training = task.module, task.training
    dataset = InMemoryDataset(task.data.X, task.data.y.astype(np.float32))
    net = _scoring_net(module)
    module.fit_statistics(*sample_for_statistics(dataset))
    optimizer = torch.optim.SGD(module.parameters(), momentum=0.9, **task.parameters)
    n_epochs = training.n_epochs
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimizer, [round(0.5 * n_epochs), round(0.75 * n_epochs)]
    )
    generator = torch.Generator().manual_seed(training.random_state)
    parts: dict[str, Stateful] = {
        "module": module,
        "optimizer": optimizer,
        "schedule": schedule,
        "order": GeneratorState(generator),
    }
    forward = forward_pass(module, net.device, training.precision)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(training.random_state)
        for _ in task.progress.epochs(n_epochs, lambda n: task.on_epoch_end(n, net), parts):
            module.train()
            order = torch.randperm(len(dataset), generator=generator)
            batches = select_batches(dataset, order.split(training.batch_size), net.device)
            sgd_epoch(forward, optimizer, batches)
            schedule.step()
