"""Options of the optimizer: what they may be, and how they go together."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import Any, Literal, get_args

from skdam._numbers import as_number, check_ints, in_order

Variant = Literal["alternating", "lookahead"]
Hypergradient = Literal["first-order", "exact"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
HYPERGRADIENTS: tuple[Hypergradient, ...] = get_args(Hypergradient)

Options = dict[str, Any]

_NUMBERS = itemgetter("lr", "inner_lr", "weight_decay", "epoch_decay", "clip_value", "beta2", "eps")


def options_of(group: Options) -> tuple[Any, ...]:
    """Return the options that a step depends on."""
    return (*_NUMBERS(group), *group["betas"])


def inner_lr_of(options: Options) -> float:
    """Return the learning rate of the inner step."""
    return options["lr"] if options["inner_lr"] is None else options["inner_lr"]


def check_composition(
    variant: str, inner_steps: int, hypergradient: str, averaging: float | None = None
) -> None:
    """Raise unless these parameters of :class:`PDSCA` go together."""
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}, got {variant!r}.")
    if hypergradient not in HYPERGRADIENTS:
        raise ValueError(f"hypergradient must be one of {HYPERGRADIENTS}, got {hypergradient!r}.")
    if hypergradient == "exact" and variant != "lookahead":
        raise ValueError(
            "hypergradient='exact' needs variant='lookahead': the alternating variant moves the "
            "weights to the inner point and has no hypergradient."
        )
    check_ints(0, inner_steps=inner_steps)
    if variant == "lookahead" and inner_steps != 1:
        raise ValueError(f"variant='lookahead' takes inner_steps=1, got {inner_steps!r}.")
    if averaging is None:
        return
    if not 0 < as_number("averaging", averaging) < 1:
        raise ValueError(f"averaging must be a number in (0, 1) or None, got {averaging!r}.")
    if variant == "lookahead":
        raise ValueError(
            f"averaging={averaging!r} needs variant='alternating': the lookahead variant predicts "
            "with the inner point, not with an average of weights."
        )


def normalise_group(group: Options) -> None:
    """Turn the numbers of a group into Python's own, which any file format takes, or raise."""
    for name in ("lr", "inner_lr", "clip_value", "eps", "weight_decay", "epoch_decay", "beta2"):
        if group[name] is not None or name != "inner_lr":
            group[name] = as_number(name, group[name])
    for name in ("lr", "inner_lr", "eps"):
        if group[name] is not None and not 0 < group[name] < math.inf:
            raise ValueError(f"{name} must be a number > 0, got {group[name]!r}.")
    if not group["clip_value"] > 0:
        raise ValueError(f"clip_value must be a number > 0 or inf, got {group['clip_value']!r}.")
    for name in ("weight_decay", "epoch_decay"):
        if not 0 <= group[name] < math.inf:
            raise ValueError(f"{name} must be a number >= 0, got {group[name]!r}.")
    betas = [as_number("an item of betas", beta) for beta in in_order("betas", group["betas"])]
    if len(betas) != 2 or not all(0 < beta <= 1 for beta in betas):
        raise ValueError(f"betas must be a pair of numbers in (0, 1], got {group['betas']!r}.")
    group["betas"] = tuple(betas)
    if not 0 < group["beta2"] <= 1:
        raise ValueError(f"beta2 must be a number in (0, 1], got {group['beta2']!r}.")
    group.setdefault("first_lr", group["lr"])
    group.setdefault("first_inner_lr", group["inner_lr"])
