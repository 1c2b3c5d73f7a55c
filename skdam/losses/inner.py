"""The classification losses that the inner step minimises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from skdam._targets import Classes, are_plain
from skdam.losses.outer import weighted_sum

InnerLoss = Callable[[Tensor, Tensor], Tensor]
InnerLossName = Literal["cross-entropy", "focal"]

_FOCUS = 2.0


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _focal(logits: Tensor, targets: Tensor) -> Tensor:
    cross_entropy = _cross_entropy(logits, targets)
    # 1 - p_t, from the logit so that a confident example keeps its digits
    doubt = torch.sigmoid(torch.where(targets > 0.5, -logits, logits))
    return doubt**_FOCUS * cross_entropy


INNER_LOSSES: dict[str, InnerLoss] = {"cross-entropy": _cross_entropy, "focal": _focal}


def inner_loss_function(inner_loss: str | InnerLoss) -> InnerLoss:
    """Return the function with this name, or the function itself.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(inner_loss, str) and inner_loss in INNER_LOSSES:
        return INNER_LOSSES[inner_loss]
    if isinstance(inner_loss, type) or not callable(inner_loss):
        raise ValueError(
            f"inner_loss must be one of {sorted(INNER_LOSSES)} or a function, got {inner_loss!r}."
        )
    return inner_loss


def mean_loss(function: InnerLoss, logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over the batch of each column's losses, weighted if targets have weights.

    Parameters
    ----------
    function : callable
        Takes logits and targets, both of the shape of ``logits``, returns the loss of each
        element.
    logits : Tensor of shape (batch,) or (batch, n_members)
    targets : Tensor of shape (batch,)
        0 or 1, in the dtype of the logits.

    Returns
    -------
    Tensor of shape () or (n_members,)

    Raises
    ------
    ValueError
        If the function returns another shape.
    """
    is_plain = are_plain(targets)
    if is_plain and logits.ndim == 1 and function is _cross_entropy:
        return binary_cross_entropy_with_logits(logits, targets)  # one call instead of two
    losses = function(
        logits, targets.unsqueeze(1).expand_as(logits) if logits.ndim == 2 else targets
    )
    if not isinstance(losses, Tensor) or losses.shape != logits.shape:
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(
            "inner_loss must return a Tensor with the loss of each element, of shape "
            f"{tuple(logits.shape)}, got {got}."
        )
    if is_plain:
        return losses.mean(0)
    return weighted_sum(Classes.of(targets).batch_weights, losses)
