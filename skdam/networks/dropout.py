"""Dropout that draws fewer random numbers."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

import torch
from torch import Tensor, nn

from skdam._generators import generator_in_use

_LEVELS = 2**16


class Dropout(nn.Dropout):
    """Zero elements with probability ``p`` in training and scale the rest by ``1 / (1 - p)``.

    On the CPU :class:`torch.nn.Dropout` takes five times as long, because it draws a random
    number for each element. Here four elements share the 64 bits of one random number, and
    ``p`` is rounded to a multiple of 2 ** -16. Random numbers come from the generator of the fit
    or, outside one, from torch's.

    Examples
    --------
    >>> import torch
    >>> from skdam.networks.dropout import Dropout
    >>> X = Dropout(0.25)(torch.ones(1000, 100))
    >>> X.unique()
    tensor([0.0000, 1.3333])
    >>> round(X.mean().item(), 2)
    1.0
    """

    def forward(self, X: Tensor) -> Tensor:
        """Return X, in training mode with random elements set to zero."""
        if not self.training or self.p == 0:
            return X
        if X.device.type != "cpu":
            return super().forward(X)
        if self._n_dropped == _LEVELS:
            return X * 0
        if not torch.compiler.is_compiling():
            return X * _mask(X, self._n_dropped)
        if _compiled_mask is None:
            return super().forward(X)
        return X * _compiled_mask(X.detach(), self._n_dropped)

    @property
    def _n_dropped(self) -> int:
        return round(self.p * _LEVELS)


def _mask(X: Tensor, n_dropped: int) -> Tensor:
    words = torch.empty(-(-X.numel() // 4), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator_in_use())
    levels = words.view(torch.int16)[: X.numel()].view(X.shape)
    # comparing float32 is ten times as fast as comparing integers, and exact for 16 bits
    mask = levels.float().ge_(n_dropped - _LEVELS // 2).mul_(_LEVELS / (_LEVELS - n_dropped))
    return mask.to(X.dtype)


def _as_one_operation() -> Callable[[Tensor, int], Tensor] | None:
    """Return the mask as an operation opaque to torch.compile, if this torch supports one.

    Compiled, the mask would be drawn one number at a time.
    """
    if "tags" not in signature(torch.library.custom_op).parameters:
        return None

    # without the tag the compiler would merge two masks of one shape into one
    @torch.library.custom_op(
        "skdam::dropout_mask", mutates_args=(), tags=[torch.Tag.nondeterministic_seeded]
    )
    def mask(X: Tensor, n_dropped: int) -> Tensor:
        return _mask(X, n_dropped)

    @mask.register_fake
    def _(X: Tensor, n_dropped: int) -> Tensor:
        return torch.empty(X.shape, dtype=X.dtype)

    return mask


_compiled_mask = _as_one_operation()
