"""The targets of a batch: a tensor, with what losses derive from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Classes(NamedTuple):
    """What losses derive from targets."""

    is_positive: Tensor  # of shape (batch,), bool
    n_positive: Tensor  # of shape (), in the dtype of the targets
    mean_weights: Tensor  # of shape (batch,): a positive's is 1 / n_positive
    signed_weights: Tensor  # the same, negative for negatives

    @classmethod
    def of(cls, targets: Tensor) -> Classes:
        """Return those of targets, of shape (batch,) and of a floating-point dtype."""
        if isinstance(targets, Targets):
            return targets.classes
        is_positive = targets > 0.5
        n_positive = is_positive.sum().to(targets.dtype)
        # a class that is absent has no example that its weight could reach
        of_positive, of_negative = 1 / n_positive, 1 / (len(targets) - n_positive)
        return cls(
            is_positive,
            n_positive,
            torch.where(is_positive, of_positive, of_negative),
            torch.where(is_positive, of_positive, -of_negative),
        )


class Targets(Tensor):
    """Targets of several batches, 0 or 1, that keep what losses derive from them.

    For code that leaves them unchanged. Otherwise it is an ordinary tensor, as a
    :class:`torch.nn.Parameter` is: what is computed from it is one, and so are copies.

    Examples
    --------
    >>> import torch
    >>> from skdam.losses.targets import Targets
    >>> targets = torch.tensor([1.0, 0.0, 0.0]).as_subclass(Targets)
    >>> targets.classes.signed_weights
    tensor([ 1.0000, -0.5000, -0.5000])
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    _derived: Classes | None = None

    @property
    def classes(self) -> Classes:
        """What losses derive from the targets."""
        if self._derived is None:
            self._derived = Classes.of(self.as_subclass(Tensor))
        return self._derived

    def __deepcopy__(self, memo: dict[int, object]) -> Tensor:
        return self.as_subclass(Tensor).clone()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)
