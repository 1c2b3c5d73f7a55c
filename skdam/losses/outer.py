"""What every loss over the ranking of a batch has in common."""

from __future__ import annotations

import math
import warnings
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from skdam._numbers import as_number, check_ints

_PROBABILITIES = {"Sigmoid", "Softmax"}
# operations that keep the values
_VIEWS = {
    "Alias",
    "Clone",
    "Permute",
    "ReshapeAlias",
    "Select",
    "Slice",
    "Squeeze",
    "T",
    "ToCopy",
    "Transpose",
    "UnsafeView",
    "Unsqueeze",
    "View",
}


class OuterLoss(nn.Module):
    """Base of the losses that the outer step of :class:`~skdam.PDSCA` minimises.

    A subclass defines :meth:`value` and, if it has a dual variable, :meth:`ascend`. Its
    parameters are minimised together with the network's.

    Parameters
    ----------
    n_members : int or None
        None for logits of shape (batch,) or (batch, 1); ``k`` for logits of shape
        (batch, k), the columns of which are independent models.
    """

    # whether it has looked where logits come from
    _knows_logits = False

    def __init__(self, n_members: int | None = None) -> None:
        super().__init__()
        if n_members is not None:
            check_ints(1, n_members=n_members)
        self.n_members = n_members

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        logits : Tensor of shape (batch,), (batch, 1) or (batch, n_members)
            Raw outputs of the network; the sigmoid is applied here.
        targets : Tensor of shape (batch,) or (batch, 1)
            0 or 1, of any dtype.

        Returns
        -------
        Tensor of shape ()
            The sum over members.

        Raises
        ------
        ValueError
            If the shapes do not fit each other or ``n_members``.
        """
        logits, wanted = self.aligned(logits, targets)
        with in_full_precision(logits):
            value = self.value(logits, wanted)
        return value.sum() if value.ndim else value

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each column of logits.

        Parameters
        ----------
        logits : Tensor of shape (batch,) or (batch, n_members)
        targets : Tensor of shape (batch,)
            0 or 1, in the dtype of the logits.

        Returns
        -------
        Tensor of shape () or (n_members,)
        """
        raise NotImplementedError

    def aligned(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and targets without an idle axis, both in one dtype.

        It is that of the loss or of the logits, whichever has more digits: half precision would
        lose the differences of the scores.

        Raises
        ------
        ValueError
            If the shapes do not fit each other or ``n_members``.
        """
        if logits.ndim == 2 and logits.shape[1] == 1 and self.n_members is None:
            logits = logits.squeeze(1)
        columns = () if self.n_members is None else (self.n_members,)
        if logits.ndim == 0 or logits.shape[1:] != columns:
            wanted = "(batch,)" if self.n_members is None else f"(batch, {self.n_members})"
            raise ValueError(f"logits must have shape {wanted}, got {tuple(logits.shape)}.")
        if targets.shape not in ((len(logits),), (len(logits), 1)):
            raise ValueError(
                f"targets must have shape ({len(logits)},) as the logits' first axis, "
                f"got {tuple(targets.shape)}."
            )
        if targets.ndim == 2:
            targets = targets.squeeze(1)
        if not (torch.compiler.is_compiling() or self._knows_logits or logits.grad_fn is None):
            self._knows_logits = True
            if _is_probability(logits):
                warnings.warn(
                    "the loss gets the output of a sigmoid or softmax and applies the sigmoid "
                    "itself; pass logits, the values before it, or training will hardly learn.",
                    stacklevel=2,
                )
        dtype = torch.promote_types(logits.dtype, self.dtype)
        return logits.to(dtype), targets.to(dtype)

    @property
    def dtype(self) -> torch.dtype:
        """What the loss computes in, unless the logits have more digits."""
        return torch.float32

    def ascend(self, lr: float) -> None:
        """Take a dual step at a learning rate; by default there is no dual variable."""


def _is_probability(logits: Tensor) -> bool:
    """Return whether what made a tensor is a sigmoid or softmax, or a view of one.

    The values would not tell: the logits of a new network may all lie between 0 and 1.
    """
    node = logits.grad_fn
    # a name is such as SqueezeBackward1
    while node is not None and type(node).__name__.partition("Backward")[0] in _VIEWS:
        node = node.next_functions[0][0]
    return type(node).__name__.partition("Backward")[0] in _PROBABILITIES


def positive_margin(margin: float) -> float:
    """Return a margin as a float; raise a ValueError unless it is finite and > 0."""
    number = as_number("margin", margin)
    if not 0 < number < math.inf:
        raise ValueError(f"margin must be a number > 0, got {margin!r}.")
    return number


def weighted_sum(weights: Tensor, values: Tensor) -> Tensor:
    """Return the weighted sum of each column.

    Parameters
    ----------
    weights : Tensor of shape (batch,) or (batch, columns)
    values : Tensor of shape (batch,) or (batch, columns)
    """
    return weights @ values if weights.ndim == 1 else (weights * values).sum(0)


def in_full_precision(tensor: Tensor) -> Any:
    """Return the context in which :class:`torch.autocast` leaves products as they are."""
    kind = tensor.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
