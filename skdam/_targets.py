"""Targets: a tensor of labels, with weights and with what losses derive from them."""

from __future__ import annotations

from collections.abc import Sequence
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
        return targets.classes if isinstance(targets, Targets) else cls._equal(targets)

    def positives_of(self, values: Tensor) -> Tensor:
        """Return ``is_positive``, as one column if the values of the examples have columns."""
        return _beside(self.is_positive, values)

    @classmethod
    def _equal(cls, labels: Tensor) -> Classes:
        is_positive = labels > 0.5
        n = len(labels)
        n_positive = is_positive.sum().to(labels.dtype)
        # a class that is absent has no example that its weight could reach
        of_positive, of_negative = 1 / n_positive, 1 / (n - n_positive)
        return cls(
            is_positive,
            n_positive / n,
            torch.full_like(labels, 1 / n),
            torch.where(is_positive, of_positive, of_negative),
            torch.where(is_positive, of_positive, -of_negative),
        )

    @classmethod
    def _weighted(cls, labels: Tensor, weights: Tensor) -> Classes:
        is_positive = labels > 0.5
        column = _beside(is_positive, weights)
        # summed class by class: a difference from the total would lose a class of small weight
        positive = torch.where(column, weights, 0).sum(0)
        negative = torch.where(column, 0, weights).sum(0)
        # a class without weight contributes nothing, nor does a batch that is one member's fold
        least = torch.finfo(weights.dtype).tiny
        total = (positive + negative).clamp(min=least)
        mean_weights = weights / torch.where(column, positive, negative).clamp(min=least)
        return cls(
            is_positive,
            positive / total,
            weights / total,
            mean_weights,
            torch.where(column, mean_weights, -mean_weights),
        )


def _beside(is_positive: Tensor, values: Tensor) -> Tensor:
    return is_positive.unsqueeze(1) if values.ndim == 2 else is_positive


class Targets(Tensor):
    """Labels 0 or 1 with weights.

    To everyone else it is an ordinary tensor, as a :class:`torch.nn.Parameter` is, and what is
    computed from it is one. Only :func:`rows_of`, :func:`split_rows`, :meth:`to`,
    :meth:`pin_memory` and copies keep weights and folds.

    Attributes
    ----------
    weights : Tensor of shape (n,) or (n, n_members), or None
        None for equal ones.
    folds : Tensor of shape (n,), int64, or None
        The member of an ensemble for which each example has weight 0; None where all examples
        count for all members.
    n_folds : int
        Members of that ensemble.

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
    folds: Tensor | None = None
    n_folds: int = 0
    _classes: Classes | None = None

    @classmethod
    def of(
        cls,
        labels: Tensor,
        weights: Tensor | None = None,
        folds: Tensor | None = None,
        n_folds: int = 0,
    ) -> Self:
        """Return labels with weights and folds; they share memory with the labels."""
        targets = labels.as_subclass(cls)
        targets.weights, targets.folds, targets.n_folds = weights, folds, n_folds
        return targets

    @property
    def member_weights(self) -> Tensor | None:
        """The weights of the examples for each member, those of its own fold 0."""
        if self.folds is None:
            return self.weights
        members = torch.arange(self.n_folds, device=self.device)
        weights = (self.folds.unsqueeze(1) != members).float()
        if self.weights is None:
            return weights
        return weights.mul_(self.weights if self.weights.ndim == 2 else self.weights.unsqueeze(1))

    def with_classes(self) -> Self:
        """Derive now what losses derive, for several batches of code that changes no targets."""
        self._classes = self.classes
        return self

    @property
    def classes(self) -> Classes:
        """What losses derive from the targets."""
        if self._classes is not None:
            return self._classes
        labels = self.as_subclass(Tensor)
        weights = self.member_weights
        if weights is None:
            return Classes._equal(labels)
        return Classes._weighted(labels, weights.to(labels.dtype))

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the targets in another dtype or on another device, with weights and folds."""
        moved = super().to(*args, **kwargs)
        if moved is self or (self.weights is None and self.folds is None):
            return moved
        weights = None if self.weights is None else self.weights.to(*args, **kwargs)
        folds = None if self.folds is None else self.folds.to(moved.device)
        return Targets.of(moved, weights, folds, self.n_folds)

    def pin_memory(self, *args: Any) -> Targets:
        """Return the targets in pinned memory, with weights and folds; a DataLoader calls this."""
        labels = self.as_subclass(Tensor).pin_memory(*args)
        weights = None if self.weights is None else self.weights.pin_memory(*args)
        folds = None if self.folds is None else self.folds.pin_memory(*args)
        return Targets.of(labels, weights, folds, self.n_folds)

    def __deepcopy__(self, memo: dict[int, object]) -> Targets:
        labels = self.as_subclass(Tensor).clone()
        return Targets.of(labels, self.weights, self.folds, self.n_folds)

    def __reduce_ex__(self, protocol: Any) -> Any:
        labels = self.as_subclass(Tensor)
        if self.weights is None and self.folds is None:
            return labels.__reduce_ex__(protocol)
        return Targets.of, (labels, self.weights, self.folds, self.n_folds)


def weights_of(targets: Any) -> Tensor | None:
    """Return the weights that targets have, if any."""
    return targets.weights if isinstance(targets, Targets) else None


def folds_of(targets: Any) -> Tensor | None:
    """Return the folds that targets have, if any."""
    return targets.folds if isinstance(targets, Targets) else None


def are_plain(targets: Any) -> bool:
    """Return whether targets have neither weights nor folds."""
    return weights_of(targets) is None and folds_of(targets) is None


def rows_of(targets: Tensor, index: Tensor) -> Tensor:
    """Return the targets of some rows as a copy, with their weights and folds if they have any."""
    labels = targets.as_subclass(Tensor).index_select(0, index)
    if not isinstance(targets, Targets) or are_plain(targets):
        return labels
    weights, folds = (
        None if values is None else values.index_select(0, index)
        for values in (targets.weights, targets.folds)
    )
    return Targets.of(labels, weights, folds, targets.n_folds)


def split_rows(targets: Tensor, size: int) -> Sequence[Tensor]:
    """Return the targets in parts of a size, with their weights and folds if they have any."""
    labels = targets.as_subclass(Tensor).split(size)
    if not isinstance(targets, Targets) or are_plain(targets):
        return labels
    none = (None,) * len(labels)
    weights = none if targets.weights is None else targets.weights.split(size)
    folds = none if targets.folds is None else targets.folds.split(size)
    return [Targets.of(*part, targets.n_folds) for part in zip(labels, weights, folds, strict=True)]
