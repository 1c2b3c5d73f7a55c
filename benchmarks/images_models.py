"""The ways to train one network on images, by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.images_data import Part
from skdam import (
    CompositionalAUCClassifier,
    CompositionalAUCNet,
    ResNet20,
    StratifiedBatchSampler,
)
from skdam.data.batches import sample_for_statistics, scaled, take
from skdam.data.memory import InMemoryDataset
from skdam.losses.compositional import INNER_LOSSES

# a rate of None is the share of positives in the data, as of batches drawn at random
_OURS: dict[str, dict[str, Any]] = {
    "compositional": {},
    "lookahead": {"variant": "lookahead"},
    "two-stage": {"strategy": "two-stage"},
    "auc": {"strategy": "auc"},
    "balanced-cross-entropy": {"strategy": "cross-entropy"},
    "cross-entropy": {"strategy": "cross-entropy", "sampling_rate": None},
    "weighted-cross-entropy": {"strategy": "cross-entropy", "sampling_rate": None},
    "focal": {"strategy": "cross-entropy", "inner_loss": "focal", "sampling_rate": None},
}
_LIBAUC: dict[str, dict[str, Any]] = {
    "libauc-shipped": {"repaired": False, "sampling_rate": 0.5},
    "libauc-repaired": {"repaired": True, "sampling_rate": 0.5},
}
_SGD: dict[str, dict[str, Any]] = {"sgd-cross-entropy": {"lr": 0.1}}
NAMES = (*_OURS, *_LIBAUC, *_SGD)

# from images to their logits or to their features
Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Training:
    """What is the same for all models of a run."""

    n_epochs: int
    batch_size: int
    width: int
    random_state: int


def parse(text: str) -> tuple[str, dict[str, float | None]]:
    """Return the name and the changed parameters of "name:lr=0.3:sampling_rate=share"."""
    name, *changes = text.split(":")
    if name not in NAMES:
        raise ValueError(f"{name!r} is no model; there are {', '.join(NAMES)}.")
    parameters: dict[str, float | None] = {}
    for change in changes:
        key, _, value = change.partition("=")
        if key not in ("lr", "inner_lr", "sampling_rate"):
            raise ValueError(f"{change!r} changes neither lr, inner_lr nor sampling_rate.")
        parameters[key] = None if value == "share" else float(value)
    return name, parameters


def available(texts: Iterable[str]) -> list[str]:
    """Return the models whose packages are installed; say which are left out."""
    kept = []
    for text in texts:
        if parse(text)[0] in _LIBAUC and find_spec("libauc") is None:
            print(f"{text} is left out: it needs the package libauc.", file=sys.stderr)
        else:
            kept.append(text)
    return kept


def train(
    text: str, data: Part, training: Training, on_epoch_end: Callable[[int, Function], None]
) -> Function:
    """Train a model and return how it embeds images.

    Parameters
    ----------
    text : str
        See :func:`parse`.
    data : Part
    training : Training
    on_epoch_end : callable
        Gets the number of epochs done, and a function from images to their logits.
    """
    name, changes = parse(text)
    parameters = (_OURS | _LIBAUC | _SGD)[name] | changes
    if parameters.get("sampling_rate", 0.5) is None:
        parameters["sampling_rate"] = float(data.y.mean())
    if name == "weighted-cross-entropy":
        # of what batches hold: whole positives, which are not quite their share
        sampler = StratifiedBatchSampler(
            data.y, training.batch_size, sampling_rate=parameters["sampling_rate"]
        )
        parameters["inner_loss"] = _Weighted(sampler.n_negative / sampler.n_positive)
    # the weights that every model starts from
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.random_state)
        module = ResNet20(data.X.shape[1], width=training.width)
    if name in _OURS:
        return _train_ours(module, data, training, parameters, on_epoch_end)
    trainer = _train_libauc if name in _LIBAUC else _train_sgd
    net = _net_of(module)
    trainer(net, data, training, parameters, lambda n: on_epoch_end(n, net.decision_function))
    return net.embed


class _Weighted:
    """Cross-entropy with the positives' loss multiplied."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = INNER_LOSSES["cross-entropy"](logits, targets)
        # of mean 1, so that a rate means the same as without weights
        weights = torch.where(targets > 0.5, self.factor, 1.0)
        return losses * weights * (1 + self.factor) / (2 * self.factor)


class _AtEpochEnd(Callback):
    def __init__(self, function: Callable[[int, Function], None]) -> None:
        self.function = function

    def on_epoch_end(self, net: CompositionalAUCNet, **_: Any) -> None:
        self.function(len(net.history), net.decision_function)


def _train_ours(
    module: ResNet20,
    data: Part,
    training: Training,
    parameters: dict[str, Any],
    on_epoch_end: Callable[[int, Function], None],
) -> Function:
    classifier = CompositionalAUCClassifier(
        module,
        max_epochs=training.n_epochs,
        batch_size=training.batch_size,
        random_state=training.random_state,
        callbacks=[_AtEpochEnd(on_epoch_end)],
        **parameters,
    )
    return classifier.fit(*data).embed


def _net_of(module: ResNet20) -> CompositionalAUCNet:
    """Return a net that scores in batches, without gradients, as those of our models do."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return CompositionalAUCNet(module, batch_size=1024, device=device, verbose=0).initialize()


def _train_libauc(
    net: CompositionalAUCNet,
    data: Part,
    training: Training,
    parameters: dict[str, Any],
    on_epoch_end: Callable[[int], None],
) -> None:
    from benchmarks import libauc_models

    libauc_models.train(
        net.module_,
        *data,
        n_epochs=training.n_epochs,
        batch_size=training.batch_size,
        random_state=training.random_state,
        device=net.device,
        on_epoch_end=on_epoch_end,
        **parameters,
    )


def _train_sgd(
    net: CompositionalAUCNet,
    data: Part,
    training: Training,
    parameters: dict[str, Any],
    on_epoch_end: Callable[[int], None],
) -> None:
    """Train as one does without thinking of AUC: SGD with momentum, batches at random."""
    dataset = InMemoryDataset(data.X, data.y.astype(np.float32))
    module = net.module_
    module.fit_statistics(*sample_for_statistics(dataset))
    optimizer = torch.optim.SGD(module.parameters(), momentum=0.9, weight_decay=5e-4, **parameters)
    n_epochs = training.n_epochs
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimizer, [round(0.5 * n_epochs), round(0.75 * n_epochs)]
    )
    generator = torch.Generator().manual_seed(training.random_state)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(training.random_state)
        for epoch in range(n_epochs):
            module.train()
            for batch in torch.randperm(len(dataset), generator=generator).split(
                training.batch_size
            ):
                inputs, targets = (part.to(net.device) for part in take(dataset, batch))
                optimizer.zero_grad()
                binary_cross_entropy_with_logits(module(scaled(inputs)), targets).backward()
                optimizer.step()
            schedule.step()
            on_epoch_end(epoch + 1)
