"""What a step of an optimizer works on: tensors side by side, or end to end in one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

State = dict[str, Any]

_LEAST_TENSORS = 3
_MOST_ELEMENTS = 2**18


class Separate:
    """Parameters, their gradients and their states as they are.

    Parameters
    ----------
    values : list of Tensor
        Parameters that have gradients.
    states : list of dict
        The state of each.
    """

    def __init__(self, values: list[Tensor], states: list[State]) -> None:
        self.values = values
        self.states = states

    def gradients(self, bound: float) -> list[Tensor]:
        """Return copies of the gradients, clipped to [-bound, bound]."""
        gradients = [value.grad for value in self.values if value.grad is not None]
        clipped = torch._foreach_clamp_max(gradients, bound)
        torch._foreach_clamp_min_(clipped, -bound)
        return list(clipped)

    def store(self) -> None:
        """Give the parameters their new values: they have them."""


class Pack:
    """Small parameters end to end in one vector, and their gradients and states likewise.

    On tensors this small the calls cost more than the arithmetic, and the fewer tensors
    there are the fewer calls.

    Parameters
    ----------
    parameters : list of Tensor
        Of one dtype, on one device.
    states : list of dict
        The state of each, with the same keys in all; see :meth:`unpack`.
    """

    def __init__(self, parameters: list[Tensor], states: list[State]) -> None:
        self._parameters = parameters
        self._states = states
        n = sum(parameter.numel() for parameter in parameters)
        self._value = parameters[0].new_empty(n)
        self._gradient = parameters[0].new_empty(n)
        self._parts_of_value = self._parts(self._value)
        self._parts_of_gradient = self._parts(self._gradient)
        state: State = {}
        for key, first in states[0].items():
            if isinstance(first, Tensor):
                state[key] = self._value.new_empty(n)
                torch._foreach_copy_(self._parts(state[key]), [other[key] for other in states])
            else:
                state[key] = first
        self.values = [self._value]
        self.states = [state]

    @staticmethod
    def suits(parameters: list[Tensor], states: list[State]) -> bool:
        """Return whether parameters can be packed and gain by it."""
        first = parameters[0]
        numbers = [{k: v for k, v in s.items() if not isinstance(v, Tensor)} for s in states]
        return (
            len(parameters) >= _LEAST_TENSORS
            and sum(parameter.numel() for parameter in parameters) <= _MOST_ELEMENTS
            and all(p.dtype == first.dtype and p.device == first.device for p in parameters)
            and all(state.keys() == states[0].keys() for state in states)
            and all(number == numbers[0] for number in numbers)
        )

    def load(self) -> bool:
        """Take the parameters' values and gradients as they are now, if all have gradients."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if len(gradients) < len(self._parameters):
            return False
        torch._foreach_copy_(self._parts_of_value, self._parameters)
        torch._foreach_copy_(self._parts_of_gradient, gradients)
        return True

    def gradients(self, bound: float) -> list[Tensor]:
        """Return the gradients, clipped to [-bound, bound]."""
        return [self._gradient.clamp_(-bound, bound)]

    def store(self) -> None:
        """Give the parameters their new values."""
        torch._foreach_copy_(self._parameters, self._parts_of_value)

    def unpack(self) -> None:
        """Give the parameters' states what the pack has for them."""
        for key, value in self.states[0].items():
            parts = self._parts(value) if isinstance(value, Tensor) else [value] * len(self._states)
            for state, part in zip(self._states, parts, strict=True):
                state[key] = part

    def _parts(self, vector: Tensor) -> list[Tensor]:
        parts = vector.split([parameter.numel() for parameter in self._parameters])
        return [part.view(p.shape) for part, p in zip(parts, self._parameters, strict=True)]
