"""The models of the benchmark on images, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.harness.packages import can_run
from benchmarks.models.strategies import STRATEGIES

# a sampling rate of None is the share of positives in the data, as in random batches
_AT_SHARE: dict[str, Any] = STRATEGIES["cross-entropy"] | {"sampling_rate": None}
OURS: dict[str, dict[str, Any]] = {
    "compositional": {},
    "lookahead": STRATEGIES["lookahead"],
    "two-stage": STRATEGIES["two-stage"],
    "auc": STRATEGIES["auc"],
    "balanced-cross-entropy": STRATEGIES["cross-entropy"],
    "cross-entropy": _AT_SHARE,
    "weighted-cross-entropy": _AT_SHARE,
    "focal": _AT_SHARE | {"inner_loss": "focal"},
}
LIBAUC: dict[str, dict[str, Any]] = {
    "libauc-shipped": {"repaired": False, "sampling_rate": 0.5},
    "libauc-repaired": {"repaired": True, "sampling_rate": 0.5},
}
SGD: dict[str, dict[str, Any]] = {"sgd-cross-entropy": {"lr": 0.1, "weight_decay": 5e-4}}
NAMES = (*OURS, *LIBAUC, *SGD)
_CHANGES = ("lr", "inner_lr", "weight_decay", "epoch_decay", "sampling_rate")


def parse(text: str) -> tuple[str, dict[str, float | None]]:
    """Return the name and the changed parameters of "name:lr=0.3:sampling_rate=share"."""
    name, *changes = text.split(":")
    if name not in NAMES:
        raise ValueError(f"{name!r} is no model; there are {', '.join(NAMES)}.")
    parameters: dict[str, float | None] = {}
    for change in changes:
        key, _, value = change.partition("=")
        if key not in _CHANGES:
            raise ValueError(f"{change!r} changes none of {', '.join(_CHANGES)}.")
        parameters[key] = None if value == "share" else float(value)
    return name, parameters


def available(texts: Iterable[str]) -> list[str]:
    """Return the models whose packages are installed; the others are printed as left out."""
    return [text for text in texts if parse(text)[0] not in LIBAUC or can_run(text, "libauc")]


def candidates(name: str) -> list[str]:
    """Return a model with each of the rates that are tried in validation before a long training.

    There are two learning rates, and two shares of positives in a batch where the model leaves
    that open: as many for the rivals as for ours. The papers and LibAUC's notebooks use the first.
    """
    rates = (0.1, 0.03) if name in SGD else (0.1, 0.3)
    has_share = name in SGD or OURS.get(name, {}).get("sampling_rate", 0.5) is None
    shares = [""] if has_share else [":sampling_rate=0.2", ":sampling_rate=0.5"]
    return [f"{name}:lr={rate}{share}" for rate in rates for share in shares]
