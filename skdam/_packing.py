"""What a step of an optimizer works on: one parameter, or many as one vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

State = dict[str, Any]

_ALIGNMENT = 64  # bytes, as torch's own allocations have


class Single:
    """A parameter and its state.

    Parameters
    ----------
    parameter : Tensor
    state : dict
    """

    def __init__(self, parameter: Tensor, state: State) -> None:
        self.value = parameter
        self.state = state

    def load(self) -> bool:
        """Return whether there is a gradient, and a dense one."""
        return self.value.grad is not None and not self.value.grad.is_sparse

    def gradient(self, bound: float) -> Tensor:
        """Return a copy of the gradient, clipped to [-bound, bound]."""
        assert self.value.grad is not None
        return self.value.grad.clamp(-bound, bound)


class Pack:
    """Parameters as views of one vector, and their gradients and states likewise.

    There is one call where there was one for each parameter, which on small tensors costs
    more than the arithmetic, and memory for gradients is taken once.

    Parameters
    ----------
    parameters : list of Tensor
        See :meth:`suits`. They become views.

    Attributes
    ----------
    value : Tensor
        The vector.
    state : dict
        What the states of the parameters held before :meth:`take`.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self._parameters = parameters
        multiple = _ALIGNMENT // parameters[0].element_size()
        self._sizes = [-(-parameter.numel() // multiple) * multiple for parameter in parameters]
        self.value = self._vector()
        self.state: State = {}
        self._owners: list[State] = []
        self._gradient = self._vector()
        self._parts_of_gradient = self._parts(self._gradient)
        parts = self._parts(self.value)
        self._addresses = [part.data_ptr() for part in parts]
        torch._foreach_copy_(parts, parameters)
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.data = part

    @staticmethod
    def suits(parameters: list[Tensor]) -> bool:
        """Return whether parameters can be packed.

        They are of one dtype, on one device, contiguous, and share memory with nothing, as
        those of a recurrent layer on CUDA do, or tied ones.
        """
        return bool(parameters) and all(
            p.dtype == parameters[0].dtype
            and p.device == parameters[0].device
            and p.is_contiguous()
            and 0 < p.nbytes == p.untyped_storage().nbytes()
            for p in parameters
        )

    def holds(self, parameters: list[Tensor]) -> bool:
        """Return whether the pack is of these parameters, in the memory that it gave them."""
        return [parameter.data_ptr() for parameter in parameters] == self._addresses

    def take(self, states: list[State]) -> bool:
        """Take the states of the parameters over and empty them, if all have the same entries."""
        if self._owners:
            return True
        numbers = [{k: v for k, v in s.items() if not isinstance(v, Tensor)} for s in states]
        alike = all(state.keys() == states[0].keys() for state in states)
        if not alike or any(number != numbers[0] for number in numbers):
            return False
        packed = dict(states[0])
        for key, value in packed.items():
            if isinstance(value, Tensor):
                packed[key] = self._joined(self.state.get(key), [state[key] for state in states])
        for state in states:
            state.clear()
        self.state = packed
        self._owners = states
        return True

    def give_back(self) -> None:
        """Give the parameters' states, as views, what the pack has for them."""
        if not self._owners:
            return
        for key, value in self.state.items():
            values = [value] * len(self._owners)
            parts = self._parts(value) if isinstance(value, Tensor) else values
            for state, part in zip(self._owners, parts, strict=True):
                state[key] = part
        self._owners = []

    def load(self) -> bool:
        """Take the gradients as they are now, if all parameters have one, and a dense one."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if len(gradients) < len(self._parameters) or any(g.is_sparse for g in gradients):
            return False
        torch._foreach_copy_(self._parts_of_gradient, gradients)
        return True

    def gradient(self, bound: float) -> Tensor:
        """Return the gradients, clipped to [-bound, bound]."""
        return self._gradient.clamp_(-bound, bound)

    def _joined(self, vector: Tensor | None, tensors: list[Tensor]) -> Tensor:
        """Return the vector that tensors are parts of, or a new one of what they hold."""
        if vector is not None and all(
            tensor.data_ptr() == part.data_ptr()
            for tensor, part in zip(tensors, self._parts(vector), strict=True)
        ):
            return vector
        vector = self._vector()
        torch._foreach_copy_(self._parts(vector), tensors)
        return vector

    def _vector(self) -> Tensor:
        # zeros, as there are gaps between the parts
        return self._parameters[0].new_zeros(sum(self._sizes))

    def _parts(self, vector: Tensor) -> list[Tensor]:
        return [
            part[: parameter.numel()].view(parameter.shape)
            for part, parameter in zip(vector.split(self._sizes), self._parameters, strict=True)
        ]
