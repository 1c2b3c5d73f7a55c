"""Whether callbacks, or methods of a subclass, see the batches of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring, LRScheduler

from skdam.losses.compositional import CompositionalAUCLoss

_OF_BATCHES = ("on_batch_begin", "on_batch_end", "on_grad_computed")
_STEPS = ("train_step", "train_step_single")


def own_methods(net: Any, names: Iterable[str]) -> list[str]:
    """Return which methods of a net a subclass or an instance has put in place of ours."""
    return [name for name in names if getattr(net, name).__module__ != "skdam.training.net"]


def is_observed(net: Any) -> bool:
    """Return whether the net or one of its callbacks does something with batches of training."""
    return (
        bool(own_methods(net, _STEPS))
        or _observes_batches(net, NeuralNet)
        or any(_observes_batches(callback, Callback) for _, callback in net.callbacks_)
    )


def only_ours_sees_targets(net: Any) -> bool:
    """Return whether the targets of a batch reach our code alone, which leaves them unchanged.

    It is asked of nets that are not observed.
    """
    criterion = net.criterion_
    return (
        not own_methods(net, ("get_loss",))
        and type(criterion) is CompositionalAUCLoss
        and isinstance(criterion.inner_loss, str)
        and not (criterion._forward_hooks or criterion._forward_pre_hooks)
    )


def _observes_batches(listener: Any, base: type) -> bool:
    if type(listener) is LRScheduler:
        return listener.step_every == "batch"
    # our nets keep no outputs for it
    if type(listener) is EpochScoring:
        return False
    if type(listener) is BatchScoring and not listener.on_train:
        return False
    return any(
        getattr(getattr(listener, name), "__func__", None) is not getattr(base, name)
        for name in _OF_BATCHES
    )
