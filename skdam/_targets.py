"""Targets: a tensor of labels, with weights and with what losses derive from them."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import torch
from torch import Tensor


class Classes(NamedTuple):
    """What losses derive from the targets of a batch.

    Weights may have columns, of shape (batch, n_members): one for each member.
    """

    is_positive: Tensor  # of shape (batch,), bool
    rate: Tensor  # weighted share of positives, of shape () or (n_members,)
    batch_weights: Tensor  # shares of the weight of the batch
    mean_weights: Tensor  # shares of the weight of the example's class
    signed_weights: Tensor  # the same, negative for negatives

    @classmethod
    def of(cls, targets: Tensor) -> Classes:
        """Return those of targets, of shape (batch,) and of a floating-point dtype."""
        if isinstance(targets, Targets):
            return targets.classes
        return cls._derive(targets, torch.ones_like(targets))

    @classmethod
    def _derive(cls, labels: Tensor, weights: Tensor) -> Classes:
        is_positive = labels > 0.5
        column = is_positive.unsqueeze(1) if weights.ndim == 2 else is_positive
        positive = torch.where(column, weights, 0).sum(0)
        total = weights.sum(0)
        # a class without weight contributes nothing
        least = torch.finfo(weights.dtype).tiny
        of_class = torch.where(column, positive, total - positive).clamp(min=least)
        mean_weights = weights / of_class
        return cls(
            is_positive,
            positive / total,
            weights / total,
            mean_weights,
            torch.where(column, mean_weights, -mean_weights),
        )


class Targets(Tensor):
    """Labels 0 or 1 with weights, which keep what losses derive from them.

    To everyone else it is an ordinary tensor, as a :class:`torch.nn.Parameter` is, and what is
    computed from it is one. Only :meth:`rows` and :meth:`to` keep the weights.

    Attributes
    ----------
    weights : Tensor of shape (n,) or (n, n_members), or None
        None for equal ones.

    Examples
    --------
    >>> import torch
    >>> from skdam._targets import Targets
    >>> targets = Targets.of(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([2.0, 1.0, 3.0]))
    >>> targets.classes.signed_weights
    tensor([ 1.0000, -0.2500, -0.7500])
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    weights: Tensor | None = None
    _derived: tuple[int, Classes] | None = None

    @classmethod
    def of(cls, labels: Tensor, weights: Tensor | None = None) -> Self:
        """Return labels with weights; they share memory with the labels."""
        targets = labels.as_subclass(cls)
        targets.weights = weights
        return targets

    @property
    def classes(self) -> Classes:
        """What losses derive from the targets; anew if they have changed."""
        if self._derived is None or self._derived[0] != self._version:
            labels = self.as_subclass(Tensor)
            weights = torch.ones_like(labels) if self.weights is None else self.weights
            self._derived = (self._version, Classes._derive(labels, weights.to(labels.dtype)))
        return self._derived[1]

    def rows(self, index: Tensor) -> Targets:
        """Return the targets of some rows, as a copy."""
        weights = None if self.weights is None else self.weights.index_select(0, index)
        return Targets.of(self.index_select(0, index), weights)

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the targets in another dtype or on another device, with their weights."""
        moved = super().to(*args, **kwargs)
        if moved is self or self.weights is None:
            return moved
        return Targets.of(moved, self.weights.to(*args, **kwargs))

    def __deepcopy__(self, memo: dict[int, object]) -> Targets:
        return Targets.of(self.clone(), self.weights)


def weights_of(targets: Any) -> Tensor | None:
    """Return the weights that targets have, if any."""
    return targets.weights if isinstance(targets, Targets) else None


def rows_of(targets: Tensor, index: Tensor) -> Tensor:
    """Return the targets of some rows, with their weights if they have any."""
    if isinstance(targets, Targets):
        return targets.rows(index)
    return targets.index_select(0, index)
