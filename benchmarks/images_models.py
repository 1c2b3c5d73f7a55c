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

from benchmarks.images_data import Part
from skdam import CompositionalAUCClassifier, CompositionalAUCNet, ResNet20
from skdam.losses import INNER_LOSSES

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
NAMES = (*_OURS, *_LIBAUC)

Predict = Callable[[np.ndarray], np.ndarray]


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
    pairs = (change.split("=") for change in changes)
    return name, {key: None if value == "share" else float(value) for key, value in pairs}


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
    text: str, data: Part, training: Training, on_epoch_end: Callable[[int, Predict], None]
) -> Predict:
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
    parameters = (_OURS | _LIBAUC)[name] | changes
    if parameters.get("sampling_rate", 0.5) is None:
        parameters["sampling_rate"] = float(data.y.mean())
    # the weights that every model starts from
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.random_state)
        module = ResNet20(data.X.shape[1], width=training.width)
    function = _train_libauc if name in _LIBAUC else _train_ours
    if name == "weighted-cross-entropy":
        parameters["inner_loss"] = _Weighted(float(1 / data.y.mean() - 1))
    return function(module, data, training, parameters, on_epoch_end)


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
    def __init__(self, function: Callable[[int, Predict], None]) -> None:
        self.function = function

    def on_epoch_end(self, net: CompositionalAUCNet, **_: Any) -> None:
        self.function(len(net.history), net.decision_function)


def _train_ours(
    module: ResNet20,
    data: Part,
    training: Training,
    parameters: dict[str, Any],
    on_epoch_end: Callable[[int, Predict], None],
) -> Predict:
    classifier = CompositionalAUCClassifier(
        module,
        max_epochs=training.n_epochs,
        batch_size=training.batch_size,
        random_state=training.random_state,
        callbacks=[_AtEpochEnd(on_epoch_end)],
        **parameters,
    )
    return classifier.fit(*data).embed


def _train_libauc(
    module: ResNet20,
    data: Part,
    training: Training,
    parameters: dict[str, Any],
    on_epoch_end: Callable[[int, Predict], None],
) -> Predict:
    from benchmarks import libauc_models

    # scores in batches, without gradients, as the others'
    net = CompositionalAUCNet(
        module,
        batch_size=1024,
        device="cuda" if torch.cuda.is_available() else "cpu",
        verbose=0,
    ).initialize()
    libauc_models.train(
        net.module_,
        *data,
        n_epochs=training.n_epochs,
        batch_size=training.batch_size,
        random_state=training.random_state,
        device=net.device,
        on_epoch_end=lambda epoch: on_epoch_end(epoch, net.decision_function),
        **parameters,
    )
    return net.embed
