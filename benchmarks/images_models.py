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
from skorch.history import History
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.images_data import Part
from benchmarks.images_state import GeneratorState, Progress, State, Stateful
from benchmarks.precision import autocast
from skdam import (
    CompositionalAUCClassifier,
    CompositionalAUCNet,
    ResNet20,
    StratifiedBatchSampler,
)
from skdam.data.batches import sample_for_statistics, scaled, take
from skdam.data.memory import InMemoryDataset
from skdam.losses.inner import INNER_LOSSES

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

# gets the number of epochs done, and a net that scores and embeds images
OnEpochEnd = Callable[[int, CompositionalAUCNet], None]


@dataclass(frozen=True)
class Training:
    """What is the same for all models of a run."""

    n_epochs: int
    batch_size: int
    width: int
    random_state: int
    precision: str = "float32"


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


def candidates(name: str) -> list[str]:
    """Return a model at the rates that it is tried with, by validation, before a long training.

    Two learning rates each, and two shares of positives in a batch where that is free: as many
    for the rivals as for ours. The first is what the papers and LibAUC's notebooks train with.
    """
    rates = (0.1, 0.03) if name in _SGD else (0.1, 0.3)
    has_share = name in _SGD or _OURS.get(name, {}).get("sampling_rate", 0.5) is None
    shares = [""] if has_share else [":sampling_rate=0.2", ":sampling_rate=0.5"]
    return [f"{name}:lr={rate}{share}" for rate in rates for share in shares]


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
        See :func:`parse`.
    data : Part
    training : Training
    on_epoch_end : callable
        Gets the number of epochs done, and a net that scores and embeds images.
    progress : Progress or None, default=None
        Where the state of the training is kept; None keeps none.
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
    trainer = _train_ours if name in _OURS else _train_libauc if name in _LIBAUC else _train_sgd
    trainer(module, data, training, parameters, on_epoch_end, progress or Progress())


class _Weighted:
    """Cross-entropy with the positives' loss multiplied."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = INNER_LOSSES["cross-entropy"](logits, targets)
        # of mean 1, so that a rate means the same as without weights
        weights = torch.where(targets > 0.5, self.factor, 1.0)
        return losses * weights * (1 + self.factor) / (2 * self.factor)


class _Resumption(Callback):
    """Save the state of a net at the end of each epoch, and go on from a saved one."""

    def __init__(self, progress: Progress, on_epoch_end: OnEpochEnd) -> None:
        self.progress = progress
        self.end_of_epoch = on_epoch_end

    def on_train_begin(self, net: CompositionalAUCNet, **_: Any) -> None:
        self.progress.restore(net=_NetState(net))

    def on_epoch_begin(self, net: CompositionalAUCNet, **_: Any) -> None:
        if self.progress.n_epochs == net.max_epochs:
            # the way in which skorch's own callbacks end training
            raise KeyboardInterrupt
        # there is no sampler before
        self.progress.restore(sampler=net.sampler_)
        self.progress.restore_generators()

    def on_epoch_end(self, net: CompositionalAUCNet, **_: Any) -> None:
        self.end_of_epoch(len(net.history), _net_of(net.module_))
        self.progress.end_epoch(net=_NetState(net), sampler=net.sampler_)


class _NetState:
    """What a net needs to go on with, the order of the data aside."""

    def __init__(self, net: CompositionalAUCNet) -> None:
        self._net = net

    def state_dict(self) -> State:
        rows = [
            {name: _plain(value) for name, value in row.items() if name != "batches"}
            for row in self._net.history
        ]
        return {"history": rows, "training": self._net.training_state()}

    def load_state_dict(self, state_dict: State, /) -> None:
        self._net.history_ = History([{**row, "batches": []} for row in state_dict["history"]])
        self._net.load_training_state(state_dict["training"])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _train_ours(
    module: ResNet20,
    data: Part,
    training: Training,
    parameters: dict[str, Any],
    on_epoch_end: OnEpochEnd,
    progress: Progress,
) -> None:
    classifier = CompositionalAUCClassifier(
        module,
        max_epochs=training.n_epochs,
        batch_size=training.batch_size,
        precision=training.precision,
        random_state=training.random_state,
        callbacks=[_Resumption(progress, on_epoch_end)],
        **parameters,
    )
    classifier.fit(*data)


def _net_of(module: ResNet20) -> CompositionalAUCNet:
    """Return a net that scores in batches, without gradients, in float32."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # on a CPU larger batches would leave its caches
    return CompositionalAUCNet(module, batch_size=256, device=device, verbose=0).initialize()


def _train_libauc(
    module: ResNet20,
    data: Part,
    training: Training,
    parameters: dict[str, Any],
    on_epoch_end: OnEpochEnd,
    progress: Progress,
) -> None:
    from benchmarks import libauc_models

    net = _net_of(module)
    libauc_models.train(
        module,
        *data,
        n_epochs=training.n_epochs,
        batch_size=training.batch_size,
        random_state=training.random_state,
        device=net.device,
        precision=training.precision,
        on_epoch_end=lambda n: on_epoch_end(n, net),
        progress=progress,
        **parameters,
    )


def _train_sgd(
    module: ResNet20,
    data: Part,
    training: Training,
    parameters: dict[str, Any],
    on_epoch_end: OnEpochEnd,
    progress: Progress,
) -> None:
    """Train as one does without thinking of AUC: SGD with momentum, batches at random."""
    dataset = InMemoryDataset(data.X, data.y.astype(np.float32))
    net = _net_of(module)
    module.fit_statistics(*sample_for_statistics(dataset))
    optimizer = torch.optim.SGD(module.parameters(), momentum=0.9, weight_decay=5e-4, **parameters)
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
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(training.random_state)
        for _ in progress.epochs(n_epochs, lambda n: on_epoch_end(n, net), parts):
            module.train()
            for batch in torch.randperm(len(dataset), generator=generator).split(
                training.batch_size
            ):
                inputs, targets = (part.to(net.device) for part in take(dataset, batch))
                optimizer.zero_grad()
                with autocast(net.device, training.precision):
                    logits = module(scaled(inputs))
                binary_cross_entropy_with_logits(logits.float(), targets).backward()
                optimizer.step()
            schedule.step()
