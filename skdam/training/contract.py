"""What a module must take and return."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skdam.data.batches import scaled
from skdam.training.scoring import n_members_of, vote


def check_module(module: nn.Module, infer: Callable[[Tensor], Any], X: Tensor) -> None:
    """Check that a module takes a batch and returns logits that can be trained.

    Parameters
    ----------
    module : nn.Module
    infer : callable
        Returns the output of the module for a batch.
    X : Tensor of shape (n, ...)
        A small batch.

    Raises
    ------
    ValueError, TypeError
        If it does not.
    """
    name = type(module).__name__
    try:
        output = infer(X)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"module {name} does not take a batch of shape {tuple(X.shape)} and dtype "
            f"{scaled(X).dtype}: {error}"
        ) from error
    if not isinstance(output, Tensor):
        raise TypeError(f"module {name} must return a Tensor, got {type(output).__name__}.")
    n, k = len(X), n_members_of(module)
    if output.shape not in (((n,), (n, 1)) if k == 1 else ((n, k),)):
        wanted = "one logit for each example, of shape (n,) or (n, 1)"
        if k > 1:
            wanted = f"a logit of each of its n_members={k} members, of shape (n, {k})"
        raise ValueError(
            f"module {name} must return {wanted}; for input of shape {tuple(X.shape)} it "
            f"returned {tuple(output.shape)}."
        )
    votes = vote(module, output)
    if votes.shape != (n,):
        raise ValueError(
            f"the vote of module {name} must return one score for each example, of shape "
            f"({n},) here; it returned {tuple(votes.shape)}."
        )
    decide = getattr(module, "decision_function", None)
    if inspect.ismethod(decide):
        with torch.no_grad():
            scores = decide(scaled(X.to(output.device)))
        if not isinstance(scores, Tensor) or scores.shape != (n,):
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(
                f"decision_function of module {name} must return a Tensor of one score for each "
                f"example, of shape ({n},) here; it returned {got}."
            )
    if not output.requires_grad:
        raise ValueError(
            f"module {name} has nothing to train: its output depends on no parameter with "
            "requires_grad=True."
        )
