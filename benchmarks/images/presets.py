"""Presets of the benchmark on images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.harness.store import Job
from benchmarks.images.catalogue import NAMES
from skdam.training.net import Precision


@dataclass(frozen=True)
class Preset:
    """How long, and on how much data, models are trained.

    Parameters
    ----------
    sets : tuple of str
    models : tuple of str
    n_epochs, batch_size, width : int
        Of training; ``width`` is the number of channels in the network's first stage.
    score_every : int
        The number of epochs between points of a curve.
    most_images : mapping
        The most training, validation and test images of a set. All of a set not in the mapping.
    precision : str
        Of training.
    probe_epochs : tuple of int
        Epochs, besides the last, after which features are probed and weights saved.
    search : Preset or None
        The short training by which the rates of each model are chosen. None chooses none.
    plan : tuple of Job
        With a search, the jobs in order.
    """

    sets: tuple[str, ...]
    models: tuple[str, ...]
    n_epochs: int
    batch_size: int
    width: int
    score_every: int
    most_images: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    precision: Precision = "float32"
    probe_epochs: tuple[int, ...] = ()
    search: Preset | None = None
    plan: tuple[Job, ...] = ()


_MAIN = (
    "compositional",
    "libauc-shipped",
    "auc",
    "sgd-cross-entropy",
    "two-stage",
    "libauc-repaired",
)
_OTHERS = tuple(name for name in NAMES if name not in _MAIN)
# the models that matter most come first, so that an unfinished run is useful
PAPER_JOBS = (
    *(
        Job("chest-xray", seed, name)
        for names in (_MAIN, _OTHERS)
        for seed in (0, 1, 2)
        for name in names
    ),
    *(Job("cifar10-10", 0, name) for name in _MAIN),
    *(Job("cifar10-10", 1, name) for name in _MAIN[:4]),
    *(Job("cifar10-1", 0, name) for name in _MAIN[:4]),
)

# the better learning rate of 0.1 and 0.3 (0.03 and 0.1 for sgd-cross-entropy, which has momentum):
# that with the higher AUC on validation images, averaged over both sets, of a seed not reported
_QUICK_RATES = {
    "compositional": 0.3,
    "lookahead": 0.1,
    "two-stage": 0.1,
    "auc": 0.1,
    "balanced-cross-entropy": 0.1,
    "cross-entropy": 0.3,
    "weighted-cross-entropy": 0.1,
    "focal": 0.3,
    "sgd-cross-entropy": 0.03,
    "libauc-shipped": 0.3,
    "libauc-repaired": 0.3,
}
_PAPER_SEARCH = Preset(
    ("chest-xray", "cifar10-10", "cifar10-1"),
    NAMES,
    n_epochs=10,
    batch_size=128,
    width=16,
    score_every=1,
    most_images=dict.fromkeys(("cifar10-10", "cifar10-1"), (10_000, 10_000, 10_000)),
    precision="bfloat16",
)
PRESETS = {
    "quick": Preset(
        ("chest-xray", "cifar10-10"),
        tuple(f"{name}:lr={rate}" for name, rate in _QUICK_RATES.items()),
        n_epochs=8,
        batch_size=64,
        width=8,
        score_every=2,
        most_images={"cifar10-10": (3000, 600, 2000)},
    ),
    "paper": replace(
        _PAPER_SEARCH,
        n_epochs=100,
        # scoring all images takes a fifth as long as an epoch of training
        score_every=4,
        most_images={},
        probe_epochs=(10, 50),
        search=_PAPER_SEARCH,
        plan=PAPER_JOBS,
    ),
    # "paper" in a quarter of its epochs, in the order of its jobs: one seed takes two hours
    "quarter": replace(
        _PAPER_SEARCH,
        sets=("cifar10-10",),
        n_epochs=24,
        score_every=2,
        most_images={},
        probe_epochs=(8,),
        search=replace(_PAPER_SEARCH, n_epochs=5),
        plan=tuple(Job("cifar10-10", seed, name) for seed in (0, 1, 2) for name in _MAIN),
    ),
    # for the tests of the benchmark
    "tiny": Preset(
        ("chest-xray", "cifar10-30"),
        NAMES,
        n_epochs=2,
        batch_size=16,
        width=2,
        score_every=1,
        most_images=dict.fromkeys(("chest-xray", "cifar10-30"), (60, 40, 40)),
    ),
}
